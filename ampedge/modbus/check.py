"""A register with a known content: the proof that address and word order are right."""

import math
from dataclasses import replace

from ampedge.datamap import WORD_ORDERS, Tag
from ampedge.modbus.codec import raw_decoder
from ampedge.records import Words

_CLOSE = 1e-6


class CheckRegister:
    """What `tag` must hold: `value`, as near as its type can hold it."""

    def __init__(self, tag: Tag, value: float) -> None:
        self.tag = tag
        self.value = value

    def problem(self, words: Words) -> str | None:
        """What is wrong with its content, with the word order that would fit, or None."""
        if self._fits(self.tag, words):
            return None
        found = raw_decoder(self.tag)(words)
        fitting = [o for o in WORD_ORDERS if self._fits(replace(self.tag, word_order=o), words)]
        said = f"The check register, {self.tag.describe()}, holds {found:g} where {self.value:g} is expected"
        if fitting:
            return f"{said}; with word order {' or '.join(fitting)} it would fit"
        return f"{said}, in whichever word order"

    def _fits(self, tag: Tag, words: Words) -> bool:
        return math.isclose(raw_decoder(tag)(words), self.value, rel_tol=_CLOSE)
