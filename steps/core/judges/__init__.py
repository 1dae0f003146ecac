"""Models that judge answers: what they are asked, read, trusted for, and how several vote."""
