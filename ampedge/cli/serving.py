"""What `serve` does while it runs: waits to be told to stop, and says when the broker comes and goes."""

import signal
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack

from ampedge import log
from ampedge.errors import AmpedgeError
from ampedge.log import logger
from ampedge.service.service import Service, Snapshot

_REFRESH_S = 0.25
_PATIENCE_S = 3.0


def run(service: Service, model: str) -> None:
    """Run the service until SIGINT or SIGTERM; raises AmpedgeError where it cannot start."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with ExitStack() as shown:
        show = _live_line(shown, service) if sys.stderr.isatty() else _log_lines()
        logger.info(model)
        watch = BrokerWatch()
        shown.enter_context(service)
        while not stop.wait(_REFRESH_S):
            snapshot = service.snapshot()
            watch.look(snapshot, service)
            show(snapshot)
            if not service.alive:
                raise AmpedgeError("The poller stopped; see the log above.", "Report it with that traceback.")
    snapshot = service.snapshot()
    logger.info(
        "Stopped after %d events: %d delivered, %d dropped.", snapshot.events, snapshot.delivered, snapshot.dropped
    )


def _log_lines() -> Callable[[Snapshot], None]:
    log.set_up()
    return lambda _: None


def _live_line(shown: ExitStack, service: Service) -> Callable[[Snapshot], None]:
    from rich.console import Console
    from rich.live import Live

    from ampedge.cli.live import line

    console = Console(stderr=True)
    log.set_up(lambda text: console.print(text, markup=False, highlight=False))
    live = shown.enter_context(Live(console=console, auto_refresh=False, transient=True))
    return lambda snapshot: live.update(line(snapshot, service.origin.normal_label), refresh=True)


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
