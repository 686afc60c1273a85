"""Rows that the broker may not be able to take, and the proof that each of them needs before it is given up."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ampedge.records import Stored

RETRY_S = 60.0
"""Seconds until a row that the broker refused is tried again."""
MOST_ASIDE = 10
_LOSSES = 3
_PROOFS = 3
_REMEMBERED = 1000


@dataclass(slots=True)
class _Suspicion:
    losses: int = 0
    proofs: int = 0
    refused_s: float | None = None

    @property
    def strong(self) -> bool:
        return self.losses >= _LOSSES or self.refused_s is not None


class Suspects:
    """Keeps aside what may be to blame, so that one row cannot hold up the others.

    A row that was on its way at three losses of the connection, one after the other, is kept aside.
    It is then tried alone, on a connection that has stood for a while.
    Where that ends the connection too, three times and each time after others got through, the row is given up.
    So no number of ordinary losses suffices: a killed broker takes the rows again when it is back.
    A row that the broker refused by its message id is tried again every minute, and is given up after three
    refusals between which it took others on the same topic.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.aside: dict[int, Stored] = {}
        self._monotonic = monotonic
        self._known: dict[int, _Suspicion] = {}

    def is_one(self, row_id: int) -> bool:
        """Whether the row is to be kept aside rather than sent along with others."""
        known = self._known.get(row_id)
        return known is not None and known.strong

    def keep(self, stored: Stored) -> bool:
        """Put a row aside; False where there is no room for it now."""
        if len(self.aside) >= MOST_ASIDE:
            return False
        self.aside[stored.id] = stored
        return True

    def due(self, *, alone: bool) -> Stored | None:
        """A row to try now: one that must be alone, or one that was refused a while ago."""
        now_s = self._monotonic()
        for row_id, stored in self.aside.items():
            refused_s = self._known[row_id].refused_s
            if alone if refused_s is None else not alone and now_s - refused_s >= RETRY_S:
                return stored
        return None

    def tried(self, row_id: int) -> None:
        """It is on its way again."""
        known = self._suspicion(row_id)
        if known.refused_s is not None:
            known.refused_s = self._monotonic()

    def lost(self, row_ids: Iterable[int]) -> None:
        """The connection ended while these were on their way, and they may be why."""
        for row_id in row_ids:
            self._suspicion(row_id).losses += 1

    def lost_alone(self, row_id: int) -> bool:
        """The same for a row that was tried alone; whether that is proof enough to give it up."""
        known = self._suspicion(row_id)
        known.proofs += 1
        return known.proofs >= _PROOFS

    def refused(self, row_id: int, taken_s: float | None) -> bool:
        """The broker refused it; whether to give it up. `taken_s` is when it last took one on the same topic."""
        known = self._suspicion(row_id)
        if known.refused_s is None or (taken_s is not None and taken_s > known.refused_s):
            known.proofs += 1
        known.refused_s = self._monotonic()
        return known.proofs >= _PROOFS

    def settled(self, row_id: int) -> None:
        """The broker took it, or it was given up."""
        self._known.pop(row_id, None)
        self.aside.pop(row_id, None)

    def _suspicion(self, row_id: int) -> _Suspicion:
        known = self._known.get(row_id)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                oldest = next((known_id for known_id in self._known if known_id not in self.aside), None)
                self._known.pop(oldest, None) if oldest is not None else None
            known = self._known[row_id] = _Suspicion()
        return known
