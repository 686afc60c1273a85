"""The command line as a user runs it: in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.canary import refuse


def run_cli(
    *arguments: object, cwd: Path | None = None, env: Mapping[str, str] | None = None, timeout_s: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run `ampedge` with these arguments to its end; `env` is added to an environment without AMPEDGE_ variables."""
    done = subprocess.run(
        command(*arguments),
        cwd=cwd,
        env=environment(env),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    refuse(done.stdout, done.stderr)
    return done


class Started(subprocess.Popen[str]):
    """A command that runs; what it says to its end shows no secret."""

    def communicate(self, *arguments: Any, **named: Any) -> tuple[Any, Any]:
        said = super().communicate(*arguments, **named)
        refuse(*said)
        return said


def start_cli(*arguments: object, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Started:
    """Start `ampedge` with these arguments; use it as a context manager and end it."""
    return Started(
        command(*arguments),
        cwd=cwd,
        env=environment(env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def command(*arguments: object) -> list[str]:
    """The argument list for `ampedge` in this interpreter."""
    return [sys.executable, "-m", "ampedge", *map(str, arguments)]


def python_path(first: Path) -> dict[str, str]:
    """The variable that puts a directory before all others in which Python looks for modules."""
    return {"PYTHONPATH": os.pathsep.join([str(first), *filter(None, [os.environ.get("PYTHONPATH")])])}


def environment(added: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what would configure ampedge, and with a plain terminal."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AMPEDGE_")}
    return {**kept, "COLUMNS": "100", "NO_COLOR": "1", **(added or {})}
