"""One trace for each row."""
