"""What `serve` says of its broker, and tells systemd of itself."""

from ampedge import notify
from ampedge.log import logger
from ampedge.service.service import Service

REFRESH_S = 0.25
"""How often the service is looked at."""

_PATIENCE_S = 3.0
_START_ONE = (
    "Start one (sudo apt install mosquitto) and give it with --broker HOST:PORT, "
    "or try `ampedge serve --broker embedded`."
)
_FEEDS = 3
"""So many times within the time that systemd allows it is told that the service is alive."""


class Watchdog:
    """Tells systemd that the service is alive, as long as every loop turns."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._every_s = notify.watchdog_interval_s()
        self._fed_s = 0.0
        self._said: list[str] = []
        self._status = ""

    def turn(self) -> None:
        """Feed it where that is due and deserved."""
        service = self._service
        stalled = service.stalled()
        if stalled != self._said and stalled:
            logger.error("These loops no longer turn: %s.", ", ".join(stalled))
        self._said = stalled
        now_s = service.clock.monotonic()
        if self._every_s is not None and not stalled and now_s - self._fed_s >= self._every_s / _FEEDS:
            notify.watchdog()
            self._fed_s = now_s
        self._tell()

    def _tell(self) -> None:
        """One line for `systemctl status`."""
        labels = ", ".join(f"{loop.name}: {loop.latest.label}" for loop in self._service.devices if loop.latest)
        broker = "connected" if self._service.publisher.connected else "away"
        status = f"{labels or 'no reading yet'}; broker {broker}"
        if status != self._status:
            self._status = status
            notify.status(status)


class BrokerWatch:
    """Says that the broker is away, at each attempt that shows it (the log counts them), and that it is back."""

    def __init__(self) -> None:
        self._looks = 0
        self._troubles: int | None = None
        self._said_here = False

    def look(self, service: Service) -> None:
        """Take note of the state and log a change."""
        self._looks += 1
        publisher = service.publisher
        if publisher.connected and publisher.healthy:
            if not self._said_here:
                logger.info("Publishing to %s, topic %s.", service.broker, service.config.mqtt.topic)
            self._said_here, self._troubles = True, None
            return
        problem, troubles = publisher.problem or "It does not answer.", publisher.troubles
        if troubles != self._troubles and (self._said_here or self._looks * REFRESH_S >= _PATIENCE_S):
            if publisher.healthy:
                said = f"No MQTT broker at {service.broker}: {problem} {_START_ONE}"
            else:
                said = f"Not every event can be delivered: {problem}"
            logger.warning("%s Polling goes on; events wait in the log.", said)
            self._troubles, self._said_here = troubles, False
