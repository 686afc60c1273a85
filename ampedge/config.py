"""The one configuration: where each value comes from, and all that is wrong with it at once.

Order: a flag wins over the environment (`AMPEDGE_MQTT__PASSWORD`), that over the file (`ampedge.toml`),
that over the bundle (the data map), that over the default.  Everything is checked before any socket is opened.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ampedge import log
from ampedge.datamap import DataMap, Tag
from ampedge.errors import ConfigError, UsageError, did_you_mean
from ampedge.settings import DeviceSection, MqttSection, Settings, TagSection, check_password, keys, problems

DEFAULT_FILE = "ampedge.toml"
EMBEDDED_HOST = "127.0.0.1"
EMBEDDED_PORT = 5020
EMBEDDED_BROKER = "embedded"
ENVIRONMENT_PREFIX = "AMPEDGE_"
STATE_DIR = "ampedge-state"
_TRUTHS = {"true": True, "false": False}
_NOT_KEYS = ("AMPEDGE_TEST_DATA",)
_SECTIONS = ("modbus", "mqtt", "decision", "store", "log")
_EXPOSED = 0o027  # its group may read: that is how an installed service reads what belongs to root
_DEVICE_FLAGS = ("modbus.host", "modbus.port", "modbus.unit", "modbus.interval_s")


@dataclass(frozen=True, slots=True)
class Device:
    """One device as it is polled: its address, its rhythm, its own data map where it has one.

    `check` is a register, as a tag, and the value that it must hold.
    """

    name: str
    host: str
    port: int
    unit: int
    interval_s: float
    timeout_s: float
    reconnect_settle_s: float
    close_after_poll: bool
    check: tuple[Tag, float] | None
    datamap: DataMap | None


@dataclass(frozen=True, slots=True)
class Config:
    """Checked settings, and for each dotted path where its value came from.

    `found` is where a service that runs has found its model, and how, where the settings name none.
    """

    settings: Settings
    sources: Mapping[str, str]
    file: Path | None
    found: tuple[Path, str] | None = None

    @property
    def devices(self) -> tuple[Device, ...]:
        """Every device that is polled; without `[[devices]]` the one of `device` and `[modbus]`."""
        modbus, shared = self.settings.modbus, _datamap(self.settings.tags)
        host, port = _address(modbus.host, modbus.port)
        check = None if modbus.check is None else (modbus.check.as_tag(), modbus.check.value)
        common = Device(
            self.settings.device,
            host,
            port,
            modbus.unit,
            modbus.interval_s,
            modbus.timeout_s,
            modbus.reconnect_settle_s,
            modbus.close_after_poll,
            check,
            shared,
        )
        return tuple(self._device(section, common) for section in self.settings.devices) or (common,)

    @property
    def datamap(self) -> DataMap | None:
        """The data map for what is done without a device: the shared one, else that of the first device."""
        return _datamap(self.settings.tags) or self.devices[0].datamap

    def _device(self, section: DeviceSection, common: Device) -> Device:
        own = {name: getattr(section, name) for name in section.model_fields_set - {"check", "tags"}}
        flags = {key.partition(".")[2] for key in _DEVICE_FLAGS if self.source(key) == "flag"}
        own = {name: value for name, value in own.items() if value is not None and name not in flags}
        if "host" in own and "port" not in own and self.settings.modbus.port is None:
            own["port"] = 502
        check = common.check if section.check is None else (section.check.as_tag(), section.check.value)
        return replace(common, **own, check=check, datamap=_datamap(section.tags) or common.datamap)

    @property
    def device(self) -> Device:
        """The only device; raises UsageError where there are several."""
        if len(self.devices) > 1:
            names = ", ".join(device.name for device in self.devices)
            raise UsageError(f"The config has several devices: {names}.", "Say which one with --device NAME.")
        return self.devices[0]

    @property
    def mqtt(self) -> MqttSection:
        """The broker as clients reach it: the one that serve runs itself is on loopback and knows no MQTT 5.

        The paths in it are as a process in this directory finds them.
        """
        mqtt = self.settings.mqtt
        if mqtt.host == EMBEDDED_BROKER:
            return mqtt.model_copy(update={"host": EMBEDDED_HOST, "protocol": "3.1.1"})
        files = ("ca_file", "cert_file", "key_file")
        return mqtt.model_copy(update={name: self.path(f"mqtt.{name}", getattr(mqtt, name)) for name in files})

    @property
    def model(self) -> str | None:
        """The model as given by flag or file; a relative path in the file is relative to the file."""
        return self.path("model", self.settings.model)

    @property
    def state_dir(self) -> Path:
        """Where serve keeps what must survive it: as given, else as systemd says, else ./ampedge-state."""
        given = self.path("state_dir", self.settings.state_dir)
        return Path(given or os.environ.get("STATE_DIRECTORY") or STATE_DIR)

    def path(self, key: str, value: str | None) -> str | None:
        """The path that a key holds; a relative one in the file is relative to the file."""
        if value is None or self.file is None or self.source(key) != str(self.file):
            return value
        return str(self.file.parent / value)

    def source(self, path: str) -> str:
        """`flag`, `environment`, the file's name or `default`."""
        return self.sources.get(path, "default")

    @property
    def exposed(self) -> tuple[Path, ...]:
        """The files with a secret that others than their owner may change, or others than its group read."""
        settings, mqtt = self.settings.mqtt, self.mqtt
        held = [self.path("mqtt.password_file", settings.password_file), mqtt.key_file or mqtt.cert_file]
        if self.source("mqtt.password") == str(self.file):
            held.append(str(self.file))
        return tuple(Path(file) for file in held if file is not None and _is_exposed(Path(file)))

    def password(self) -> str | None:
        """The broker's password, which no log line shows from now on.

        Raises ConfigError where its file cannot be read (and names only the file).
        """
        password = self._password()
        if password is not None:
            log.keep_secret(password)
        return password

    def _password(self) -> str | None:
        mqtt = self.settings.mqtt
        if mqtt.password is not None:
            return mqtt.password.get_secret_value()
        if mqtt.password_file is None:
            return None
        path = Path(self.path("mqtt.password_file", mqtt.password_file) or "")
        try:
            first = path.read_text("utf-8-sig").partition("\n")[0] if path.is_file() else ""  # a pipe may never end
        except (OSError, UnicodeDecodeError):
            first = ""
        try:
            check_password(first)
        except ValueError as error:
            raise ConfigError(f"mqtt.password_file: {path}: {error}.", "Is it the right file?") from error
        if not first:
            raise ConfigError(
                f"mqtt.password_file: {path} has no first line that can be read.",
                "Write the password into it, readable by this user only.",
            )
        return first


def load_config(
    file: Path | None = None,
    flags: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    device: str | None = None,
) -> Config:
    """Read and check everything; raises ConfigError with all problems at once.

    `file` None means ./ampedge.toml where there is one.
    `flags` maps dotted paths to values; None values are left out.
    `device` leaves only that one of several devices.
    """
    environment = os.environ if environment is None else environment
    if file is None and Path(DEFAULT_FILE).is_file():
        file = Path(DEFAULT_FILE)
    lines: list[str] = []
    merged: dict[str, Any] = {name: {} for name in _SECTIONS}
    sources: dict[str, str] = {}
    text = "" if file is None else _text(file)
    if file is not None:
        for path, value in _parsed(file, text):
            _put(merged, path, value)
            sources[path] = str(file)
    for path, value in _from_environment(environment):
        if path.partition(".")[0] in ("tags", "devices"):
            lines.append(f"{path} (environment): devices and the data map stand in the config file only")
            continue
        _put(merged, path, value)
        sources[path] = "environment"
    for path, value in (flags or {}).items():
        if value is not None:
            _put(merged, path, value)
            sources[path] = "flag"
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        lines += _told(error, sources, file, text)
    else:
        texts = ((path, value) for path, value in _flat(merged) if isinstance(value, str))
        lines += [f"{path} ({_source(path, sources)}): it holds a NUL" for path, text in texts if "\0" in text]
    if lines:
        raise ConfigError("\n".join(lines), "Every key is described in docs/reference.md.")
    if device is not None:
        settings = _only(settings, device)
    given = [key for key in _DEVICE_FLAGS if sources.get(key) == "flag"]
    if len(settings.devices) > 1 and given:
        names = ", ".join(device.name for device in settings.devices)
        raise ConfigError(
            f"{', '.join(given)} (flag): the config has several devices ({names}) with addresses of their own.",
            "Change them in the config file.",
        )
    return Config(settings, sources, file)


def _only(settings: Settings, device: str) -> Settings:
    names = [section.name for section in settings.devices] or [settings.device]
    if device not in names:
        raise ConfigError(
            f"There is no device {device!r} in the config; "
            f"{did_you_mean(device, names) or 'it has: ' + ', '.join(names)}"
        )
    return settings.model_copy(update={"devices": tuple(d for d in settings.devices if d.name == device)})


def _datamap(sections: tuple[TagSection, ...]) -> DataMap | None:
    return DataMap(tuple(section.as_tag() for section in sections)) if sections else None


def _address(host: str | None, port: int | None) -> tuple[str, int]:
    """(host, port) of a slave; without a host it is the one that serve hosts."""
    return (EMBEDDED_HOST, port or EMBEDDED_PORT) if host is None else (host, port or 502)


def _is_exposed(file: Path) -> bool:
    try:
        return os.name == "posix" and bool(file.stat().st_mode & _EXPOSED)
    except OSError:  # whoever needs it says so
        return False


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}.", "Make one with `ampedge init`.") from error
    except ValueError as error:
        raise _no_toml(file, error) from error


def _parsed(file: Path, text: str) -> list[tuple[str, Any]]:
    import tomllib

    try:
        return list(_flat(tomllib.loads(text)))
    except (ValueError, RecursionError) as error:
        raise _no_toml(file, error) from error


def _no_toml(file: Path, error: Exception) -> ConfigError:
    return ConfigError(f"{file} is not TOML: {error}.", "Mend that line, or begin anew with `ampedge init`.")


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _put(tree: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for part in parents:
        inner = tree.setdefault(part, {})
        if not isinstance(inner, dict):
            return  # the file gives a plain value where a section belongs; the check reports it
        tree = inner
    tree[last] = value


def _from_environment(environment: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    types = {path: section.model_fields[field].annotation for path, section, field in keys()}
    for name, text in sorted(environment.items()):
        if not name.startswith(ENVIRONMENT_PREFIX) or name in _NOT_KEYS:
            continue
        path = name.removeprefix(ENVIRONMENT_PREFIX).lower().replace("__", ".")
        yield path, _as(types.get(path), text)


def _as(wanted: Any, text: str) -> Any:
    """What the text of a variable means where that type is wanted; the check refuses what it is not."""
    if wanted is bool:
        return _TRUTHS.get(text.lower(), text)
    if wanted == int | str:  # an address: "40001" is text in a file, too
        return int(text) if text.isdecimal() and len(text) < len("40001") else text
    return _number(text) if wanted in (int, float, int | None) else text


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _told(error: ValidationError, sources: Mapping[str, str], file: Path | None, text: str) -> Iterator[str]:
    """A sentence for each problem, with where the value came from."""
    from ampedge import toml_lines

    lines = toml_lines.lines(text)
    for detail in problems(error):
        path = ".".join(str(part) for part in detail["loc"])
        source = _source(path.rpartition(".")[0] if detail["type"] == "missing" else path, sources)
        line = toml_lines.nearest(lines, detail["loc"]) if source == str(file) else None
        yield _problem(detail, path, source if line is None else f"{source}:{line}")


def _problem(detail: Mapping[str, Any], path: str, source: str) -> str:
    where = f"{path} ({source})"
    kind = detail["type"]
    names = [part for part in detail["loc"] if isinstance(part, str)]
    if kind == "extra_forbidden":
        above = "".join(f"{name}." for name in names[:-1])
        known = {key.removeprefix(above).split(".")[0] for key, *_ in keys() if key.startswith(above)}
        return (
            f"{where}: there is no such key; {did_you_mean(names[-1], known) or 'known: ' + ', '.join(sorted(known))}"
        )
    section = ".".join(names)
    is_list = names[-1] in ("tags", "devices")
    if kind == "model_type":
        header = f"[[{section}]]" if is_list else f"[{section}]"
        return f"{where}: this is a section: write {header} and its keys below"
    if is_list and kind == "tuple_type":
        return f"{where}: write [[{section}]] and its keys below, once for each of them"
    message = detail["msg"].removeprefix("Value error, ")
    is_told = path.endswith("password") or kind in ("missing", "value_error")
    given = f", not {detail['input']!r:.80}" if isinstance(detail["input"], str | int | float) and not is_told else ""
    return f"{where}: {message[0].lower() + message[1:]}{given}"


def _source(path: str, sources: Mapping[str, str]) -> str:
    """Where a value came from that stands at `path`, else above or below it."""
    if path in sources:
        return sources[path]
    return next(
        (source for key, source in sources.items() if path.startswith(f"{key}.") or key.startswith(f"{path}.")),
        "default",
    )
