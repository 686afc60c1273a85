"""How an installed service stands, as systemd sees it."""

from collections.abc import Mapping

from ampedge.errors import UsageError
from ampedge.systemd.installing import config_path
from ampedge.systemd.machine import Machine
from ampedge.systemd.unit import Unit, is_ours, text_of

_ASKED = (
    "ActiveState",
    "SubState",
    "StateChangeTimestamp",
    "MainPID",
    "NRestarts",
    "MemoryCurrent",
    "StatusText",
    "Result",
    "UnitFileState",
)


def check_ours(machine: Machine, name: str) -> None:
    """Raise UsageError where there is no service of that name that `ampedge service install` has made."""
    if not is_ours(text_of(machine.at(Unit.path_of(name)))):
        raise UsageError(f"ampedge has installed no service {name}.", "Install it with `ampedge service install`.")


def ask(machine: Machine, name: str) -> dict[str, str]:
    """What systemd knows of the service, by its own names."""
    asked = [f"--property={key}" for key in _ASKED]
    said = machine.run("systemctl", "show", f"{name}.service", *asked)
    return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)


def sentences(name: str, known: Mapping[str, str]) -> list[str]:
    """The same for people."""
    lines = [f"The service {name} is {known.get('ActiveState', 'unknown')} ({known.get('SubState', '')})"]
    if known.get("StateChangeTimestamp"):
        lines[0] += f" since {known['StateChangeTimestamp']}"
    lines[0] += "."
    if known.get("Result", "success") != "success":
        lines.append(f"It ended last because of: {known['Result']}.")
    if known.get("StatusText"):
        lines.append(f"It says: {known['StatusText']}")
    if known.get("MainPID", "0") != "0":
        memory = known.get("MemoryCurrent", "")
        taken = f", {int(memory) / 1e6:.0f} MB of memory" if memory.isdecimal() else ""
        lines.append(f"Process {known['MainPID']}{taken}. Restarts: {known.get('NRestarts', '0')}.")
    starts = "It starts" if known.get("UnitFileState") == "enabled" else "It does not start"
    return [*lines, f"{starts} at boot. Its config is {config_path(name)}."]
