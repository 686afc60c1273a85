"""`ampedge monitor`."""


def monitor() -> None:
    """To be written."""
