"""The slave, where serve hosts it: its port, the right to it, and who can reach it."""

from collections.abc import Iterator
from dataclasses import dataclass

from ampedge.config import Config
from ampedge.doctor.finding import Finding, ok, problem, warning
from ampedge.doctor.listeners import Listener, is_here, is_loopback, listener, may_listen
from ampedge.errors import InUseError, UsageError
from ampedge.service.hosting import answers


@dataclass(frozen=True, slots=True)
class Slave:
    """The slave that serve hosts here; `holder` listens on its port, None where nobody does."""

    host: str
    port: int
    holder: Listener | None
    served: bool

    @property
    def is_there(self) -> bool:
        """Whether something can be asked for registers."""
        return self.holder is not None


def hosted_slave(config: Config, service_pid: int | None) -> Slave | None:
    """The slave that serve would host, or that the running service does; None where it polls another's."""
    kind = config.settings.modbus.slave
    if len(config.devices) > 1 or kind == "external":
        return None
    host, port = config.device.host, config.device.port
    if kind == "auto" and not is_here(host):
        return None
    holder = listener(port) or (Listener() if answers(host, port) else None)
    served = holder is not None and service_pid is not None and holder.pid in (service_pid, None)
    if kind == "auto" and holder is not None and not served:
        return None
    return Slave(host, port, holder, served)


def look(slave: Slave, *, service_may: bool) -> Iterator[Finding]:
    """What there is to say of it; `service_may` says that an installed service has the right to low ports."""
    where = f"{slave.host}:{slave.port}"
    if slave.holder is not None and not slave.served:
        yield problem(
            "slave",
            InUseError(
                f"Port {slave.port} is taken by {slave.holder}, so serve cannot host the slave at {where}.",
                'End that program, choose another port in [modbus], or poll what is there with slave = "external".',
            ),
        )
    elif not slave.served and not service_may and not may_listen(slave.port):
        yield problem(
            "slave",
            UsageError(
                f"This user may not listen on {where}: ports below 1024 need a right.",
                f"Give it to all users with `sudo sysctl net.ipv4.ip_unprivileged_port_start={slave.port}`, "
                "to a service with `sudo ampedge service install`, or choose a port such as 5020 in [modbus].",
            ),
        )
    elif slave.served:
        yield ok("slave", f"The running service hosts it at {where}.")
    else:
        yield ok("slave", f"serve will host it at {where}: the port is free.")
    if not is_loopback(slave.host):
        yield warning(
            "slave",
            f"At {where} everyone in the network can write its registers: Modbus knows no password.",
            "Let a firewall admit the masters only, or host it at 127.0.0.1.",
        )
