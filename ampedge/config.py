"""The one configuration: where each value comes from, and all that is wrong with it at once.

Order: a flag wins over the environment (`AMPEDGE_MQTT__PASSWORD`), that over the file (`ampedge.toml`),
that over the bundle (the data map), that over the default.  Everything is checked before any socket is opened.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ampedge.datamap import DataMap
from ampedge.errors import ConfigError, did_you_mean
from ampedge.settings import MqttSection, Settings, keys

DEFAULT_FILE = "ampedge.toml"
EMBEDDED_HOST = "127.0.0.1"
EMBEDDED_PORT = 5020
EMBEDDED_BROKER = "embedded"
ENVIRONMENT_PREFIX = "AMPEDGE_"
_NOT_KEYS = ("AMPEDGE_TEST_DATA",)


@dataclass(frozen=True, slots=True)
class Config:
    """Checked settings, and for each dotted path where its value came from."""

    settings: Settings
    sources: Mapping[str, str]
    file: Path | None

    @property
    def datamap(self) -> DataMap | None:
        """The site's own data map, None where the config has no tags."""
        tags = tuple(tag.as_tag() for tag in self.settings.tags)
        return DataMap(tags) if tags else None

    @property
    def slave_address(self) -> tuple[str, int]:
        """(host, port) of the slave."""
        modbus = self.settings.modbus
        if modbus.host is None:
            return EMBEDDED_HOST, modbus.port or EMBEDDED_PORT
        return modbus.host, modbus.port or 502

    @property
    def mqtt(self) -> MqttSection:
        """The broker as clients reach it: the one that serve runs itself is on loopback and knows no MQTT 5."""
        mqtt = self.settings.mqtt
        if mqtt.host != EMBEDDED_BROKER:
            return mqtt
        return mqtt.model_copy(update={"host": EMBEDDED_HOST, "protocol": "3.1.1"})

    @property
    def model(self) -> str | None:
        """The model as given by flag or file; a relative path in the file is relative to the file."""
        if self.settings.model is None or self.file is None or self.source("model") != str(self.file):
            return self.settings.model
        return str(self.file.parent / self.settings.model)

    def source(self, path: str) -> str:
        """`flag`, `environment`, the file's name or `default`."""
        return self.sources.get(path, "default")

    def password(self) -> str | None:
        """The broker's password; raises ConfigError where its file cannot be read (and names only the file)."""
        mqtt = self.settings.mqtt
        if mqtt.password is not None:
            return mqtt.password.get_secret_value()
        if mqtt.password_file is None:
            return None
        path = Path(mqtt.password_file)
        if self.file is not None and self.source("mqtt.password_file") == str(self.file):
            path = self.file.parent / path
        try:
            first = path.read_text("utf-8-sig").partition("\n")[0]
        except (OSError, UnicodeDecodeError):
            first = ""
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
) -> Config:
    """Read and check everything; raises ConfigError with all problems at once.

    `file` None means ./ampedge.toml where there is one.
    `flags` maps dotted paths to values; None values are left out.
    """
    environment = os.environ if environment is None else environment
    if file is None and Path(DEFAULT_FILE).is_file():
        file = Path(DEFAULT_FILE)
    lines: list[str] = []
    merged: dict[str, Any] = {name: {} for name in ("modbus", "mqtt", "decision")}
    sources: dict[str, str] = {}
    if file is not None:
        for path, value in _parsed(file):
            _put(merged, path, value)
            sources[path] = str(file)
    for path, value in _from_environment(environment):
        if path.partition(".")[0] == "tags":
            lines.append(f"{path} (environment): the data map stands in the config file only")
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
        lines += [_problem(detail, sources) for detail in error.errors(include_url=False)]
    if lines:
        raise ConfigError("\n".join(lines), "Every key is described in docs/reference.md.")
    return Config(settings, sources, file)


def _parsed(file: Path) -> list[tuple[str, Any]]:
    import tomllib

    try:
        return list(_flat(tomllib.loads(file.read_text("utf-8-sig"))))
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}.", "Make one with `ampedge init`.") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"{file} is not TOML: {error}.", "Mend that line, or begin anew with `ampedge init`."
        ) from error


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
        yield path, _number(text) if types.get(path) in (int, float, int | None) else text


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _problem(detail: Any, sources: Mapping[str, str]) -> str:
    path = ".".join(str(part) for part in detail["loc"])
    where = f"{path} ({_source(path, sources)})"
    kind = detail["type"]
    if kind == "extra_forbidden":
        parent, _, last = path.rpartition(".")
        parent = re.sub(r"^tags\.\d+$", "tags", parent)
        siblings = {key.removeprefix(parent + ".").split(".")[0] for key, *_ in keys() if key.startswith(parent)}
        return (
            f"{where}: there is no such key; {did_you_mean(last, siblings) or 'known: ' + ', '.join(sorted(siblings))}"
        )
    if kind == "model_type":
        name = "[[tags]]" if path.startswith("tags") else f"[{path}]"
        return f"{where}: this is a section: write {name} and its keys below"
    if path == "tags" and kind == "tuple_type":
        return f"{where}: write [[tags]] and a tag's keys below, once for each tag"
    message = detail["msg"].removeprefix("Value error, ")
    is_told = path.endswith("password") or kind in ("missing", "value_error")
    given = f", not {detail['input']!r:.80}" if isinstance(detail["input"], str | int | float) and not is_told else ""
    return f"{where}: {message[0].lower() + message[1:]}{given}"


def _source(path: str, sources: Mapping[str, str]) -> str:
    """Where a value came from that stands at, above or below `path`."""
    return next(
        (
            source
            for key, source in sources.items()
            if key == path or path.startswith(f"{key}.") or key.startswith(f"{path}.")
        ),
        "default",
    )
