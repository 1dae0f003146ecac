"""A conversation with one model or several, on a terminal or a pipe, kept in MLflow."""
