"""The machine itself: its clock, its Python, its SQLite."""

import platform
import sqlite3
from collections.abc import Iterator
from importlib import metadata

import ampedge
from ampedge import clock
from ampedge.doctor.finding import Finding, ok, warning

_LIBRARIES = ("numpy", "paho-mqtt", "pydantic", "rich", "typer")
_SAFE_SQLITE = (3, 51, 3)


def look() -> Iterator[Finding]:
    """What holds whatever the config says."""
    yield _clock()
    yield _sqlite()
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in _LIBRARIES)
    yield ok("software", f"ampedge {ampedge.__version__}, Python {platform.python_version()}, {versions}.")


def _clock() -> Finding:
    synchronised = clock.synchronised()
    if synchronised is False:
        return warning(
            "clock",
            "The clock of this machine is not synchronised, so events may bear a wrong time.",
            "Switch it on with `sudo timedatectl set-ntp true`, or install chrony.",
        )
    if synchronised is None:
        return ok("clock", "The system does not tell whether the clock is synchronised.")
    return ok("clock", "The clock is synchronised.")


def _sqlite() -> Finding:
    if sqlite3.sqlite_version_info >= _SAFE_SQLITE:
        return ok("sqlite", f"SQLite {sqlite3.sqlite_version}.")
    return warning(
        "sqlite",
        f"SQLite {sqlite3.sqlite_version}: before 3.51.3, two programs that write to one log can damage it. "
        "serve is the only one that writes to its event log.",
        "Let no other program write to it.",
    )
