"""One who moves an alias, as a process of its own that takes its orders line by line.

python -m tests.end_to_end.moving_process <model> <version>
"look" reads the ledger and answers "seen"; "go" moves the alias from what was seen, and answers
"won", or "lost: " and why.
"""

import sys

from mlflow import MlflowClient

from llm_models.errors import LabError
from steps.core.releases import ledger
from steps.core.releases.ledger import Move
from steps.core.releases.moves import move


def main(name: str, version: int) -> None:
    client = MlflowClient()
    for order in map(str.strip, sys.stdin):
        if order == "look":
            seen = ledger.read(client, name, "staging")
            print("seen", flush=True)
        else:
            who = f"mover of {version}"
            wanted = Move("promote", seen.holder, version, ledger.now(), who, "a race", None)
            print(_outcome(client, seen, wanted), flush=True)


def _outcome(client: MlflowClient, seen: ledger.Ledger, wanted: Move) -> str:
    try:
        move(client, seen, wanted)
    except LabError as error:
        return f"lost: {error}"
    return "won"


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
