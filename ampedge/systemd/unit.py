"""The unit: what systemd starts, how it watches it, and what the service may not do."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from ampedge.systemd.machine import Machine

MARK = "# Written by `ampedge service install`"
UNITS = "/etc/systemd/system"
_UNIT_PLACES = (UNITS, "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
_OLD_SCRIPT = "ml_edge_service"


@dataclass(frozen=True, slots=True)
class Unit:
    """All that differs from one installed service to the next."""

    name: str
    user: str
    program: tuple[str, ...]
    config: str
    secrets: str
    low_port: bool
    state_dir: str

    @staticmethod
    def path_of(name: str) -> str:
        """Where the unit of that name is."""
        return f"{UNITS}/{name}.service"

    @property
    def path(self) -> str:
        return self.path_of(self.name)

    @property
    def service(self) -> str:
        return f"{self.name}.service"

    @property
    def has_own_state_dir(self) -> bool:
        """Whether its state is elsewhere than where systemd makes it a directory."""
        return self.state_dir != f"/var/lib/{self.name}"

    def text(self) -> str:
        """The file; docs/service.md says why it is as it is."""
        return _TEXT.format(
            mark=MARK,
            name=self.name,
            user=self.user,
            config=self.config,
            secrets=self.secrets,
            command=self._command(),
            right="CAP_NET_BIND_SERVICE" if self.low_port else "",
            own_users="no" if self.low_port else "yes",
            also_writable=f"ReadWritePaths=-{_quoted(self.state_dir, dollar='$')}\n" if self.has_own_state_dir else "",
        )

    def _command(self) -> str:
        program, *words = self.program
        words += ["serve", "--config", self.config]
        return " ".join([_quoted(program, dollar="$"), *map(_quoted, words)])  # no variable is looked for in the first


def can_be_started(program: str) -> bool:
    """Whether systemd takes a path as that of a program: however it is written, some characters it refuses."""
    return program.isprintable() and not set(program) & set("\"'\\")


def is_ours(text: str) -> bool:
    """Whether a unit file was written by `ampedge service install`."""
    return text.startswith(MARK)


def units_of(machine: Machine, name: str) -> list[Path]:
    """The unit files of that name, as that machine names them."""
    return [path for place in _UNIT_PLACES if machine.at(path := Path(place) / f"{name}.service").exists()]


def old_units(machine: Machine) -> list[Path]:
    """The units, as that machine names them, that start the tutorial's old script."""
    units = (file for place in reversed(_UNIT_PLACES) for file in sorted(machine.at(place).glob("*.service")))
    found = {unit.name: Path("/") / unit.relative_to(machine.root) for unit in units if _starts_old_script(unit)}
    return list(found.values())


def old_unit_notes(machine: Machine) -> list[str]:
    """For each of those that it is there, and how to retire it."""
    return [
        f"The tutorial's old service is still here, and both would publish: {unit}. Retire it:\n  {retire(unit)}"
        for unit in old_units(machine)
    ]


def retire(unit: Path) -> str:
    """What to type to retire a unit."""
    return f"sudo systemctl disable --now {unit.stem} && sudo mv {shlex.quote(str(unit))} {shlex.quote(f'{unit}.old')}"


def text_of(unit: Path) -> str:
    """What stands in a unit file, nothing where it cannot be read."""
    try:
        return unit.read_text("utf-8", "replace")
    except OSError:
        return ""


def _starts_old_script(unit: Path) -> bool:
    lines = re.sub(r"^[ \t]*[#;].*\n?", "", text_of(unit), flags=re.MULTILINE).replace("\\\n", " ")
    starts = re.search(rf"^\s*ExecStart\s*=.*{_OLD_SCRIPT}", lines, re.MULTILINE)
    return unit.stem == _OLD_SCRIPT or bool(starts)


def _quoted(word: str, *, dollar: str = "$$") -> str:
    """A word as systemd reads it back; `%` has a meaning there, and in a command line `$`."""
    word = word.replace("%", "%%").replace("$", dollar)
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"' if re.search(r"[\s\"'\\;]", word) else word


_TEXT = """\
{mark}, which writes it anew; your own changes belong into `sudo systemctl edit {name}`.
# What the service does stands in {config}.
[Unit]
Description=ampedge: labels from Modbus to MQTT ({name})
Wants=network-online.target
After=network-online.target mosquitto.service
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
RestartSec=5
WatchdogSec=30
TimeoutStartSec=120
TimeoutStopSec=15
MemoryMax=256M
LimitCORE=0
Environment=PYTHONFAULTHANDLER=1

User={user}
EnvironmentFile=-{secrets}
StateDirectory={name}
StateDirectoryMode=0750
LogsDirectory={name}
LogsDirectoryMode=0750
UMask=0027

NoNewPrivileges=yes
CapabilityBoundingSet={right}
AmbientCapabilities={right}
PrivateUsers={own_users}
ProtectSystem=strict
{also_writable}ProtectHome=yes
PrivateTmp=yes
PrivateMounts=yes
PrivateDevices=yes
DevicePolicy=closed
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProcSubset=pid
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
KeyringMode=private
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""
