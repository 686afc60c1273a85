"""The live line that `serve` shows on a terminal."""

from rich.text import Text

from ampedge.decision import in_percent
from ampedge.records import UNKNOWN, Quality
from ampedge.service.service import Snapshot

_STYLES = {Quality.GOOD: "green", Quality.UNCERTAIN: "yellow", Quality.BAD: "red"}


def line(snapshot: Snapshot, normal: str) -> Text:
    """The live line: label, confidence, quality, age, rate, broker."""
    record = snapshot.record
    text = Text(no_wrap=True, overflow="ellipsis")
    if record is None:
        return text.append("waiting for the first reading ...", "dim")
    style = "bold yellow" if record.label == UNKNOWN else "bold green" if record.label == normal else "bold red"
    text.append(f" {record.label} ", style)
    if record.confidence is not None:
        text.append(f" {in_percent(record.confidence)} ")
    text.append(f" {record.quality} ", _STYLES[record.quality])
    if record.reasons:
        text.append(f"({', '.join(record.reasons)}) ", "dim")
    text.append(f" {snapshot.age_s:.1f} s ago  {snapshot.rate:.2g}/s  ", "dim")
    text.append("MQTT connected" if snapshot.connected else "MQTT away", "dim" if snapshot.connected else "bold red")
    if snapshot.dropped:
        text.append(f", {snapshot.dropped} dropped", "red")
    if snapshot.skipped:
        text.append(f"  {snapshot.skipped} skipped", "red")
    return text
