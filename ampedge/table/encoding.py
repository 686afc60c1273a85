"""How the bytes of a file are text: by its mark, by its zero bytes, or by trying UTF-8 over the whole of it."""

import codecs
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ampedge.errors import DataError

_CHUNK_BYTES = 1 << 20
_LONGEST_LINE = 1 << 22
_KINDS = (
    (b"PK\x03\x04", "a workbook or an archive"),
    (b"\xd0\xcf\x11\xe0", "a workbook of an old kind"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"BZh91AY&SY", "compressed with bzip2"),
    (b"\xfd7zXZ\0", "compressed with xz"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (b"%PDF", "a PDF"),
    (b"PAR1", "a Parquet file"),
    (b"\x89PNG", "a picture"),
    (b"\x89HDF", "an HDF5 file"),
    (b"SQLite format 3\0", "a database"),
)
_TEXTS = (
    (re.compile(rb'\{\s*["}]|\[\s*[\[{"\d]'), "JSON"),
    (re.compile(rb"<(?:!doctype|html|\?xml)", re.IGNORECASE), "HTML or XML"),
)
_UTF8_LETTER = re.compile(rb"[\xc2\xc3][\x80-\xbf]")
"""A Latin letter or sign in UTF-8; in Windows-1252 these two bytes do not follow each other in any language."""

_MARKED = (b"\n#", b"\r#", b"\n//", b"\r//")


@dataclass(slots=True)
class Text:
    """How the bytes are text, how many lines they have, and whether one begins as comments do (`marked`)."""

    encoding: str
    notes: list[str] = field(default_factory=list)
    marked: bool = False
    lines: int = 0


def looked_over(path: Path) -> Text:
    """How to read the file; raises DataError for what is no text, for NUL bytes and for an endless line.

    Raises UnicodeDecodeError where the mark or the zero bytes of UTF-16 are there, and something else behind them.
    """
    if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():  # a directory cannot be opened, which says enough
        raise DataError(f"{path} is no file but a pipe or a device.", "Save the table in a file and give its path.")
    with path.open("rb") as file:
        start = file.read(_CHUNK_BYTES)
    _refuse_what_is_no_table(path, start)
    if (marked := _by_its_start(start)) is not None:
        return _whole(path, marked)
    text = Text("utf-8-sig")
    try:
        return _whole(path, text)
    except UnicodeDecodeError as error:
        if any(map(_UTF8_LETTER.search, _chunks(path))):
            raise DataError(
                f"{path} mixes UTF-8 and another encoding (line {text.lines} is not UTF-8, other lines are).",
                "Save it anew in UTF-8, then look at the letters beyond ASCII.",
            ) from error
    western = Text("cp1252", [f"The file is not UTF-8 (line {text.lines}); it was read as Windows-1252."])
    try:
        return _whole(path, western)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not text in UTF-8 or Windows-1252 (line {western.lines}).", "Save it as CSV in UTF-8."
        ) from error


def _whole(path: Path, text: Text) -> Text:
    """The same with all that one look over the file tells; `lines` is where it ends or cannot be decoded."""
    decoder = codecs.getincrementaldecoder(text.encoding)()
    lines = _Lines(path)
    for chunk in _chunks(path):
        try:
            decoded = decoder.decode(chunk, len(chunk) < _CHUNK_BYTES)
        except UnicodeDecodeError as error:
            text.lines = lines.number + error.object[: error.start].count(b"\n")
            raise
        lines.look(decoded.encode("utf-8", "surrogatepass") if text.encoding.startswith("utf-16") else chunk)
    text.marked, text.lines = lines.marked, lines.number
    return text


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def _refuse_what_is_no_table(path: Path, start: bytes) -> None:
    if not start.strip():
        raise DataError(f"{path} is empty.", "Give a table with a header line and rows.")
    if not start.strip(b"\0"):
        raise DataError(f"{path} holds nothing but NUL bytes.", "The file is damaged or no text; save it anew.")
    if (
        start.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE))
        or start[:3] == b"\0\0\0"
        or start[1:4] == b"\0\0\0"
    ):
        raise DataError(f"{path} is in UTF-32.", "Save it as CSV in UTF-8.")
    for magic, kind in _KINDS:
        if start.startswith(magic):
            raise DataError(f"{path} is {kind}, not text.", "Save the sheet as CSV in UTF-8.")
    for pattern, kind in _TEXTS:
        if pattern.match(start.removeprefix(codecs.BOM_UTF8).lstrip()):
            raise DataError(f"{path} is {kind}, not a table.", "Save the rows as CSV in UTF-8.")


def _by_its_start(start: bytes) -> Text | None:
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return Text("utf-16", ["The file is in UTF-16."])
    for encoding, zeros in (("utf-16-le", start[1:200:2]), ("utf-16-be", start[0:200:2])):
        if zeros.count(0) > len(zeros) * 0.9:
            return Text(encoding, ["The file is in UTF-16 without a mark."])
    return None


class _Lines:
    """Looks at the lines of a file chunk by chunk, as bytes in which a line feed is a line feed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._long = 0
        self._tail = b"\n"
        self.number = 1
        self.marked = False

    def look(self, chunk: bytes) -> None:
        chunk = chunk.removeprefix(codecs.BOM_UTF8)
        if (at := chunk.find(b"\0")) >= 0:
            line = self.number + chunk.count(b"\n", 0, at)
            raise DataError(
                f"{self._path}, line {line}: there is a NUL byte.", "The file is damaged or no text; save it anew."
            )
        ends = [at for at in (chunk.find(b"\n"), chunk.find(b"\r")) if at >= 0]
        if self._long + min(ends, default=len(chunk)) >= _LONGEST_LINE:
            raise DataError(
                f"{self._path}, line {self.number}: it is longer than a line of a table.", "Give a CSV file."
            )
        last = max(chunk.rfind(b"\n"), chunk.rfind(b"\r"))
        self._long = len(chunk) - last - 1 if last >= 0 else self._long + len(chunk)
        if not self.marked:
            joined = self._tail + chunk
            self.marked = any(mark in joined for mark in _MARKED)
            self._tail = joined[-2:]
        self.number += chunk.count(b"\n")
