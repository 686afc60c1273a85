"""Power cuts of the event log: everything that a process writes is recorded, and cut off at every point.

    python -m tests.faults.power_cut --cuts 2000 --seed 1

A process appends, commits, replays, rejects, runs into a full log, checkpoints, ends and begins again; strace records
each write and sync of its files.  A cut keeps everything that was synced before it, of the writes since then some at
random, and of one of those some sectors of 512 bytes only; of names that were made or removed since the directory was
synced, the first few.  Then the log is opened on what is left: every event of a commit that had returned must be
there, or have been acknowledged, or be announced as dropped; the file must be whole, and go on working.
"""

import argparse
import json
import logging
import os
import random
import re
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ampedge.clock import FakeClock
from ampedge.records import DROPPED
from ampedge.store import database
from ampedge.store.event_log import EventLog
from tests.support.parts import needed
from tests.support.store import DEVICE, event

SECTOR = 512
LARGEST_BYTES = 80_000
TRACED = "openat,write,pwrite64,ftruncate,fsync,fdatasync,unlink,rename"


def work(directory: Path, marks: int, steps: int, seed: int) -> None:
    """What is recorded; the marks between the writes say what had been promised or done by then."""
    database.CHECKPOINT_PAGES = 30
    database.WAL_KEPT_BYTES = 60_000
    chance = random.Random(seed)
    clock = FakeClock()
    made, lives = 0, 0
    log: EventLog | None = None

    def mark(**what: Any) -> None:
        os.write(marks, json.dumps(what).encode() + b"\n")

    for step in range(steps):
        if log is None:
            lives += 1
            log = EventLog(directory, boot=f"boot-{lives}", clock=clock, max_bytes=LARGEST_BYTES)
            log.open()
        for _ in range(chance.choice([1, 5, 40, 80])):
            payload = event(made, boot=f"boot-{lives}", filler=150)
            row = log.append(DEVICE, made, clock.time(), payload)
            made += 1
            if chance.random() < 0.2:
                log.sent(row)
                mark(acknowledged=made - 1)
                log.acknowledged(row)
        clock.advance(2)
        for _ in range(0 if step % 30 < 20 else chance.choice([0, 5])):  # the broker comes and goes
            for stored in log.waiting(log.may_replay()):
                log.sent(stored.id)
                plain = json.loads(stored.payload)
                if stored.kind == DROPPED:
                    mark(told=plain)
                elif chance.random() < 0.05:
                    log.rejected(stored.id, "too_large")
                    continue
                else:
                    mark(acknowledged=plain["sequence"])
                log.acknowledged(stored.id)
            log.commit(reachable=True, durable=False)
        log.commit(reachable=False)
        if log.problem is None:
            mark(committed=made)
        if chance.random() < 0.05:
            log.close()
            mark(committed=made)
            log = None


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that the process did: `what` is create, write, resize, sync, unlink, rename or mark."""

    what: str
    name: str = ""
    at: int = 0
    data: bytes = b""
    mark: dict[str, Any] = field(default_factory=dict)


_CALL = re.compile(rb"(\w+)\((.*)\) += (-?\d+)")
_HEX = re.compile(rb"(?:\\x[0-9a-f]{2})+")


def recorded(place: Path, steps: int, seed: int) -> list[Step]:
    """Run the work under strace and read what it did with its files."""
    directory, trace, marks = place / "recorded", place / "trace", place / "marks"
    directory.mkdir()
    command = [needed("strace"), "-y", "-xx", "-s", "1000000", "-e", f"trace={TRACED}", "-o", str(trace)]
    command += [sys.executable, "-m", "tests.faults.power_cut", "--record", str(directory), "--marks", str(marks)]
    command += ["--steps", str(steps), "--seed", str(seed)]
    subprocess.run(command, check=True, timeout=600)
    return list(_steps(trace, directory, marks))


def _steps(trace: Path, directory: Path, marks: Path) -> Iterator[Step]:
    own = str(directory).encode()
    known: set[str] = set()
    with trace.open("rb") as lines:
        for line in lines:
            found = _CALL.match(line)
            if found is None or found[3].startswith(b"-"):
                continue
            call = found[1].decode()
            texts = [bytes.fromhex(text.decode().replace("\\x", "")) for text in _HEX.findall(found[2])]
            numbers = [int(number) for number in re.findall(rb", (\d+)", found[2])]
            if call == "write" and texts and texts[0] == bytes(marks):
                yield Step("mark", mark=json.loads(texts[1]))
            path = texts[1] if call == "openat" and len(texts) > 1 else texts[0] if texts else b""
            if path == own and call in {"fsync", "fdatasync"}:
                yield Step("sync")
            if not path.startswith(own + b"/events.db") or path.endswith((b"-shm", b"(deleted)")):
                continue
            name = path[len(own) + 1 :].decode()
            if call == "openat" and b"O_CREAT" in found[2] and name not in known:
                known.add(name)
                yield Step("create", name)
            elif call == "pwrite64":
                yield Step("write", name, numbers[-1], texts[1])
            elif call == "ftruncate":
                yield Step("resize", name, numbers[-1])
            elif call in {"fsync", "fdatasync"}:
                yield Step("sync", name)
            elif call == "unlink":
                known.discard(name)
                yield Step("unlink", name)
            elif call in {"write", "rename"}:
                raise AssertionError(f"{call} of {name} is not expected")


@dataclass(slots=True)
class File:
    """What of a file is on the disk for sure, and what may be."""

    safe: bytearray = field(default_factory=bytearray)
    pending: list[Step] = field(default_factory=list)

    def sync(self) -> None:
        """All of it is on the disk."""
        for step in self.pending:
            _put(self.safe, step)
        self.pending.clear()

    def left(self, chance: random.Random) -> bytes:
        """What a cut leaves."""
        content = bytearray(self.safe)
        share = chance.choice([0.0, 0.5, 0.9, 1.0])
        torn = chance.randrange(len(self.pending)) if self.pending else -1
        for number, step in enumerate(self.pending):
            if number == torn and step.what == "write":
                for begin in range(0, len(step.data), SECTOR):
                    if chance.random() < 0.5:
                        _put(content, Step("write", at=step.at + begin, data=step.data[begin : begin + SECTOR]))
            elif chance.random() < share:
                _put(content, step)
        return bytes(content)


def _put(content: bytearray, step: Step) -> None:
    if step.what == "resize":
        del content[step.at :]
        content.extend(bytes(step.at - len(content)))
    else:
        content.extend(bytes(max(0, step.at - len(content))))
        content[step.at : step.at + len(step.data)] = step.data


@dataclass(slots=True)
class Promises:
    """What had been promised and done before a cut, in sequence numbers."""

    committed: int = 0
    acknowledged: set[int] = field(default_factory=set)
    told: list[dict[str, Any]] = field(default_factory=list)

    def note(self, mark: dict[str, Any]) -> None:
        """Take in a mark."""
        self.committed = mark.get("committed", self.committed)
        if "acknowledged" in mark:
            self.acknowledged.add(mark["acknowledged"])
        if "told" in mark:
            self.told.append(mark["told"])


class Disk:
    """The disk while the process runs."""

    def __init__(self) -> None:
        self._names: dict[str, File] = {}
        self._now: dict[str, File] = {}
        self._changes: list[tuple[str, File | None]] = []

    def take(self, step: Step) -> None:
        """Do what the process did."""
        if step.what == "create":
            self._now[step.name] = File()
            self._changes.append((step.name, self._now[step.name]))
        elif step.what == "unlink":
            self._now.pop(step.name, None)
            self._changes.append((step.name, None))
        elif step.what == "sync" and not step.name:
            self._names = dict(self._now)
            self._changes.clear()
        elif step.what == "sync":
            self._now[step.name].sync()
        else:
            self._now[step.name].pending.append(step)

    def cut(self, chance: random.Random, directory: Path) -> None:
        """Write what a cut of this moment leaves."""
        names = dict(self._names)
        for name, file in self._changes[: chance.randint(0, len(self._changes))]:
            if file is None:
                names.pop(name, None)
            else:
                names[name] = file
        for name, file in names.items():
            (directory / name).write_bytes(file.left(chance))


@dataclass(slots=True)
class Outcome:
    """Of so many cuts; `lost` counts committed events that were nowhere, `corrupt` logs that were not whole."""

    cuts: int = 0
    lost: int = 0
    corrupt: int = 0
    wrong: int = 0

    def add(self, promises: Promises, directory: Path) -> None:
        """Open what a cut left and compare."""
        self.cuts += 1
        with tempfile.TemporaryDirectory(dir=directory.parent) as copy:
            self._check_file(directory, Path(copy))
        clock = FakeClock()
        log = EventLog(directory, boot="after", clock=clock, max_bytes=10 * LARGEST_BYTES)
        log.open()
        self.corrupt += log.problem is not None
        before = log.counts
        stored = log.waiting(1_000_000)
        plain = [json.loads(row.payload) for row in stored]
        waiting = {one["sequence"] for one, row in zip(plain, stored, strict=True) if row.kind != DROPPED}
        said = [one for one, row in zip(plain, stored, strict=True) if row.kind == DROPPED]
        announced = set().union(*(range(one["first"] or 0, (one["last"] or -1) + 1) for one in (*said, *promises.told)))
        kept = set(range(promises.committed))
        self.lost += len(kept - waiting - promises.acknowledged - announced)
        payloads = [event(one["sequence"], boot=one["boot"], filler=150) for one in plain if "sequence" in one]
        self.wrong += payloads != [row.payload for row in stored if row.kind != DROPPED]
        log.append(DEVICE, 0, clock.time(), event(0, boot="after"))
        log.close()
        log = EventLog(directory, boot="afterwards", clock=clock)
        log.open()
        counts = log.counts
        self.wrong += counts.produced != before.produced + 1 or counts.dropped != before.dropped
        self.wrong += counts.produced != counts.delivered + counts.dropped + counts.waiting
        self.wrong += counts.waiting != len(waiting) + 1
        log.close()

    def _check_file(self, directory: Path, copy: Path) -> None:
        """SQLite's own opinion, on a copy."""
        for path in directory.iterdir():
            (copy / path.name).write_bytes(path.read_bytes())
        with closing(sqlite3.connect(copy / "events.db")) as connection:
            try:
                self.corrupt += connection.execute("PRAGMA integrity_check").fetchone() != ("ok",)
            except sqlite3.DatabaseError:
                self.corrupt += 1


def cut(steps: list[Step], cuts: int, seed: int, say: Callable[[Outcome], None] = lambda _: None) -> Outcome:
    """Cut the recorded work so many times."""
    chance = random.Random(seed)
    points = sorted(chance.randrange(1, len(steps) + 1) for _ in range(cuts))
    disk, promises, outcome = Disk(), Promises(), Outcome()
    done = 0
    for point in points:
        for step in steps[done:point]:
            if step.what == "mark":
                promises.note(step.mark)
            else:
                disk.take(step)
        done = point
        with tempfile.TemporaryDirectory() as place:
            directory = Path(place) / "state"
            directory.mkdir()
            disk.cut(chance, directory)
            outcome.add(promises, directory)
        say(outcome)
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cuts", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--record", type=Path)
    parser.add_argument("--marks", type=Path)
    given = parser.parse_args()
    logging.getLogger("ampedge").setLevel(logging.CRITICAL)
    if given.record is not None:
        work(given.record, os.open(given.marks, os.O_CREAT | os.O_WRONLY, 0o600), given.steps, given.seed)
        return
    with tempfile.TemporaryDirectory() as place:
        steps = recorded(Path(place), given.steps, given.seed)
    kinds = {kind: sum(step.what == kind for step in steps) for kind in ("write", "sync", "unlink", "mark")}
    print(f"recorded: {kinds['write']} writes, {kinds['sync']} syncs, {kinds['unlink']} deletions")
    outcome = cut(steps, given.cuts, given.seed)
    print(
        f"{outcome.cuts} cuts, {outcome.lost} committed rows lost, {outcome.corrupt} corrupt logs, "
        f"{outcome.wrong} wrong accounts"
    )
    sys.exit(outcome.lost + outcome.corrupt + outcome.wrong > 0)


if __name__ == "__main__":
    main()
