"""What a model may be called."""

from ampedge.errors import UsageError

_LONGEST_NAME = 64


def checked_name(name: str) -> str:
    """The name; raises UsageError where it is none."""
    if not 1 <= len(name) <= _LONGEST_NAME or not name.isprintable() or name != name.strip():
        raise UsageError(
            f"{name[:_LONGEST_NAME]!r} cannot be the name of a model: it has 1 to {_LONGEST_NAME} printable "
            "characters and no outer spaces.",
            "Give one with --name.",
        )
    return name
