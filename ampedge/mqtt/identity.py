"""The client id of the service: the same at every start, different for every service."""

import hashlib
import secrets
import socket
from pathlib import Path

from ampedge.settings import MqttSection

MACHINE_ID = Path("/etc/machine-id")


def client_id(mqtt: MqttSection, state_dir: Path | None) -> str:
    """The configured one, else one that belongs to this machine and state directory.

    Staying the same lets a broker end the connection of an earlier start at once, with its will.
    Without a state directory nothing keeps a second service from starting beside this one, so then it is random.
    """
    if mqtt.client_id is not None:
        return mqtt.client_id
    if state_dir is None:
        return f"ampedge-{secrets.token_hex(8)}"
    place = f"{_machine()}\0{state_dir.absolute()}"
    return f"ampedge-{hashlib.sha256(place.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}"


def _machine() -> str:
    try:
        return MACHINE_ID.read_text().strip() or socket.gethostname()
    except (OSError, UnicodeDecodeError):
        return socket.gethostname()
