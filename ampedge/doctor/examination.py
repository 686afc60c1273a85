"""All checks, in the order in which one trouble causes the next; those that wait for others run side by side."""

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ampedge.config import DEFAULT_FILE, EMBEDDED_BROKER, Config, load_config
from ampedge.doctor import broker, devices, disk, files, machine, model, mosquitto, service, slave, units
from ampedge.doctor.finding import Finding, State, ok, problem
from ampedge.doctor.listeners import is_here
from ampedge.errors import AmpedgeError, ConfigError, UnreachableError, UsageError
from ampedge.systemd.installing import config_path, service_environment
from ampedge.systemd.machine import Machine

_LIMIT_S = 9.0

Check = tuple[str, Callable[[], Iterable[Finding]]]


@dataclass(frozen=True, slots=True)
class Report:
    """What was found; `snapshot` is what the running service says of itself, None where none runs."""

    findings: tuple[Finding, ...]
    snapshot: dict[str, Any] | None = None

    @property
    def exit_code(self) -> int:
        """That of the first problem, which may well be the cause of the others; 0 without any."""
        return next((finding.exit_code for finding in self.findings if finding.state is State.PROBLEM), 0)


def examine(file: Path | None, flags: Mapping[str, Any], here: Machine) -> Report:
    """Look at everything, with this config and these flags; nothing is changed, and it takes 10 s at most."""
    until_s = time.monotonic() + _LIMIT_S
    own = _own_service(file, here)
    always: list[Check] = [("systemd", partial(units.look, here, own)), ("machine", machine.look)]
    secrets = {} if own is None else service_environment(here, own)
    try:
        config = load_config(file, flags, environment={**os.environ, **secrets})
    except UsageError as error:
        return Report((*_wrong(error), *_side_by_side(always, until_s)))
    bundle, of_model = model.look(config)
    snapshot, of_service = service.look(
        config.state_dir, bundle, [unit for unit in units.installed(here) if unit.stem != own]
    )
    runs = snapshot is not None
    hosted = slave.hosted_slave(config, snapshot["pid"] if snapshot is not None else None)
    told = {device["name"]: device for device in snapshot["devices"]} if snapshot is not None else {}
    checks: list[Check] = [("files", partial(files.look, config))]
    if hosted is not None:
        checks.append(("slave", partial(slave.look, hosted, service_may=units.may_bind(here))))
    if hosted is None or hosted.served:
        for device in config.devices:
            look = partial(devices.look, device, bundle, told.get(device.name), hosted=hosted is not None)
            checks.append((f"device {device.name}", look))
    checks.append(("broker", lambda: [broker.look(config, service_runs=runs)]))
    if config.settings.mqtt.host != EMBEDDED_BROKER:
        checks.append(("mosquitto", lambda: mosquitto.look() if is_here(config.mqtt.host) else ()))
    checks.append(("disk", partial(disk.look, config, service_runs=runs)))
    found = (_loaded(config), *of_model, *of_service, *_side_by_side([*checks, *always], until_s))
    return Report(found, snapshot)


def _own_service(file: Path | None, here: Machine) -> str | None:
    """The installed service whose config this is, None where it is none's."""
    asked = (file or Path(DEFAULT_FILE)).absolute()
    return next((unit.stem for unit in units.installed(here) if asked == here.at(config_path(unit.stem))), None)


def _loaded(config: Config) -> Finding:
    names = ", ".join(device.name for device in config.devices)
    many = f"{len(config.devices)} devices" if len(config.devices) > 1 else "1 device"
    where = "No ampedge.toml here, so the defaults hold" if config.file is None else str(config.file)
    return ok("config", f"{where}: {many} ({names}), broker {config.mqtt.host}:{config.mqtt.port}.")


def _wrong(error: UsageError) -> list[Finding]:
    return [problem("config", ConfigError(line, error.remedy)) for line in error.problem.splitlines()]


def _side_by_side(checks: list[Check], until_s: float) -> list[Finding]:
    """What the checks find, in their order; one that does not end in time is left behind."""
    found: list[list[Finding] | None] = [None] * len(checks)

    def run(place: int) -> None:
        name, look = checks[place]
        try:
            found[place] = list(look())
        except AmpedgeError as error:
            found[place] = [problem(name, error)]
        except Exception as error:
            said = f"This check failed because of a bug: {type(error).__name__}: {error}"
            found[place] = [problem(name, AmpedgeError(said, "Report it."))]

    threads = [threading.Thread(target=run, args=(place,), daemon=True) for place in range(len(checks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until_s - time.monotonic()))
    late = UnreachableError("This check did not end in time.", "Look at it by hand.")
    of_each = (
        [problem(name, late)] if of_check is None else of_check
        for (name, _), of_check in zip(checks, found, strict=True)
    )
    return [finding for of_check in of_each for finding in of_check]
