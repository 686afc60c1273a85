"""A config in another place: the paths in it are changed, and every other line stays as its author wrote it."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ampedge import toml_lines
from ampedge.errors import UsageError

MARK = "# Installed by `ampedge service install`"


def relocated(text: str, paths: Mapping[str, str], *, origin: Path) -> str:
    """The config with those dotted keys set; what stands on no line of its own cannot be, which is a UsageError."""
    lines = text.splitlines()
    there = toml_lines.lines(text)
    added = []
    for key, path in paths.items():
        number = there.get(tuple(key.split(".")))
        if number is None:
            added.append(f"{key} = {_toml(path)}")
        else:
            before = lines[number - 1].partition("=")[0].rstrip()
            lines[number - 1] = f"{before} = {_toml(path)}"
    if added:
        lines = [f"{MARK} from {origin}; this is the file to change from now on.", *added, "", *lines]
    made = "\n".join(lines) + "\n"
    if not _differ_only_in(paths, tomllib.loads(text), made):
        raise UsageError(
            f"The paths in {origin} cannot be changed to those of the service: {', '.join(paths)}.",
            "Write each of them on a line of its own, below its [section].",
        )
    return made


def _toml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _differ_only_in(paths: Mapping[str, str], wanted: dict[str, Any], made: str) -> bool:
    for key, path in paths.items():
        *parents, last = key.split(".")
        section = wanted
        for parent in parents:
            section = section.setdefault(parent, {})
        section[last] = path
    try:
        return tomllib.loads(made) == wanted
    except tomllib.TOMLDecodeError:
        return False
