"""The services of systemd: ours, and the tutorial's that must not run beside it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

from ampedge.doctor.finding import Finding, ok, problem, warning
from ampedge.errors import UnreachableError, UsageError
from ampedge.systemd.machine import Machine
from ampedge.systemd.unit import UNITS, is_ours, old_units, retire, text_of

_LIMIT_S = 3.0
_RIGHT = "AmbientCapabilities=CAP_NET_BIND_SERVICE"


def installed(machine: Machine) -> list[Path]:
    """The units that `ampedge service install` wrote."""
    return [file for file in sorted(machine.at(UNITS).glob("*.service")) if is_ours(text_of(file))]


def may_bind(machine: Machine) -> bool:
    """Whether an installed service has the right to ports below 1024."""
    return any(_RIGHT in text_of(file) for file in installed(machine))


def look(machine: Machine, own: str | None) -> Iterator[Finding]:
    """How each of them is, nothing where systemd does not run; `own` is the service that was asked about."""
    if not machine.at("/run/systemd/system").is_dir():
        return
    for old in old_units(machine):
        runs = _state(old.name).get("ActiveState") == "active"
        said = (
            f"The tutorial's {old.name} {'runs' if runs else 'is installed'}: its labels are wrong, on the same topic."
        )
        remedy = f"Retire it: {retire(old)}"
        yield problem("systemd", UsageError(said, remedy)) if runs else warning("systemd", said, remedy)
    for unit in installed(machine):
        yield from _findings(unit, is_own=unit.stem == own)


def _findings(unit: Path, *, is_own: bool) -> Iterator[Finding]:
    state = _state(unit.name)
    active, sub = state.get("ActiveState", "unknown"), state.get("SubState", "unknown")
    said = f"{unit.name} is {active} ({sub})"
    if state.get("NRestarts", "0") != "0":
        said += f", started again {state['NRestarts']} times"
    if active == "active":
        yield ok("systemd", f"{said}.")
    elif active == "inactive":
        remedy = f"Start it with `sudo systemctl start {unit.stem}`."
        if is_own:
            yield problem("systemd", UnreachableError(f"{said}.", remedy))
        else:
            yield warning("systemd", f"{said}.", remedy)
    else:
        remedy = f"See why: `sudo journalctl -u {unit.stem} -n 50`."
        yield problem("systemd", UnreachableError(f"{said}, result {state.get('Result', 'unknown')}.", remedy))
    if state.get("UnitFileState", "enabled") != "enabled":
        remedy = f"Have it start there with `sudo systemctl enable {unit.stem}`."
        yield warning("systemd", f"{unit.name} does not start at boot.", remedy)


def _state(unit: str) -> dict[str, str]:
    """What systemd says of a unit, nothing where it does not answer."""
    words = ["systemctl", "show", unit, "-p", "ActiveState,SubState,NRestarts,Result,UnitFileState"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=_LIMIT_S, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
