"""Every float32 pattern in every word order through the codec that ships, in its vectorised form.

    python -m tests.faults.decode_all

The reference shares nothing with the codec: it puts sign, exponent and fraction of the double together from the bits
of the pattern, as IEEE 754 defines them.  What is compared is the bits of the double, so every NaN, both zeros and
every denormal count.  The scalar form, which `serve` decodes one reading with, is compared with the vectorised one.
"""

import argparse
import multiprocessing
import random
import sys
import time
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from ampedge.datamap import WORD_ORDERS, Tag
from ampedge.modbus.codec import raw_column, raw_decoder

_PIECE = 32768
_LOWS = (0, 1, 0x7FFF, 0x8000, 0xFFFF, *random.Random(7).sample(range(2, 0x7FFF), 251))
"""Second words that the scalar form is tried with, 256 for each of the 65,536 first words."""
_FRACTION = np.arange(65536, dtype=np.uint64) << np.uint64(29)
"""The low word of a pattern, where it stands in a double."""


def swapped(word: int) -> int:
    """A word with its two bytes swapped."""
    return (word & 0xFF) << 8 | word >> 8


class Pieces:
    """Words of one order with every low word; the high word is put beside them in one stroke.

    Two neighbouring words are one whole number of 32 bits to this machine, whichever way round it holds them.
    """

    def __init__(self, order: str) -> None:
        self.tag = Tag("x", 0, word_order=order)
        self._swaps = order in {"BADC", "DCBA"}
        is_first = order in {"ABCD", "BADC"}
        self._shift = 16 if is_first != (sys.byteorder == "little") else 0
        low = np.array([swapped(word) if self._swaps else word for word in range(65536)], dtype=np.uint32)
        self._low = low << np.uint32(16 - self._shift)
        self._words = np.empty(_PIECE, np.uint32)

    def decoded(self, high: int, at: int) -> NDArray[np.uint64]:
        """The bits of the doubles that the codec makes of high:at, high:at+1 ..."""
        beside = np.uint32((swapped(high) if self._swaps else high) << self._shift)
        np.bitwise_or(self._low[at : at + _PIECE], beside, out=self._words)
        return raw_column(self.tag, self._words.view(np.uint16).reshape(-1, 2)).view(np.uint64)


def reference(high: int, at: int) -> NDArray[np.uint64]:
    """The bits of the doubles that the patterns high:at, high:at+1 ... are, by the definition of IEEE 754."""
    sign, exponent, fraction = high >> 15 << 63, high >> 7 & 0xFF, (high & 0x7F) << 16
    if exponent == 0:  # zero and denormals: fraction x 2^-149
        whole = np.arange(fraction + at, fraction + at + _PIECE, dtype=np.float64)
        return np.ldexp(whole, -149).view(np.uint64) | np.uint64(sign)
    low = _FRACTION[at : at + _PIECE]
    if exponent < 0xFF:
        return low + np.uint64(sign | exponent - 127 + 1023 << 52 | fraction << 29)
    bits = low + np.uint64(sign | 0x7FF << 52 | fraction << 29)  # infinity, and NaNs, which are quiet as doubles
    bits[bits & np.uint64(2**52 - 1) != 0] |= np.uint64(1 << 51)
    return bits


def wrong(highs: range) -> int:
    """How many patterns with these high words are decoded wrongly, in all four orders together."""
    orders = [Pieces(order) for order in WORD_ORDERS]
    found = 0
    for high in highs:
        for at in range(0, 65536, _PIECE):
            expected = reference(high, at)
            for order in orders:
                decoded = order.decoded(high, at)
                if not np.array_equal(decoded, expected):
                    found += int((decoded != expected).sum())
    return found


def differing(lows: tuple[int, ...]) -> int:
    """How many words with these second words the scalar form decodes otherwise than the vectorised one.

    A NaN is a NaN to Python, whatever its bits.
    """
    found = 0
    words = np.empty((65536, 2), np.uint16)
    words[:, 0] = np.arange(65536)
    for tag in (Tag("x", 0, word_order=order) for order in WORD_ORDERS):
        decode = raw_decoder(tag)
        for low in lows:
            words[:, 1] = low
            scalar = np.array([decode(pair) for pair in zip(range(65536), repeat(low))])
            vectorised = raw_column(tag, words)
            same = scalar.view(np.uint64) == vectorised.view(np.uint64)
            found += int((~same & ~(np.isnan(scalar) & np.isnan(vectorised))).sum())
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=2)
    count = parser.parse_args().processes
    with multiprocessing.get_context("spawn").Pool(count) as pool:
        begun_s = time.monotonic()
        missed = sum(pool.map(wrong, [range(number, 65536, count) for number in range(count)]))
        between_s = time.monotonic()
        differ = sum(pool.map(differing, [_LOWS[number::count] for number in range(count)]))
    print(
        f"4 x {2**32:,} patterns, {missed:,} wrong ({between_s - begun_s:.1f} s); "
        f"4 x {65536 * len(_LOWS):,} in the scalar form, {differ:,} differ ({time.monotonic() - between_s:.1f} s)"
    )
    return int(missed + differ > 0)


if __name__ == "__main__":
    sys.exit(main())
