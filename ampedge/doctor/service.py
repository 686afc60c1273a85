"""The service that runs with this state directory, as it says itself."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ampedge
from ampedge.doctor.finding import Finding, ok, problem, warning
from ampedge.errors import InUseError, UnreachableError
from ampedge.model.bundle import Bundle
from ampedge.service.snapshot import in_words
from ampedge.service.status import read_status
from ampedge.store.state_dir import holder
from ampedge.systemd.installing import config_path


def look(
    directory: Path, bundle: Bundle | None, installed: Sequence[Path] = ()
) -> tuple[dict[str, Any] | None, list[Finding]]:
    """(the snapshot of the running service, None where none tells; what there is to say of it).

    `installed` are the units of other services, which may well have their state elsewhere.
    """
    try:
        snapshot = read_status(directory)
    except UnreachableError as error:
        return None, [_silent(directory, error, installed)]
    troubles = snapshot["problems"]
    said = [problem("service", UnreachableError(sentence, "Its log says since when.")) for sentence in troubles]
    return snapshot, [*(said or [ok("service", _in_short(snapshot))]), *_older(snapshot, bundle)]


def _silent(directory: Path, error: UnreachableError, installed: Sequence[Path]) -> Finding:
    pid = holder(directory)
    if pid is not None:
        said = f"Process {pid} holds {directory}, but does not say how it is."
        return problem("service", InUseError(said, f"{error.problem} {error.remedy}".strip()))
    if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
        elsewhere = "".join(
            f" Of {unit.name} ask with `sudo ampedge doctor --config {config_path(unit.stem)}`." for unit in installed
        )
        return ok("service", f"None runs with its state in {directory}.{elsewhere}")
    if isinstance(error.__cause__, PermissionError):
        return warning("service", error.problem, error.remedy)
    return problem("service", error)


def _in_short(snapshot: dict[str, Any]) -> str:
    devices, log = snapshot["devices"], snapshot["log"]
    online = sum(device["online"] is True for device in devices)
    return (
        f"ampedge {snapshot['version']} runs for {in_words(snapshot['uptime_s'])} as process {snapshot['pid']}: "
        f"{online} of {len(devices)} devices online, {log['delivered']} events delivered, {log['waiting']} waiting, "
        f"{log['dropped']} dropped."
    )


def _older(snapshot: dict[str, Any], bundle: Bundle | None) -> list[Finding]:
    """What runs and is not what is installed."""
    model, found = snapshot["model"], []
    if snapshot["version"] != ampedge.__version__:
        said = f"ampedge {snapshot['version']} runs, {ampedge.__version__} is installed."
        found.append(warning("service", said, "Restart it."))
    on_disk = None if bundle is None else (bundle.manifest.name, bundle.manifest.version)
    if on_disk not in (None, (model["name"], model["version"])) and not model["problem"] and not model["rolled_back"]:
        said = f"The model {model['name']} {model['version']} runs; in its place is {' '.join(on_disk or ())} by now."
        found.append(warning("service", said, "Have it take that one: `ampedge service restart`, or SIGHUP."))
    return found
