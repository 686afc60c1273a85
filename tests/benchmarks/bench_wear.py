"""What the event log writes to the card in a day, with a broker that answers, at one event a second.

A day's events of the amplifier go through the shipping log on a clock that does not wait; they are acknowledged at
once and committed every 60 seconds.  Counted is what the operating system sends to the disk for this process
(`write_bytes` of /proc/self/io), which includes the journal of the log but not that of the file system.
Beside it, for a tenth of a day, the same without a broker, and with a commit for every event as the plain way to
lose nothing.
"""

import os
import sys
import tempfile
from pathlib import Path

from ampedge.clock import FakeClock
from ampedge.modbus.codec import encode_row
from ampedge.model.bundle import load_bundle
from ampedge.pipeline import Pipeline
from ampedge.records import Frame
from ampedge.samples import BUNDLE, shipped
from ampedge.store.event_log import EventLog
from ampedge.wire import Origin, event_payload
from tests.benchmarks.parts import GOLDEN

DAY_S = 86_400
PROMISED_MB = 100.0


def written_bytes() -> int:
    """What this process has sent to the disk so far."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.partition(": ")[2]) for line in lines if line.startswith("write_bytes"))


def megabytes_a_day(events: int, *, commit_s: float, reachable: bool = True) -> float:
    """MB a day at one event a second, with a broker that acknowledges or without one."""
    bundle = load_bundle(shipped(BUNDLE))
    pipeline = Pipeline(bundle)
    clock = FakeClock()
    boot = "0123456789abcdef"
    origin = Origin("amplifier", boot, "amplifier", "1", bundle.classes, bundle.manifest.normal_label, 1.0)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as place:
        log = EventLog(Path(place), boot=boot, clock=clock, commit_s=commit_s)
        log.open()
        before = written_bytes()
        for sequence in range(events):
            moved = [v * (1 + 0.003 * ((sequence * 7919 + i * 104_729) % 100) / 100) for i, v in enumerate(GOLDEN)]
            words = tuple(encode_row(bundle.datamap.tags, moved))
            frame = Frame("amplifier", clock.time(), words, monotonic_s=clock.monotonic())
            payload = event_payload(pipeline.run(frame), origin, sequence, time_synced=True)
            row = log.append("amplifier", sequence, clock.time(), payload)
            if reachable:
                log.sent(row)
                log.acknowledged(row)
            clock.advance(1.0)
            if clock.monotonic() >= log.due_s():
                log.commit(reachable=reachable)
        log.close()
        os.sync()
        return (written_bytes() - before) / events * DAY_S / 1e6


def main() -> None:
    if not Path("/proc/self/io").exists():
        sys.exit("This benchmark reads /proc/self/io: run it on Linux.")
    ours = megabytes_a_day(DAY_S, commit_s=60.0)
    away = megabytes_a_day(DAY_S // 10, commit_s=60.0, reachable=False)
    plain = megabytes_a_day(DAY_S // 10, commit_s=1.0)
    if ours == 0:
        sys.exit("Nothing was written: run this in a directory on a disk, not in memory.")
    print(f"event log, a commit for every event: {plain:.0f} MB a day")
    print(f"event log, without a broker: {away:.0f} MB a day")
    print(f"event log, a commit a minute: {ours:.1f} MB a day at one event a second (promised: at most 100)")
    sys.exit(ours > PROMISED_MB)


if __name__ == "__main__":
    main()
