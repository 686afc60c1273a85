"""`serve`: poll, infer, publish, until told to stop."""
