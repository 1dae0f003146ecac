"""What could keep a run from succeeding here, each with its remedy."""

import json
from collections.abc import Sequence
from dataclasses import asdict

import click

from steps.core.cli import QUESTIONS, step
from steps.core.diagnosis import Finding, diagnose

MARKS = {"ok": "✓", "warning": "!", "problem": "✗"}


def as_text(findings: Sequence[Finding]) -> str:
    """One line a finding, its remedy below; what is wrong stands out by its mark."""
    width = max(len(finding.subject) for finding in findings)
    lines = []
    for found in findings:
        said = found.finding.replace("\n", "\n" + " " * (width + 4))
        lines.append(f"{MARKS[found.status]} {found.subject:{width}}  {said}")
        if found.remedy:
            lines.append(f"{'':{width + 4}}→ {found.remedy}")
    counts = {s: sum(found.status == s for found in findings) for s in ("problem", "warning")}
    return "\n".join([*lines, f"problems: {counts['problem']}, warnings: {counts['warning']}"])


@step
@click.option("--format", type=click.Choice(["text", "json"]), default="text", show_default=True)
def main(config: str, data: str, models: str, limit: str, format: str) -> int:
    """Look at all that a run needs; exits 1 where something would stop it."""
    findings = diagnose(config, data or QUESTIONS, models, limit)
    as_json = json.dumps([asdict(found) for found in findings], indent=2, ensure_ascii=False)
    click.echo(as_json if format == "json" else as_text(findings))
    return int(any(found.status == "problem" for found in findings))


if __name__ == "__main__":
    main()
