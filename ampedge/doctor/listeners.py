"""Who listens on a port of this machine, as the kernel tells."""

import contextlib
import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ampedge.addresses import resolve
from ampedge.service.hosting import is_local

_LOOK_UP_S = 2.0
_LISTENING = "0A"
_BIND_LOW_PORTS = 10  # the number of CAP_NET_BIND_SERVICE


@dataclass(frozen=True, slots=True)
class Listener:
    """A process that listens; who it is may be known to root only."""

    pid: int | None = None
    name: str | None = None

    def __str__(self) -> str:
        return "another program" if self.pid is None else f"process {self.pid} ({self.name})"


def listener(port: int, proc: Path = Path("/proc")) -> Listener | None:
    """Who listens on a TCP port, None where nobody does or the system does not tell."""
    sockets = {f"socket:[{inode}]" for inode in _inodes(port, proc)}
    if not sockets:
        return None
    for process in proc.glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            if any(_target(handle) in sockets for handle in (process / "fd").iterdir()):
                return Listener(int(process.name), (process / "comm").read_text().strip())
    return Listener()


def may_listen(port: int, proc: Path = Path("/proc")) -> bool:
    """Whether this user may listen on a port, as far as the system tells."""
    try:
        first_free = int((proc / "sys/net/ipv4/ip_unprivileged_port_start").read_text())
        status = (proc / "self/status").read_text()
    except (OSError, ValueError):
        return True
    rights = next((int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:")), 0)
    return port >= first_free or bool(rights >> _BIND_LOW_PORTS & 1)


def is_here(host: str) -> bool:
    """Whether the address is one of this machine's own; a name that nobody knows in time is not."""
    try:
        addresses = resolve(host, 0, timeout_s=_LOOK_UP_S)
    except OSError:
        return False
    return any(is_local(str(address[0])) for _, address in addresses)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches that address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _target(handle: Path) -> str:
    try:
        return str(handle.readlink())
    except OSError:  # closed meanwhile
        return ""


def _inodes(port: int, proc: Path) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        try:
            lines = (proc / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            _, local, _, state, *rest = line.split()
            if state == _LISTENING and int(local.rpartition(":")[2], 16) == port:
                yield rest[5]
