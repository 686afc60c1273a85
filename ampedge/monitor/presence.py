"""Who lives: what the broker has been told of the service and of its devices."""

from ampedge.monitor.view import printable
from ampedge.mqtt.subscriber import Message
from ampedge.records import UNKNOWN

MOST_DEVICES = 50
SERVICE_OFFLINE = "service offline"


class Presence:
    """The last `online` or `offline` of the service (None before the first) and of each device."""

    def __init__(self) -> None:
        self.service: str | None = None
        self.devices: dict[str, str] = {}
        self._service_s = 0.0

    def take_service(self, message: Message) -> None:
        """The service has said how it is, or the broker in its stead."""
        self.service = printable(message.payload)
        self._service_s = message.received_s

    def take_device(self, device: str, message: Message) -> None:
        """The service has said how a device is."""
        name = printable(device)
        if name in self.devices or len(self.devices) < MOST_DEVICES:
            self.devices[name] = printable(message.payload)

    def why_stale(self, device: str, received_s: float, problem: str | None) -> str | None:
        """Why a label of that device, received then, no longer stands, None where nobody has said so."""
        if problem is not None:
            return "no connection to the broker"
        if self.service == "offline" and self._service_s >= received_s:
            return SERVICE_OFFLINE
        return "device offline" if self.devices.get(device) == "offline" else None

    def states(self, *, untold: bool) -> tuple[tuple[str, str], ...]:
        """(device, state) of each; while nobody tells, an `online` may no longer hold."""
        return tuple(
            (device, UNKNOWN if untold and state == "online" else state)
            for device, state in sorted(self.devices.items())
        )
