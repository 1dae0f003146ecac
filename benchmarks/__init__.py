"""Speed and memory of the runner, run by hand: see README.md."""
