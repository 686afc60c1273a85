"""`ampedge evaluate`."""


def evaluate() -> None:
    """To be written."""
