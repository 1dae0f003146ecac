"""A served endpoint held against the evaluation of its version."""
