"""An event log that a test can kill: what a kill leaves is what the files hold at that moment."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

from ampedge.clock import FakeClock
from ampedge.records import DROPPED, Stored
from ampedge.store.event_log import EventLog

DEVICE = "amplifier"


def event(sequence: int, *, boot: str = "boot-1", device: str = DEVICE, filler: int = 0) -> bytes:
    """An event as the log sees it, with so many random bytes that no compression takes away."""
    noise = random.Random(sequence).randbytes(filler).hex()[:filler]
    return json.dumps({"device": device, "boot": boot, "sequence": sequence, "noise": noise}).encode()


def sequences(stored: list[Stored]) -> list[int]:
    """The sequence numbers of what the log hands out."""
    return [json.loads(row.payload)["sequence"] for row in stored]


def announced(stored: list[Stored]) -> list[dict[str, Any]]:
    """What the announcements among the rows say."""
    return [json.loads(row.payload) for row in stored if row.kind == DROPPED]


class Store:
    """One log in a directory of its own, and a clock turned by hand; `options` go to the log."""

    def __init__(self, place: Path, **options: Any) -> None:
        self._place = place
        self._lives = 0
        self._options = options
        self.clock = FakeClock()
        self.directory = place / "life-1"
        self.directory.mkdir(parents=True)
        self.log = self._begin()

    @property
    def boot(self) -> str:
        """The boot id of this life."""
        return f"boot-{self._lives}"

    @property
    def file(self) -> Path:
        """The log's file."""
        return self.directory / "events.db"

    def append(self, count: int = 1, *, first: int = 0, filler: int = 0, device: str = DEVICE) -> list[int]:
        """Append events that nobody publishes now; their ids."""
        ids = []
        for sequence in range(first, first + count):
            payload = event(sequence, boot=self.boot, device=device, filler=filler)
            ids.append(self.log.append(device, sequence, self.clock.time(), payload))
        return ids

    def kept(self, count: int, *, first: int = 0, filler: int = 0) -> list[int]:
        """Append events and commit them."""
        ids = self.append(count, first=first, filler=filler)
        self.log.commit(reachable=False)
        return ids

    def waiting(self, limit: int = 100_000) -> list[Stored]:
        """All that waits, after the moment in which a live event belongs to its maker."""
        self.clock.advance(1.5)
        return self.log.waiting(limit)

    def deliver(self, limit: int = 100_000) -> list[Stored]:
        """Hand out what waits, and have it acknowledged."""
        stored = self.waiting(limit)
        for row in stored:
            self.log.sent(row.id)
            self.log.acknowledged(row.id)
        return stored

    def close(self) -> None:
        """End as a service does that is told to."""
        self.log.close()

    def reopen(self) -> None:
        """Begin again after an end."""
        self.log = self._begin()

    def crash(self) -> None:
        """End without a word: what the files hold at this moment is left, and nobody has them open."""
        left = self._place / f"life-{self._lives + 1}"
        shutil.copytree(self.directory, left, ignore=shutil.ignore_patterns("*-shm"))
        self.log._close_file()
        self.directory = left

    def kill(self) -> None:
        """End without a word, and begin again."""
        self.crash()
        self.reopen()

    def _begin(self) -> EventLog:
        self._lives += 1
        log = EventLog(self.directory, boot=self.boot, clock=self.clock, announcer=DEVICE, **self._options)
        log.open()
        return log
