"""What `serve` shows while it runs: a live line on a terminal, log lines otherwise."""

import signal
import threading
from contextlib import ExitStack

from rich.console import Console
from rich.text import Text

from ampedge import log
from ampedge.errors import AmpedgeError
from ampedge.log import logger
from ampedge.records import UNKNOWN, Quality
from ampedge.service.service import Service, Snapshot

_REFRESH_S = 0.25
_PATIENCE_S = 3.0
_STYLES = {Quality.GOOD: "green", Quality.UNCERTAIN: "yellow", Quality.BAD: "red"}


def run(service: Service, model: str) -> None:
    """Run the service until SIGINT or SIGTERM; raises AmpedgeError where it cannot start."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    console = Console(stderr=True)
    live_line = console.is_terminal
    log.set_up((lambda line: console.print(line, markup=False, highlight=False)) if live_line else None)
    logger.info(model)
    watch = BrokerWatch()
    with service, ExitStack() as shown:
        if live_line:
            from rich.live import Live

            live = shown.enter_context(Live(console=console, auto_refresh=False, transient=True))
        while not stop.wait(_REFRESH_S):
            snapshot = service.snapshot()
            watch.look(snapshot, service)
            if live_line:
                live.update(line(snapshot, service.origin.normal_label), refresh=True)
            if not service.alive:
                raise AmpedgeError("The poller stopped; see the log above.", "Report it with that traceback.")
    logger.info("Stopped.")


class BrokerWatch:
    """Says once that the broker is away and once that it is back."""

    def __init__(self) -> None:
        self._looks = 0
        self._said_away = False
        self._said_here = False

    def look(self, snapshot: Snapshot, service: Service) -> None:
        """Take note of the state and log a change."""
        self._looks += 1
        if snapshot.connected:
            if not self._said_here:
                logger.info("Publishing to %s, topic %s.", service.broker, service.topic)
            self._said_here, self._said_away = True, False
        elif not self._said_away and (self._said_here or self._looks * _REFRESH_S >= _PATIENCE_S):
            logger.warning(
                "No MQTT broker at %s: %s Start one (sudo apt install mosquitto) and give it with --broker HOST:PORT, "
                "or try `ampedge serve --broker embedded`. Polling goes on; what is not sent is dropped and counted.",
                service.broker,
                snapshot.problem or "it does not answer.",
            )
            self._said_away, self._said_here = True, False


def line(snapshot: Snapshot, normal: str) -> Text:
    """The live line: label, confidence, quality, age, rate, broker."""
    record = snapshot.record
    text = Text(no_wrap=True, overflow="ellipsis")
    if record is None:
        return text.append("waiting for the first reading ...", "dim")
    style = "bold yellow" if record.label == UNKNOWN else "bold green" if record.label == normal else "bold red"
    text.append(f" {record.label} ", style)
    if record.confidence is not None:
        text.append(f" {record.confidence:.0%} ")
    text.append(f" {record.quality} ", _STYLES[record.quality])
    if record.reasons:
        text.append(f"({', '.join(record.reasons)}) ", "dim")
    text.append(f" {snapshot.age_s:.1f} s ago  {snapshot.rate:.2g}/s  ", "dim")
    text.append("MQTT connected" if snapshot.connected else "MQTT away", "dim" if snapshot.connected else "bold red")
    if snapshot.dropped:
        text.append(f", {snapshot.dropped} dropped", "red")
    if snapshot.skipped:
        text.append(f"  {snapshot.skipped} polls skipped", "red")
    return text
