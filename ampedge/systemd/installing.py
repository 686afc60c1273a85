"""What `ampedge service install` does, worked out and checked as a whole before the first step is taken."""

import shlex
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ampedge.config import DEFAULT_FILE, EMBEDDED_BROKER, Config, load_config
from ampedge.errors import InUseError, UsageError
from ampedge.files import replaced_file
from ampedge.model.bundle import SUFFIX, Bundle, pack_bundle
from ampedge.model.keeper import Keeper
from ampedge.site_map import check_start, site_bundle
from ampedge.systemd.environment_file import variables
from ampedge.systemd.machine import Machine, checked_name
from ampedge.systemd.relocation import relocated
from ampedge.systemd.unit import Unit, can_be_started, is_ours, old_unit_notes, retire, text_of, units_of

PLACE = "/etc/ampedge"
_OTHER_FILES = {
    "verify_key": "verify.pem",
    "mqtt.ca_file": "ca.pem",
    "mqtt.cert_file": "cert.pem",
    "mqtt.key_file": "key.pem",
    "mqtt.password_file": "password",
}
_FIRST_FREE_PORT = 1024
_SECRETS = """\
# Secrets of the service {name}: systemd reads them at each start, nobody else may.
# AMPEDGE_MQTT__USERNAME=edge
# AMPEDGE_MQTT__PASSWORD=secret
"""


@dataclass(frozen=True, slots=True)
class Write:
    """A file to write: `path` as the machine names it; `shown` is what everybody may see of it."""

    path: str
    data: bytes
    mode: int = 0o640
    shown: str = ""

    def __str__(self) -> str:
        lines = [f"write {self.path} (mode {self.mode:o}, {len(self.data)} bytes)", *self.shown.splitlines()]
        return "\n    ".join(lines).replace("    \n", "\n")


@dataclass(frozen=True, slots=True)
class Command:
    """A program of the system to run."""

    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"run {shlex.join(self.words)}"


@dataclass(frozen=True, slots=True)
class Installation:
    """What will run, line by line, what else is to be known, and the steps that make it so."""

    summary: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    steps: tuple[Write | Command, ...]

    def carry_out(self, machine: Machine) -> None:
        """Take the steps; raises UsageError where one fails, with what is done until then left as it is."""
        for step in self.steps:
            if isinstance(step, Command):
                machine.run(*step.words)
                continue
            with replaced_file(machine.at(step.path)) as made:
                made.chmod(step.mode)
                made.write_bytes(step.data)


def config_path(name: str) -> str:
    """Where the config of an installed service is."""
    return f"{PLACE}/{name}.toml"


def secrets_path(name: str) -> str:
    """Where the secrets of an installed service are, as environment variables."""
    return f"{PLACE}/{name}.env"


def checked_config(machine: Machine, name: str) -> Config:
    """The config of an installed service as it is now, with its paths as they are found from here.

    Raises UsageError, ModelRefusedError where the service would not start with it and its model.
    """
    file = machine.at(config_path(name))
    config = _from_here(machine, name, load_config(file, environment=service_environment(machine, name)))
    bundle, _ = site_bundle(config, Keeper(config.state_dir))
    check_start(config, bundle)
    return config


def plan(
    machine: Machine, *, name: str, user: str, file: Path | None, model: str | None, is_local: Callable[[str], bool]
) -> Installation:
    """All that is to be done; raises UsageError, ConfigError, ModelRefusedError, InUseError where it cannot be.

    Without `file` it is ./ampedge.toml, else the config that the service has already.
    `is_local` says whether a host is this machine.
    """
    name, user = checked_name("--name", name), checked_name("--user", user)
    if user == "root":
        raise UsageError("A service that talks to a network is not run as root.", "Leave out --user.")
    installed = machine.at(config_path(name))
    file = file or next((found for found in (Path(DEFAULT_FILE), installed) if found.is_file()), Path(DEFAULT_FILE))
    config = load_config(file, {"model": model}, environment=service_environment(machine, name))
    readable = _from_here(machine, name, config) if file == installed else config
    bundle, which = site_bundle(readable)
    check_start(readable, bundle)
    paths, files = _placed(machine, config, bundle, name)
    low_port = _hosts_low_port(config, is_local)
    unit = Unit(
        name=name,
        user=user,
        program=machine.program,
        config=config_path(name),
        secrets=secrets_path(name),
        low_port=low_port,
        state_dir=paths["state_dir"],
    )
    entry = machine.passwd(user)
    text = relocated(file.read_text("utf-8-sig"), paths, origin=file.absolute())
    summary = (
        ("config", f"{file} -> {unit.config}"),
        ("model", f"{which} Version {bundle.manifest.version} -> {paths.get('model', bundle.path)}"),
        *(("device", f"{d.name}: {d.host}:{d.port}, unit {d.unit}, every {d.interval_s:g} s") for d in config.devices),
        ("broker", f"{config.mqtt.host}:{config.mqtt.port}, topic {config.settings.mqtt.topic}"),
        ("user", user if entry is not None else f"{user}, who is made"),
        ("state", unit.state_dir),
        ("secrets", f"{unit.secrets}, as AMPEDGE_MQTT__PASSWORD=..."),
        ("rights", "a plain user's" + (", and ports below 1024" if low_port else "")),
    )
    changed = f"As {file}, but:\n" + "\n".join(f"{key} = {path}" for key, path in paths.items())
    steps = _steps(machine, unit, entry, [*files, Write(unit.config, text.encode(), shown=changed)])
    return Installation(summary, tuple(old_unit_notes(machine)), tuple(steps))


def check_place(machine: Machine, name: str) -> None:
    """Raise UsageError where systemd could not start ampedge from its place, InUseError where a unit is not ours."""
    hidden = next((source for source in machine.sources if machine.hides(source)), None)
    if hidden is not None:
        raise UsageError(
            f"ampedge runs from {hidden}, which the service cannot see: it has no access to homes and /tmp.",
            "Install it where every user can read it, and type the command again with sudo /opt/ampedge/bin/ampedge:\n"
            "  sudo python3 -m venv /opt/ampedge && sudo /opt/ampedge/bin/pip install ampedge",
        )
    if not can_be_started(machine.program[0]):
        raise UsageError(
            f"systemd cannot start {machine.program[0]}: it takes no quotes and no backslash in the path of a program.",
            "Install ampedge in another directory.",
        )
    foreign = next((unit for unit in units_of(machine, name) if not is_ours(text_of(machine.at(unit)))), None)
    if foreign is not None:
        raise InUseError(
            f"There is a service {name} already, which `ampedge service install` has not written: {foreign}.",
            "Choose another --name. If it is one that you wrote for ampedge, retire it:\n  " + retire(foreign),
        )


def _steps(machine: Machine, unit: Unit, entry: list[str] | None, files: list[Write]) -> Iterator[Write | Command]:
    group = unit.user if entry is None else entry[3]
    if entry is None:
        home = ("--no-create-home", "--home-dir", unit.state_dir, "--shell", "/usr/sbin/nologin")
        yield Command(("useradd", "--system", "--user-group", *home, unit.user))
    yield Command(("install", "-d", "-m", "755", str(machine.at(PLACE))))
    if unit.has_own_state_dir:
        yield Command(("install", "-d", "-m", "750", "-o", unit.user, "-g", group, str(machine.at(unit.state_dir))))
    for file in files:
        there = machine.at(file.path)
        if file.path == unit.config and there.exists() and there.read_bytes() != file.data:
            yield Command(("cp", "-p", str(there), f"{there}.old"))
        yield file
        yield Command(("chown", f"root:{group}", str(there)))
    if not machine.at(unit.secrets).exists():
        secrets = _SECRETS.format(name=unit.name)
        yield Write(unit.secrets, secrets.encode(), 0o600, shown=secrets)
    yield Write(unit.path, unit.text().encode(), 0o644, shown=unit.text())
    yield Command(("systemctl", "daemon-reload"))
    yield Command(("systemctl", "enable", unit.service))
    yield Command(("systemctl", "restart", unit.service))


def _from_here(machine: Machine, name: str, config: Config) -> Config:
    """The config of the service with its absolute paths as they are found from here."""
    settings, mqtt = config.settings, config.settings.mqtt

    def found(path: str | None) -> str | None:
        return str(machine.at(path)) if path is not None and Path(path).is_absolute() else path

    files = {key: found(getattr(mqtt, key)) for key in ("ca_file", "cert_file", "key_file", "password_file")}
    places = {"verify_key": settings.verify_key, "state_dir": settings.state_dir or f"/var/lib/{name}"}
    if config.source("model") != "flag":
        places["model"] = settings.model
    update = {key: found(path) for key, path in places.items()}
    return replace(config, settings=settings.model_copy(update={**update, "mqtt": mqtt.model_copy(update=files)}))


def _placed(machine: Machine, config: Config, bundle: Bundle, name: str) -> tuple[dict[str, str], list[Write]]:
    """The paths of the config that change, and the files to copy because the service could not read them there."""
    settings, paths, files = config.settings, {}, []

    def value(key: str) -> str | None:
        section, _, last = key.rpartition(".")
        given = getattr(getattr(settings, section) if section else settings, last)
        return str(given) if given is not None and config.source(key) == str(config.file) else None

    state = value("state_dir")
    stays = state is not None and state.startswith("/") and state.isprintable() and not machine.hides(Path(state))
    paths["state_dir"] = str(state) if stays else f"/var/lib/{name}"
    model = value("model")
    if model is None or not _readable(machine, model):
        paths["model"] = _model_path(name)
        files.append(Write(paths["model"], _packed(bundle)))
    for key, leaf in _OTHER_FILES.items():
        given = value(key)
        if given is not None and not _readable(machine, given):
            paths[key] = f"{PLACE}/{name}.{leaf}"
            files.append(Write(paths[key], _content(key, Path(config.path(key, given) or given))))
    log = value("log.file")
    if log is not None and not log.startswith(f"/var/log/{name}/"):
        paths["log.file"] = f"/var/log/{name}/{Path(log).name}"
    return paths, files


def _readable(machine: Machine, path: str) -> bool:
    """Whether the service can read it where it is; what is in our own place is for its group."""
    if path.startswith(f"{PLACE}/"):
        return True
    place = Path(path)
    if not place.is_absolute() or machine.hides(place):
        return False
    try:
        return place.stat().st_mode & 0o004 != 0 and all(above.stat().st_mode & 0o001 for above in place.parents)
    except OSError:
        return False


def _content(key: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{key}: {path} cannot be read: {error.strerror}.", "Correct the config.") from error


def _packed(bundle: Bundle) -> bytes:
    """The bundle as one file."""
    if bundle.path.is_file():
        return bundle.path.read_bytes()
    with tempfile.TemporaryDirectory() as place:
        packed = Path(place) / f"model{SUFFIX}"
        pack_bundle(bundle, packed)
        return packed.read_bytes()


def _model_path(name: str) -> str:
    return f"{PLACE}/{name}{SUFFIX}"


def _hosts_low_port(config: Config, is_local: Callable[[str], bool]) -> bool:
    """Whether serve may come to listen on a port that is kept for root."""
    mqtt, slave = config.mqtt, config.settings.modbus.slave
    if config.settings.mqtt.host == EMBEDDED_BROKER and mqtt.port < _FIRST_FREE_PORT:
        return True
    if len(config.devices) > 1 or slave == "external" or config.device.port >= _FIRST_FREE_PORT:
        return False
    return slave == "embedded" or is_local(config.device.host)


def service_environment(machine: Machine, name: str) -> dict[str, str]:
    """The variables of the secrets file, as systemd reads them; none where this user may not read it."""
    try:
        return variables(machine.at(secrets_path(name)).read_text("utf-8"))
    except (OSError, UnicodeDecodeError):  # which systemd passes over, too
        return {}
