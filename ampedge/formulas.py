"""Text cells that a spreadsheet would take for a formula: an apostrophe before them makes them text again.

A cell that begins with `=`, `+`, `-` or `@` is computed when a spreadsheet opens the file; a label or a name must
not be able to do that.  Numbers such as -3 stay as they are.
"""

import re

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)(?:[eE][+-]?[0-9]+)?")


def escaped(text: str) -> str:
    """The cell to write for this text; `unescaped` gives the text again, whatever it is."""
    return "'" + text if _FORMULA.match(text) and not _NUMBER.fullmatch(text.strip(" \t")) else text


def unescaped(cell: str) -> str:
    """The text in a cell: without the apostrophe that keeps it from being a formula."""
    return cell[1:] if cell[:1] == "'" and escaped(cell[1:]) == cell else cell
