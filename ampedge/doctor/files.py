"""Who may read the secrets and change the files that decide what runs."""

import os
from collections.abc import Iterator
from pathlib import Path

from ampedge.config import Config
from ampedge.doctor.finding import Finding, ok, problem, warning
from ampedge.doctor.listeners import is_loopback
from ampedge.errors import UsageError

_OTHERS_READ, _OTHERS_WRITE = 0o004, 0o002


def look(config: Config) -> Iterator[Finding]:
    """The modes of the config, the password and the keys, and whether a password goes over the network in the clear."""
    secrets = dict(_secrets(config))
    found = [*_exposed(secrets), *_changeable(config, secrets), *_in_the_clear(config)]
    yield from found or [ok("files", "No other user of this machine can read a secret or change the config.")]


def _exposed(secrets: dict[Path, str]) -> Iterator[Finding]:
    for path, what in secrets.items():
        if _mode(path) & _OTHERS_READ:
            yield problem(
                "files",
                UsageError(
                    f"Every user of this machine can read {path}, and it holds {what}.",
                    f"Take that right away with `chmod o-rwx {path}`.",
                ),
            )


def _changeable(config: Config, secrets: dict[Path, str]) -> Iterator[Finding]:
    key = config.path("verify_key", config.settings.verify_key)
    for path in {*secrets, *([] if key is None else [Path(key)]), *([] if config.file is None else [config.file])}:
        if _mode(path) & _OTHERS_WRITE:
            yield problem(
                "files",
                UsageError(
                    f"Every user of this machine can change {path}.", f"Take that right away with `chmod o-w {path}`."
                ),
            )


def _in_the_clear(config: Config) -> Iterator[Finding]:
    mqtt = config.mqtt
    if mqtt.username is not None and not mqtt.tls and not is_loopback(mqtt.host):
        yield warning(
            "files",
            f"User name and password go to the broker at {mqtt.host} unencrypted.",
            "Have the broker speak TLS, and set tls = true in [mqtt].",
        )


def _secrets(config: Config) -> Iterator[tuple[Path, str]]:
    mqtt = config.mqtt
    if config.file is not None and config.source("mqtt.password") == str(config.file):
        yield config.file, "the broker's password"
    if mqtt.password_file is not None:
        yield Path(config.path("mqtt.password_file", mqtt.password_file) or ""), "the broker's password"
    if key := mqtt.key_file or mqtt.cert_file:
        yield Path(key), "the private key for the broker"


def _mode(path: Path) -> int:
    """Its mode, 0 where it cannot be told: whoever needs the file says so."""
    try:
        return path.stat().st_mode if os.name == "posix" else 0
    except OSError:
        return 0
