"""On which line of a TOML file a key stands, which the standard library's parser does not tell."""

import re

_KEY = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_PATH = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_PATH})\s*\]\]?")
_ASSIGNMENT = re.compile(rf"\s*({_PATH})\s*=")
_OPENED = re.compile(r"""=\s*("{3}|'{3})(.*)""")

Place = tuple[int | str, ...]


def lines(text: str) -> dict[Place, int]:
    """The line, from 1, of every section and key; the third `[[tags]]` is `("tags", 2)`, as in its problems.

    Keys in inline tables have no line of their own.
    """
    found: dict[Place, int] = {}
    counts: dict[Place, int] = {}
    section: Place = ()
    end = ""  # of a text of several lines
    for number, line in enumerate(text.splitlines(), start=1):
        if end:
            end = "" if end in line else end
        elif header := _HEADER.match(line):
            *parents, last = _keys(header[2])
            section = ()
            for key in parents:
                section = _latest((*section, key), counts)
            section = (*section, last)
            if header[1] == "[[":
                counts[section] = counts.get(section, -1) + 1
            section = _latest(section, counts)
            found.setdefault(section, number)
        elif assignment := _ASSIGNMENT.match(line):
            found.setdefault((*section, *_keys(assignment[1])), number)
            opened = _OPENED.search(line)
            end = opened[1] if opened and opened[1] not in opened[2] else ""
    return found


def nearest(found: dict[Place, int], place: Place) -> int | None:
    """The line of that place, or of the nearest section above it."""
    return next((found[place[:end]] for end in range(len(place), 0, -1) if place[:end] in found), None)


def _keys(path: str) -> list[str]:
    return [key.strip("\"'") for key in re.findall(_KEY, path)]


def _latest(section: Place, counts: dict[Place, int]) -> Place:
    return (*section, counts[section]) if section in counts else section
