"""What systemd is told: that the service is ready, alive, reloading, stopping.

This is sd_notify, a datagram to the socket that `$NOTIFY_SOCKET` names.
Without systemd nothing is sent, and no call ever raises or waits: a service must not fail for want of a listener.
"""

import os
import socket
import time
from contextlib import suppress

SOCKET = "NOTIFY_SOCKET"


def ready() -> None:
    """The service does its work; said at the start and again when a reload is done."""
    _send("READY=1")


def status(text: str) -> None:
    """One line for `systemctl status`."""
    _send(f"STATUS={' '.join(text.split())}")


def watchdog() -> None:
    """The service makes progress; systemd restarts it where this stays out for too long."""
    _send("WATCHDOG=1")


def reloading() -> None:
    """The configuration is read again; `ready` follows."""
    _send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")


def stopping() -> None:
    """The service is about to end."""
    _send("STOPPING=1")


def watchdog_interval_s() -> float | None:
    """The time after which systemd misses a `watchdog` from this process, None where it does not watch it."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    with suppress(ValueError):
        interval_s = int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6
        return interval_s if interval_s > 0 else None
    return None


def _send(message: str) -> None:
    address = os.environ.get(SOCKET, "")
    if not address.startswith(("/", "@")):
        return
    with suppress(OSError, ValueError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        sender.sendto(message.encode("utf-8", "replace"), address[0].replace("@", "\0") + address[1:])
