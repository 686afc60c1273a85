"""A row of the event log: in memory as it was given, on disk compressed and with a checksum.

Events of one service are almost alike, so each is compressed against the first one of its stream (`streams.py`).
"""

import zlib
from dataclasses import dataclass
from struct import Struct

_WINDOW = 32768
_HEAD = Struct(">qqqqd")


@dataclass(frozen=True, slots=True)
class Row:
    """A row that is not on disk yet; `since_s` is the monotonic time at which it came."""

    id: int
    kind: int
    device: str
    boot: str
    sequence: int
    time_s: float
    payload: bytes
    since_s: float = 0.0

    def moved(self, by: int) -> "Row":
        """The same with another id."""
        return Row(
            self.id + by, self.kind, self.device, self.boot, self.sequence, self.time_s, self.payload, self.since_s
        )


def compressed(payload: bytes, dictionary: bytes) -> bytes:
    """The payload, told as its difference from the dictionary.

    The window is as wide as the two need and no wider: to make room for one takes most of the time.
    """
    window_bits = min(15, max(12, (len(dictionary) + len(payload)).bit_length()))
    packer = zlib.compressobj(9, zlib.DEFLATED, -window_bits, 8, zlib.Z_DEFAULT_STRATEGY, dictionary)
    return packer.compress(payload) + packer.flush()


def expanded(packed: bytes, dictionary: bytes) -> bytes:
    """The inverse of `compressed`; raises ValueError where that is not possible."""
    unpacker = zlib.decompressobj(-15, dictionary)
    try:
        payload = unpacker.decompress(packed) + unpacker.flush()
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError("the compressed data does not end where it should")
    return payload


def dictionary_of(payload: bytes) -> bytes:
    """What later payloads of its stream are compressed against."""
    return payload[:_WINDOW]


def row_crc(row_id: int, kind: int, stream: int, sequence: int, time_s: float, *, packed: bytes) -> int:
    """The checksum over everything that a row has on disk."""
    return zlib.crc32(packed, zlib.crc32(_HEAD.pack(row_id, kind, stream, sequence, time_s), 2))
