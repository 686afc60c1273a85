"""Rows that a network can learn from or be judged on: from a table, labelled, split."""
