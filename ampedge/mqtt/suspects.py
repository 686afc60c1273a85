"""Rows that the broker may not be able to take, and the proof that each of them needs before it is given up."""

import time
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass

from ampedge.records import Stored

RETRY_S = 60.0
"""Seconds until a row that the broker refused is tried again, and between tries alone that are all in vain."""
MOST_ASIDE = 10
_LOSSES = 3
_PROOFS = 3
_UNSTEADY = 10
_LIKE = 0.9
"""What has nearly the size of a suspect is like it: events of one device differ by some digits."""
_REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class Sent:
    """A row, or with `row_id` None a state, that waits for its acknowledgement; `size` is that of its packet."""

    row_id: int | None
    topic: str
    size: int
    at_s: float


@dataclass(slots=True)
class _Suspicion:
    losses: int = 0
    proofs: int = 0
    refused_s: float | None = None

    @property
    def strong(self) -> bool:
        return self.losses >= _LOSSES or self.refused_s is not None


@dataclass(slots=True)
class _Doubt:
    """On one topic: the size from which on packets are held back, and the smallest that was lost again and again."""

    least: int
    lost: int


class Suspects:
    """Keeps aside what may be to blame, so that one row cannot hold up the others.

    A row that was on its way at three losses of the connection, one after the other, is kept aside, the first of
    them where they are several, since a broker takes one after the other.
    With it whatever is at least nearly as large is in doubt on its topic: a stream of rows that the broker cuts off
    would otherwise end each connection before one of them could be tried.
    A suspect is tried alone, on a connection that has stood for a while; one of a topic at a time, in turns.
    Where that ends the connection too, three times and each time after others got through, the row is given up.
    So no number of ordinary losses suffices: a killed broker takes the rows again when it is back.
    The doubt ends when the broker takes such a row, or when connections are lost though nothing in doubt is sent.
    A row that the broker refused by its message id is tried again every minute, and is given up after three
    refusals between which it took others on the same topic.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.aside: dict[int, Stored] = {}
        self._monotonic = monotonic
        self._known: dict[int, _Suspicion] = {}
        self._topics: dict[int, str] = {}
        self._doubts: dict[str, _Doubt] = {}
        self._in_vain = 0
        self._in_vain_s = float("-inf")
        self._unsteady = 0

    def is_one(self, row_id: int, topic: str, size: int) -> bool:
        """Whether the row is not to be sent along with others."""
        known = self._known.get(row_id)
        doubt = self._doubts.get(topic)
        return (known is not None and known.strong) or (doubt is not None and size >= doubt.least)

    def doubt(self, topic: str) -> int | None:
        """The size in bytes of the packet that brought this topic into doubt, None while all is well."""
        doubt = self._doubts.get(topic)
        return None if doubt is None else doubt.lost

    def has(self, topic: str) -> bool:
        """Whether a row for this topic is kept aside."""
        return topic in self._topics.values()

    def has_room(self, topic: str) -> bool:
        """Whether a row for this topic could be kept aside now."""
        return not self.has(topic) and len(self.aside) < MOST_ASIDE

    def keep(self, stored: Stored, topic: str) -> bool:
        """Put a row aside; False where there is no room for it now."""
        if not self.has_room(topic):
            return False
        self.aside[stored.id] = stored
        self._topics[stored.id] = topic
        return True

    def due(self, *, alone: bool) -> Stored | None:
        """A row to try now: one that must be alone, or one that was refused a while ago."""
        now_s = self._monotonic()
        if alone and self._in_vain >= _PROOFS and now_s - self._in_vain_s < RETRY_S:
            return None
        for row_id, stored in self.aside.items():
            refused_s = self._suspicion(row_id).refused_s
            if alone if refused_s is None else not alone and now_s - refused_s >= RETRY_S:
                return stored
        return None

    def tried(self, row_id: int) -> None:
        """It is on its way again; the others have their turn before it is the next time."""
        known = self._suspicion(row_id)
        if known.refused_s is not None:
            known.refused_s = self._monotonic()
        self.aside[row_id] = self.aside.pop(row_id)

    def connected(self, *, at_once: bool) -> list[int] | None:
        """The broker has accepted a connection; where that ends all doubts, the rows that were aside for them.

        A broker that had been away may have been mended, so nothing waits for long to be tried.
        """
        self._in_vain = self._in_vain if at_once else 0
        self._unsteady = self._unsteady + 1 if self._doubts else 0
        if self._unsteady <= _UNSTEADY:
            return None
        self._unsteady = 0
        self._doubts.clear()
        self._forget_losses(keep=())
        cleared = [row_id for row_id in self.aside if row_id not in self._known]
        for row_id in cleared:
            self.given_up(row_id)
        return cleared

    def steady(self) -> None:
        """A connection has stood for a while, so what is in doubt can be tried."""
        self._unsteady = 0

    def lost(self, sent: Iterable[Sent]) -> None:
        """The connection ended while these were on their way, in this order, and they may be why."""
        found = False
        for each in sent:
            if each.row_id is not None:
                known = self._suspicion(each.row_id)
                known.losses = min(known.losses + 1, _LOSSES - found)
                if known.losses == _LOSSES:
                    found = True
                    self._suspect(each.topic, each.size)

    def lost_alone(self, row_id: int, *, proof: bool) -> bool:
        """The connection ended while this one was tried alone; whether there is proof enough to give it up."""
        self._in_vain += 1
        self._in_vain_s = self._monotonic()
        known = self._suspicion(row_id)
        known.proofs += proof
        return known.proofs >= _PROOFS

    def refused(self, row_id: int, taken_s: float | None) -> bool:
        """The broker refused it; whether to give it up. `taken_s` is when it last took one on the same topic."""
        known = self._suspicion(row_id)
        if known.refused_s is None or (taken_s is not None and taken_s > known.refused_s):
            known.proofs += 1
        known.refused_s = self._monotonic()
        return known.proofs >= _PROOFS

    def taken(self, row_id: int, topic: str, size: int) -> bool:
        """The broker took it; whether less is in doubt now."""
        if row_id in self.aside:
            self._in_vain = 0
        self.given_up(row_id)
        doubt = self._doubts.get(topic)
        if doubt is None or size < doubt.least:
            return False
        doubt.least = size + 1
        if size >= doubt.lost:
            del self._doubts[topic]
            self._forget_losses(keep=self.aside)
        return True

    def given_up(self, row_id: int) -> None:
        """The row is no concern any more; what is as large stays in doubt."""
        self._known.pop(row_id, None)
        self._topics.pop(row_id, None)
        self.aside.pop(row_id, None)

    def _suspect(self, topic: str, size: int) -> None:
        doubt = self._doubts.setdefault(topic, _Doubt(size + 1, size))
        if size < doubt.least:
            doubt.least = int(size * _LIKE)
        doubt.lost = min(doubt.lost, size)
        self._unsteady = 0

    def _forget_losses(self, *, keep: Container[int]) -> None:
        rows = self._known.items()
        self._known = {row_id: known for row_id, known in rows if row_id in keep or known.refused_s is not None}

    def _suspicion(self, row_id: int) -> _Suspicion:
        known = self._known.get(row_id)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                oldest = next((known_id for known_id in self._known if known_id not in self.aside), None)
                self._known.pop(oldest, None) if oldest is not None else None
            known = self._known[row_id] = _Suspicion()
        return known
