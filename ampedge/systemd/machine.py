"""The machine that the service is installed on: its directories, its users, its systemd."""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import ampedge
from ampedge.errors import UsageError

_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108  # not written to, but avoided
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}")


@dataclass(frozen=True, slots=True)
class Machine:
    """Where things are and who asks; `root` stands before every path that is read or written.

    `program` is the command line that runs ampedge, `sources` are the places that it needs to run at all.
    `hidden` are the places that a hardened service does not see.
    """

    program: tuple[str, ...]
    sources: tuple[Path, ...]
    is_root: bool
    root: Path = Path("/")
    hidden: tuple[str, ...] = _HIDDEN

    def at(self, path: str | Path) -> Path:
        """Where an absolute path of that machine is found from here."""
        return self.root / str(path).lstrip("/")

    def passwd(self, user: str) -> list[str] | None:
        """The entry of a user of this machine, None where there is no such user."""
        try:
            lines = self.at("/etc/passwd").read_text("utf-8").splitlines()
        except OSError:
            return None
        return next((line.split(":") for line in lines if line.startswith(f"{user}:")), None)

    def hides(self, path: Path) -> bool:
        """Whether the service would not see that place."""
        return any(path.is_relative_to(place) for place in self.hidden)

    def check_systemd(self) -> None:
        """Raise UsageError where no systemd runs."""
        if not self.at("/run/systemd/system").is_dir():
            raise UsageError(
                "systemd does not run on this machine, so it has no services.",
                "Let what starts services here run `ampedge serve --config FILE`; it ends cleanly on SIGTERM.",
            )

    def check_root(self) -> None:
        """Raise UsageError, with the command to type instead, where this user may not change services."""
        if not self.is_root:
            typed = shlex.join(["sudo", *self.program, *sys.argv[1:]])
            raise UsageError("This needs the rights of root.", f"Type: {typed}")

    def run(self, *words: str, check: bool = True) -> str:
        """What a program of the system prints; raises UsageError with what it says where it fails."""
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603
        except FileNotFoundError:
            raise UsageError(f"There is no {words[0]} on this machine.", "It comes with systemd and Debian.") from None
        if check and done.returncode:
            said = " ".join((done.stderr or done.stdout).split()) or f"exit code {done.returncode}"
            raise UsageError(f"`{shlex.join(words)}` failed: {said}", "See `ampedge service logs`.")
        return done.stdout


def this_machine() -> Machine:
    """The machine that this runs on, with the ampedge that runs."""
    script = Path(sys.executable).with_name("ampedge")
    program = (str(script),) if script.is_file() else (sys.executable, "-m", "ampedge")
    sources = (Path(sys.executable), Path(sys.base_prefix), Path(ampedge.__file__))
    return Machine(program, sources, is_root=os.geteuid() == 0)


def checked_name(what: str, name: str) -> str:
    """A name of a unit or user that is safe in paths and units; raises UsageError."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"{what}: {name!r} is no name.", "Write small letters, digits, '-' and '_', 31 at most.")
    return name
