"""Lives of the event log, made up at random: whatever happens in whatever order, nothing accepted is lost.

Covers: restarts and kills at any moment, lost connections, rejected events, a log that is full, commits of rows and
commits of the cursor only, acknowledgements while a commit is running.
"""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ampedge.records import DROPPED, Stored
from ampedge.store.database import Database
from ampedge.store.ledger import MAX_EXPOSED
from tests.support.store import DEVICE, Store, event

WINDOW = 20
"""Events that may be on their way at once, as with the broker."""

Identity = tuple[str, int]


class Lives:
    """The service's side of the log, and a consumer that counts what comes."""

    def __init__(self, place: Path, *, max_bytes: int, seed: int) -> None:
        self.store = Store(place, max_bytes=max_bytes)
        self.chance = random.Random(seed)
        self._narrow()
        self.sequence = 0
        self.alive: dict[int, Identity] = {}  # every id of this life
        self.fresh: set[Identity] = set()  # neither acknowledged nor written
        self.accepted: set[Identity] = set()
        self.received: list[Identity] = []
        self.announced: set[Identity] = set()
        self.told: dict[str, int] = {}  # how many events each announcement was about
        self.on_way: dict[int, Stored] = {}
        self.sent_now: set[Identity] = set()  # in this life, and not returned

    def outage(self) -> None:
        """Events that nobody publishes."""
        self._append(self.chance.choice([1, 20, 150]), self.chance.choice([0, 200, 1000]))
        self.store.clock.advance(self.chance.choice([0, 5]))

    def long_outage(self) -> None:
        """So many that the log may be full, in several commits."""
        for _ in range(3):
            self._append(100, self.chance.choice([300, 1000]))
            self.commit_away()

    def live_events(self, most: int = 30) -> None:
        """Events that are published at once, as far as the window goes."""
        for row_id in self._append(self.chance.randint(1, most), 50):
            if len(self.on_way) < WINDOW:
                self._send(Stored(row_id, 0, DEVICE, event(self.alive[row_id][1], boot=self.store.boot)))

    def replay(self) -> None:
        """What waits is sent again."""
        self.store.clock.advance(1.5)
        room = min(self.chance.randint(1, 25), WINDOW - len(self.on_way), self.store.log.may_replay())
        stored = self.store.log.waiting(room) if room > 0 else []
        assert [row.id for row in stored] == sorted(row.id for row in stored)
        assert len(stored) <= room
        for row in stored[: self.chance.choice([room, room, room // 2])]:
            self._send(row)

    def acknowledge(self) -> None:
        """The broker acknowledges some."""
        for row_id in self._some():
            self._acknowledge(row_id)

    def reject(self) -> None:
        """The broker refuses a few for good."""
        for row_id in self._some()[:3]:
            row = self.on_way.pop(row_id)
            self.store.log.rejected(row_id, "too_large")
            if row.kind == DROPPED:
                self._heard(row)  # a consumer that refuses to be told has been told
            else:
                self.sent_now.discard(self._identity(row))

    def connection_lost(self) -> None:
        """What was on its way waits again."""
        self.store.log.returned(list(self.on_way))
        for row in self.on_way.values():
            if row.kind != DROPPED:
                self.sent_now.discard(self._identity(row))
        self.on_way.clear()

    def commit_away(self) -> None:
        """A commit while the broker is away takes everything."""
        self.store.clock.advance(self.chance.choice([0, 2, 60]))
        self.store.log.commit(reachable=False)
        self.accepted |= self.fresh
        self.fresh.clear()

    def commit(self) -> None:
        """A commit in whose midst acknowledgements and rejections come, and live events are made and published."""
        later = self.chance.choice([0, 2])
        durable = self.chance.random() < 0.5
        self.store.clock.advance(later)
        before = set(self.fresh)
        room = len(self.on_way) < WINDOW / 2
        write = Database.write

        def interrupted(database, batch, limits, *, durable):
            self.acknowledge()
            self.reject()
            self.live_events(2)
            return write(database, batch, limits, durable=durable)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Database, "write", interrupted)
            self.store.log.commit(reachable=True, durable=durable)
        if durable and later and room:  # nothing had to be held back
            self.accepted |= before & self.fresh
            self.fresh -= before

    def close(self) -> None:
        """An end as it should be."""
        self._forget()
        self.store.close()
        self.accepted |= self.fresh
        self.fresh.clear()
        self.store.reopen()
        self._narrow()

    def kill(self) -> None:
        """An end as it should not be."""
        maybe_twice = set(self.sent_now)
        self._forget()
        self.store.kill()
        self._narrow()
        self.fresh.clear()
        self.store.clock.advance(2)
        twice = [row for row in self.store.log.waiting(10**6) if row.kind != DROPPED]
        assert len({self._identity(row) for row in twice} & maybe_twice) <= MAX_EXPOSED

    def check(self) -> None:
        """What holds at every moment."""
        counts = self.store.log.counts
        assert counts.produced == counts.delivered + counts.dropped + counts.waiting
        assert min(counts.produced, counts.delivered, counts.dropped, counts.waiting) >= 0
        assert self.store.log.problem is None

    def end(self) -> None:
        """Everything is sent and acknowledged, and the accounts are made."""
        self.store.clock.advance(2)
        for row_id in list(self.on_way):
            self._acknowledge(row_id)
        self.store.log.commit(reachable=False)  # announcements go out when they are on disk
        for row in self.store.log.waiting(10**6):
            self._send(row)
            self._acknowledge(row.id)
        counts = self.store.log.counts
        assert counts.waiting == 0
        assert counts.produced == counts.delivered + counts.dropped
        assert sum(self.told.values()) == counts.dropped
        assert self.accepted <= set(self.received) | self.announced

    def _narrow(self) -> None:
        """In some lives the memory is small, so that events are dropped before they are written."""
        self.store.log._ledger._memory_bytes = self.chance.choice([40_000, 1_000_000])

    def _append(self, count: int, filler: int) -> list[int]:
        ids = self.store.append(count, first=self.sequence, filler=filler)
        for row_id in ids:
            self.alive[row_id] = (self.store.boot, self.sequence)
            self.fresh.add(self.alive[row_id])
            self.sequence += 1
        return ids

    def _send(self, row: Stored) -> None:
        self.store.log.sent(row.id)
        self.on_way[row.id] = row
        if row.kind != DROPPED:
            self.sent_now.add(self._identity(row))

    def _acknowledge(self, row_id: int) -> None:
        row = self.on_way.pop(row_id, None)
        if row is None:
            return
        self.store.log.acknowledged(row_id)
        if row.kind == DROPPED:
            self._heard(row)
        else:
            self.received.append(self._identity(row))
            self.accepted.add(self._identity(row))
            self.fresh.discard(self._identity(row))

    def _heard(self, row: Stored) -> None:
        said = json.loads(row.payload)
        self.told[row.payload.decode()] = said["count"]
        self.announced |= {(said["boot"], number) for number in range(said["first"], said["last"] + 1)}

    def _some(self) -> list[int]:
        ids = sorted(self.on_way)
        return self.chance.sample(ids, self.chance.randint(0, len(ids)))

    def _forget(self) -> None:
        self.on_way.clear()
        self.sent_now.clear()

    @staticmethod
    def _identity(row: Stored) -> Identity:
        plain = json.loads(row.payload)
        return plain["boot"], plain["sequence"]


ACTIONS: list[Callable[[Lives], None]] = [
    Lives.outage,
    Lives.outage,
    Lives.long_outage,
    Lives.live_events,
    Lives.live_events,
    Lives.replay,
    Lives.replay,
    Lives.acknowledge,
    Lives.acknowledge,
    Lives.reject,
    Lives.connection_lost,
    Lives.commit_away,
    Lives.commit,
    Lives.commit,
    Lives.close,
    Lives.kill,
]


@given(
    actions=st.lists(st.sampled_from(ACTIONS), min_size=40, max_size=70),
    max_bytes=st.sampled_from([120_000, 300_000, 512_000_000]),
    seed=st.integers(0, 1 << 32),
)
@settings(max_examples=12)
def test_whatever_happens_nothing_accepted_is_lost(
    actions: list[Callable[[Lives], None]],
    max_bytes: int,
    seed: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    lives = Lives(tmp_path_factory.mktemp("lives") / "log", max_bytes=max_bytes, seed=seed)
    try:
        for action in actions:
            action(lives)
            lives.check()
        lives.end()
    finally:
        lives.store.close()
