"""Whether serve polls the slave that is there or hosts it itself, decided before anything starts."""

import socket

from ampedge.addresses import resolve
from ampedge.config import Config

_ANSWER_S = 1.0


def hosts_slave(config: Config) -> tuple[bool, str]:
    """(whether to host the slave, a sentence that says so and why)."""
    host, port = config.device.host, config.device.port
    where = f"{host}:{port}"
    match config.settings.modbus.slave:
        case "embedded":
            return True, f"Hosting the slave at {where}."
        case "external":
            return False, f"Polling the slave at {where}."
    if not is_local(host):
        return False, f"Polling the slave at {where}."
    if answers(host, port):
        return False, f"Polling the slave that already answers at {where}."
    return True, f"Hosting the slave at {where}: the address is this machine's own and nothing answers there."


def is_local(host: str) -> bool:
    """Whether the address is one of this machine's own."""
    try:
        found = resolve(host, 0)
    except OSError:
        return False
    for family, address in found:
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.bind((address[0], 0))
        except OSError:
            continue
        return True
    return False


def answers(host: str, port: int) -> bool:
    """Whether something accepts connections there."""
    try:
        socket.create_connection((reachable(host), port), timeout=_ANSWER_S).close()
    except OSError:
        return False
    return True


def reachable(host: str) -> str:
    """The address at which a slave that listens on `host` is reached from this machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # compared, not listened on
