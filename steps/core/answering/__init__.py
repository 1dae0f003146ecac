"""Asking a model every row: once, as fast as its server allows, within the budget."""
