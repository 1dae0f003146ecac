"""One version after another: evidence, gate, alias, ledger, and the way back."""
