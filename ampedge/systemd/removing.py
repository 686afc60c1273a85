"""What `ampedge service uninstall` takes away."""

import shutil
from collections.abc import Iterator

from ampedge.systemd.installing import PLACE
from ampedge.systemd.machine import Machine
from ampedge.systemd.unit import Unit


def uninstall(machine: Machine, name: str) -> Iterator[str]:
    """Stop the service and remove its unit, saying each thing that is done."""
    machine.run("systemctl", "disable", "--now", f"{name}.service")
    machine.at(Unit.path_of(name)).unlink()
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "reset-failed", f"{name}.service", check=False)
    yield f"{name} is stopped; {Unit.path_of(name)} is removed."


def purge(machine: Machine, name: str) -> Iterator[str]:
    """Remove what the service leaves behind, saying each thing that is done."""
    for path in left_behind(machine, name):
        there = machine.at(path)
        shutil.rmtree(there) if there.is_dir() else there.unlink()
        yield f"{path} is removed."


def left_behind(machine: Machine, name: str) -> list[str]:
    """Config, model, secrets, state and logs of a service, and what was changed in its unit."""
    files = [f"{PLACE}/{file.name}" for file in sorted(machine.at(PLACE).glob(f"{name}.*"))]
    directories = (f"/var/lib/{name}", f"/var/log/{name}", f"{Unit.path_of(name)}.d")
    return [*files, *(path for path in directories if machine.at(path).is_dir())]
