"""What was said a moment ago is not said again, but counted."""

import logging
from collections.abc import Hashable
from dataclasses import dataclass, replace

from ampedge.log.entry import Entry

EVERY_S = 600.0
_VARIANTS = 16
_REMEMBERED = 512

Key = tuple[int, str, Hashable]


@dataclass(slots=True)
class _Said:
    latest: Entry
    since_s: float
    written: int = 1
    kept_back: int = 0


class Repeats:
    """Lets an identical trouble through once, and then every ten minutes with its count.

    A plain event (INFO) passes ten times in ten minutes, since labels come back; DEBUG always passes.
    Each kind of line has at most 16 variants: were an argument different every time, it would never repeat.
    Times are monotonic seconds.  Not for several threads at once.
    """

    def __init__(self) -> None:
        self._said: dict[Key, _Said] = {}
        self._next_s = float("inf")

    def passes(self, record: logging.LogRecord, entry: Entry, now_s: float) -> bool:
        """Whether this one is to be written."""
        if entry.level < logging.INFO:
            return True
        key = self._key(record, entry)
        said = self._said.get(key)
        if said is None:
            if len(self._said) < _REMEMBERED:
                self._said[key] = _Said(entry, now_s)
                self._next_s = min(self._next_s, now_s + EVERY_S)
            return True
        said.latest = entry
        if said.written < (1 if entry.level > logging.INFO else 10):
            said.written += 1
            return True
        said.kept_back += 1
        return False

    def due(self, now_s: float) -> list[Entry]:
        """What is to be said again now, the latest of each with its count, in the order of their last times."""
        if now_s < self._next_s:
            return []
        due = [(key, said) for key, said in self._said.items() if now_s >= said.since_s + EVERY_S]
        for key, said in due:
            del self._said[key]
            if said.kept_back:
                self._said[key] = _Said(said.latest, now_s)
        self._next_s = min((said.since_s + EVERY_S for said in self._said.values()), default=float("inf"))
        return _summaries([said for _, said in due], now_s)

    def rest(self, now_s: float) -> list[Entry]:
        """What was kept back until now, at the end."""
        said, self._said = list(self._said.values()), {}
        return _summaries(said, now_s)

    def _key(self, record: logging.LogRecord, entry: Entry) -> Key:
        """What makes two lines the same: all but numbers that were measured."""
        kind = entry.message if str(record.msg).strip() == "%s" else str(record.msg)
        given = record.args.values() if isinstance(record.args, dict) else record.args or ()
        bug = (repr(record.exc_info[1]),) if record.exc_info else ()
        words = (str(value) for value in given if not isinstance(value, float))
        identity = (*map(str, entry.about.values()), *words, *bug)
        key = (entry.level, kind, identity)
        if key not in self._said and sum(known[:2] == key[:2] for known in self._said) >= _VARIANTS:
            return (entry.level, kind, None)
        return key


def _summaries(said: list[_Said], now_s: float) -> list[Entry]:
    kept_back = sorted((each for each in said if each.kept_back), key=lambda each: each.latest.time_s)
    return [replace(each.latest, repeated=each.kept_back, span_s=now_s - each.since_s) for each in kept_back]
