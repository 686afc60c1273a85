"""When two spellings are the same label."""

import unicodedata


def folded(text: str) -> str:
    """The label without outer, doubled or unusual spaces and without case: equal for spellings of one label."""
    return " ".join(unicodedata.normalize("NFKC", text).split()).casefold()
