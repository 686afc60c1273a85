"""What `ampedge service uninstall` takes away."""

import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

from ampedge.model.bundle import SUFFIX
from ampedge.model.keeper import DIRECTORY, RECORD
from ampedge.store.schema import FILE_NAME
from ampedge.store.state_dir import LOCK_NAME, SOCKET_NAME, holder
from ampedge.systemd.installing import PLACE, config_path
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
    state = _state_elsewhere(machine, name)
    for path in left_behind(machine, name):
        there = machine.at(path)
        shutil.rmtree(there) if there.is_dir() else there.unlink()
        yield f"{path} is removed."
    if state is not None and machine.at(state).is_dir():
        try:
            machine.at(state).rmdir()
            yield f"{state} is removed."
        except OSError:
            yield f"{state} stays, with what else is in it."


def left_behind(machine: Machine, name: str) -> list[str]:
    """Config, model, secrets, state and logs of a service, and what was changed in its unit."""
    files = [f"{PLACE}/{file.name}" for file in sorted(machine.at(PLACE).glob(f"{name}.*"))]
    state = _state_elsewhere(machine, name)
    made = [] if state is None else [str(state / part) for part in _made_in(machine.at(state))]
    directories = (f"/var/lib/{name}", f"/var/log/{name}", f"{Unit.path_of(name)}.d")
    return [*files, *made, *(path for path in directories if machine.at(path).is_dir())]


def _state_elsewhere(machine: Machine, name: str) -> Path | None:
    """The state directory that the installed config names, None where it is the one that systemd made."""
    try:
        given = tomllib.loads(machine.at(config_path(name)).read_text("utf-8")).get("state_dir")
    except (OSError, ValueError):
        return None
    state = Path(PLACE) / given if isinstance(given, str) else None
    return None if state is None or state.is_relative_to(f"/var/lib/{name}") else state


def _made_in(state: Path) -> list[str]:
    """What a service has made in a directory that may hold more; nothing while another one uses it."""
    if holder(state) is not None:
        return []
    files = [*sorted(state.glob(f"{FILE_NAME}*")), state / LOCK_NAME, state / SOCKET_NAME]
    made = [file.name for file in files if file.exists() and not file.is_dir()]
    models = state / DIRECTORY
    if models.is_dir() and not models.is_symlink() and all(map(_is_kept, models.iterdir())):
        made.append(DIRECTORY)
    return made


def _is_kept(file: Path) -> bool:
    return file.is_file() and (file.name == RECORD or file.suffix == SUFFIX or file.name.startswith(f".{RECORD}."))
