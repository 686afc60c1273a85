"""The files that a new site begins with: a commented config, and rows to play into a slave."""

import json
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ampedge.datamap import DataMap, notation
from ampedge.errors import InUseError, UsageError
from ampedge.model.network import Matrix
from ampedge.sample_rows import LABEL, csv_text, published_form
from ampedge.samples import CONFIG, DATA, SAMPLES, shipped

ROWS_PER_LABEL = 5
_LONGEST_NAME = 64


def shipped_files() -> dict[str, str]:
    """Name and text of what ampedge ships: the amplifier's config, its generated table, and samples of it."""
    return {name: shipped(name).read_text("utf-8") for name in (CONFIG, DATA, SAMPLES)}


def files_for_table(name: str, datamap: DataMap, values: Matrix, labels: Sequence[str]) -> dict[str, str]:
    """Name and text of a config and samples for one's own table.

    `values` has shape (rows, tags).
    The samples are a few rows of each label, drawn blindly.
    """
    picked = _drawn(labels)
    rows = [[*map(repr, values[i].tolist()), labels[i]] for i in picked]
    return {
        CONFIG: _config(plain_name(name), datamap, values),
        SAMPLES: csv_text(*published_form(datamap, rows, label=LABEL)),
    }


def write_files(directory: Path, files: Mapping[str, str]) -> list[Path]:
    """Write them into `directory`, all or none; raises InUseError where one exists, UsageError for a bad place."""
    there = [name for name in files if (directory / name).exists()]
    if there:
        raise InUseError(
            f"{directory} already has {', '.join(there)}; nothing was written.",
            "Choose another directory, or move the old files away.",
        )
    made: list[Path] = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            with (directory / name).open("x", encoding="utf-8", newline="\n") as file:
                made.append(directory / name)
                file.write(text)
    except OSError as error:
        for path in made:
            path.unlink(missing_ok=True)
        raise UsageError(
            f"{error.filename or made[-1]} cannot be written: {error.strerror}.", "Choose another directory."
        ) from error
    return made


def plain_name(text: str) -> str:
    """A name for device and topic, made from a file's name."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text)[:_LONGEST_NAME].strip("-") or "device"


def _drawn(labels: Sequence[str]) -> list[int]:
    """The places of a few rows of each label, in file order."""
    draw = random.Random(0)  # noqa: S311  # a choice of rows is no secret
    places: dict[str, list[int]] = {}
    for i, label in enumerate(labels):
        places.setdefault(label, []).append(i)
    return sorted(i for held in places.values() for i in draw.sample(held, min(ROWS_PER_LABEL, len(held))))


def _config(name: str, datamap: DataMap, values: Matrix) -> str:
    """The shipped config with this site's name and tags in place of the amplifier's."""
    head, _, _ = shipped(CONFIG).read_text("utf-8").partition("[[tags]]\n")
    for old, new in (
        ('device = "amplifier"', f'device = "{name}"'),
        ('# topic = "amp/inference"', f'topic = "{name}/inference"'),
        ('# status_topic = "amp/status"', f'# status_topic = "{name}/status"'),
    ):
        assert old in head
        head = head.replace(old, new)
    return head + "\n".join(_tags(datamap, values))


def _tags(datamap: DataMap, values: Matrix) -> Iterable[str]:
    for tag, column in zip(datamap.tags, values.T, strict=True):
        unit = f"unit = {json.dumps(tag.unit, ensure_ascii=False)}" if tag.unit else '# unit = ""'
        first, last = notation(tag.table, tag.address), notation(tag.table, tag.end - 1)
        yield (
            f"[[tags]]\n"
            f"name = {json.dumps(tag.name, ensure_ascii=False)}\n"
            f'address = "{first}"       # {first}-{last}, wire address {tag.address}-{tag.end - 1}\n'
            f"{unit}\n"
            f"# seen: {column.min():.6g} to {column.max():.6g}\n"
            f"# valid = [LOWEST, HIGHEST]\n"
        )
