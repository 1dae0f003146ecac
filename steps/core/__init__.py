"""What the steps share; nothing in here is an entry point."""
