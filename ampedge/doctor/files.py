"""Who may read the secrets and change the files that decide what runs."""

import os
from collections.abc import Iterator
from pathlib import Path

from ampedge.config import Config
from ampedge.doctor.finding import Finding, ok, problem, warning
from ampedge.doctor.listeners import is_loopback
from ampedge.errors import UsageError

_OTHERS_WRITE = 0o002


def look(config: Config) -> Iterator[Finding]:
    """The modes of the config, the password and the keys, and whether a password goes over the network in the clear."""
    found = [*_exposed(config), *_changeable(config), *_in_the_clear(config)]
    yield from found or [ok("files", "No other user of this machine can read a secret or change what runs.")]


def _exposed(config: Config) -> Iterator[Finding]:
    for path in config.exposed:
        said = f"Other users of this machine can read or change {path}, which holds a secret."
        yield problem("files", UsageError(said, f"Keep it to the service's user: `chmod 600 {path}`."))


def _changeable(config: Config) -> Iterator[Finding]:
    key = config.path("verify_key", config.settings.verify_key)
    for path in (config.file, None if key is None else Path(key)):
        if path is not None and path not in config.exposed and _mode(path) & _OTHERS_WRITE:
            said = f"Every user of this machine can change {path}, and so what runs."
            yield problem("files", UsageError(said, f"Take that right away with `chmod o-w {path}`."))


def _in_the_clear(config: Config) -> Iterator[Finding]:
    mqtt = config.mqtt
    if mqtt.username is not None and not mqtt.tls and not is_loopback(mqtt.host):
        yield warning(
            "files",
            f"User name and password go to the broker at {mqtt.host} unencrypted.",
            "Have the broker speak TLS, and set tls = true in [mqtt].",
        )


def _mode(path: Path) -> int:
    """Its mode, 0 where it cannot be told: whoever needs the file says so."""
    try:
        return path.stat().st_mode if os.name == "posix" else 0
    except OSError:
        return 0
