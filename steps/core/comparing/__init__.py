"""Models beside each other: differences, verdicts, and what is shown of them."""
