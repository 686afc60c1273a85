"""A machine with systemd that is only a directory, and stand-ins for the programs that would change it."""

import os
from pathlib import Path

from ampedge.systemd.machine import Machine

_PROGRAM = """\
#!/bin/sh
echo "$(basename "$0") $*" >> "{record}"
case "$(basename "$0") $*" in
  *"$(cat "{failing}")"*) echo "it does not work" >&2; exit 1;;
esac
cat "{answers}/$(basename "$0")-$1" 2>/dev/null || true
"""


class FakeSystem:
    """`machine` for the commands under test; `ran` is what they ran, `answers` what the programs print.

    An answer is a file named after the program and its first argument; `fail` makes a call fail.
    """

    programs = ("systemctl", "journalctl", "useradd", "chown", "install")

    def __init__(self, place: Path, *, is_root: bool = True) -> None:
        self.root = place / "root"
        (self.root / "etc" / "systemd" / "system").mkdir(parents=True)
        (self.root / "run" / "systemd" / "system").mkdir(parents=True)
        (self.root / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/bash\npi:x:1000:1001::/home/pi:/bin/sh\n")
        self.machine = Machine(("/opt/ampedge/bin/ampedge",), (), is_root=is_root, root=self.root, hidden=("/home",))
        self._record = place / "record"
        self._failing = place / "failing"
        self._failing.write_text("no call at all")
        self.answers = place / "answers"
        self.answers.mkdir()
        self._programs = place / "programs"
        self._programs.mkdir()
        text = _PROGRAM.format(record=self._record, failing=self._failing, answers=self.answers)
        for name in self.programs:
            (self._programs / name).write_text(text)
            (self._programs / name).chmod(0o755)

    @property
    def path(self) -> str:
        """The search path on which the stand-ins come first."""
        return f"{self._programs}{os.pathsep}{os.environ['PATH']}"

    @property
    def ran(self) -> list[str]:
        """Each call so far, with its arguments; paths below `root` without it."""
        lines = self._record.read_text().splitlines() if self._record.exists() else []
        return [line.replace(str(self.root), "") for line in lines]

    def fail(self, call: str) -> None:
        """From now on calls that contain this text fail."""
        self._failing.write_text(call)

    def answer(self, program: str, text: str) -> None:
        """From now on `program`, given with its first argument as in `systemctl-show`, prints this."""
        (self.answers / program).write_text(text)
