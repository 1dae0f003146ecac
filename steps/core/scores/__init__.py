"""What functions say of answers, and what it adds up to."""
