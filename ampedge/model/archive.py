"""The `.ampedge` file: a zip whose comment is the SHA-256 of everything before the comment.

One changed bit anywhere is found.  Members are read into memory by name; nothing is ever unpacked to a disk.
"""

import hashlib
import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from ampedge.errors import ModelRefusedError

LARGEST_BYTES = 64 * 1024 * 1024

_COMMENT = b"ampedge sha256 "
_COMMENT_SIZE = len(_COMMENT) + 64
_ENTRY = b"PK\x01\x02"
_MOST_MEMBERS = 100
_KINDS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ERRORS = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError, OverflowError)


def is_archive(path: Path) -> bool:
    """Whether the end of the file says so; whether it is whole is another matter."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _COMMENT_SIZE))
        return file.read().startswith(_COMMENT)


def pack(files: Mapping[str, bytes]) -> bytes:
    """The archive of these files in their order, the same bytes each time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
        archive.comment = b"-" * _COMMENT_SIZE
    body = buffer.getvalue()[:-_COMMENT_SIZE]
    return body + _COMMENT + hashlib.sha256(body).hexdigest().encode()


def unpack(data: bytes) -> dict[str, bytes]:
    """The files in their order, at most LARGEST_BYTES of them; raises ModelRefusedError."""
    body, comment = memoryview(data)[:-_COMMENT_SIZE], data[-_COMMENT_SIZE:]
    if not data.startswith(b"PK") or not comment.startswith(_COMMENT):
        raise ModelRefusedError("It is no .ampedge file, or its end is missing.")
    if comment[len(_COMMENT) :] != hashlib.sha256(body).hexdigest().encode():
        raise ModelRefusedError("It was altered after it was made: its checksum does not match.")
    if data.count(_ENTRY) > _MOST_MEMBERS:  # each would become an object at once
        raise ModelRefusedError("It does not hold just the files of a bundle.")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if any(entry.compress_type not in _KINDS or _is_link(entry) for entry in entries):
                raise ModelRefusedError("It is packed in a way that no bundle is.")
            if sum(entry.file_size for entry in entries) > LARGEST_BYTES:
                raise ModelRefusedError("It unpacks to more than any bundle does.")
            if len({entry.filename for entry in entries}) != len(entries):
                raise ModelRefusedError("It does not hold just the files of a bundle.")
            return {entry.filename: _member(archive, entry) for entry in entries}
    except _ERRORS as error:
        raise ModelRefusedError("It is a damaged zip archive.") from error


def _is_link(entry: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(entry.external_attr >> 16)


def _member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    with archive.open(entry) as member:
        return member.read(entry.file_size + 1)  # a limit, because the size that it states may be a lie
