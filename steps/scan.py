"""Look for secrets in all that was stored: params, tags, traces, artifacts, model files."""

from collections import Counter
from itertools import chain
from pathlib import Path

import click

from llm_models.errors import InputError
from steps.core.cli import step
from steps.core.config import load
from steps.core.verdict import Verdict


def scan(config: str, path: str) -> Verdict:
    """Print the place of each secret, never the secret. The verdict fails where there is one.

    The tracking store, the registry and the journal are searched, and `path` too when given.
    """
    given = [load(Path(config)).journal, *([Path(path)] if path else [])]
    if not given[-1].exists() and path:
        raise InputError(f"path: there is no {path}; name a file or a folder")

    from steps.core import store_texts, tracking
    from steps.core.secret_search import Secrets

    secrets, seen, found = Secrets(), Counter[str](), 0
    own = chain.from_iterable(store_texts.files(one) for one in given)
    for kind, place, content in chain(store_texts.everything(tracking.connect()), own):
        seen[kind] += 1
        for what in sorted(secrets.within(content) | secrets.within(place)):
            found += 1
            click.echo(f"{secrets.without(place)}: {what}")  # a name may be the secret
    looked = ", ".join(f"{n:,} of {kind}s" for kind, n in seen.items())
    click.echo(f"Texts and files looked into: {looked}. Secrets found: {found}.")
    return Verdict.FAIL if found else Verdict.PASS


@step
@click.option("--path", default="", help="A file or folder to search too, such as a log.")
def main(config: str, data: str, models: str, limit: str, path: str) -> Verdict:
    """Look for API keys in all that was stored; exits 2 where one is found."""
    return scan(config, path)


if __name__ == "__main__":
    main()
