"""`ampedge service`, on a machine that is a directory, with stand-ins for the programs of the system."""

import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer

from ampedge.cli import service
from ampedge.cli.app import app
from ampedge.config import load_config
from ampedge.errors import (
    AmpedgeError,
    ConfigError,
    InUseError,
    ModelRefusedError,
    UnreachableError,
    UsageError,
)
from ampedge.model.bundle import load_bundle, pack_bundle, sign_bundle
from ampedge.model.keeper import Keeper
from ampedge.samples import BUNDLE, CONFIG, shipped
from ampedge.service import reloading
from ampedge.service.status import StatusSocket
from ampedge.service.supervisor import STALLED_S
from ampedge.store.state_dir import StateDirectory
from ampedge.systemd.machine import this_machine
from ampedge.systemd.relocation import relocated
from tests.support.bundles import tiny_bundle
from tests.support.certificates import Authority
from tests.support.fake_system import FakeSystem
from tests.support.keys import make_keys
from tests.support.parts import needed

UNIT = "etc/systemd/system/ampedge.service"


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSystem:
    """The machine of every command of this file, and a project with the shipped config to stand in."""
    place = tmp_path / "system"
    place.mkdir()
    system = FakeSystem(place)
    monkeypatch.setattr(service, "_machine", lambda: system.machine)
    monkeypatch.setenv("PATH", system.path)
    site = tmp_path / "site"
    site.mkdir()
    (site / "ampedge.toml").write_text(shipped(CONFIG).read_text("utf-8"), "utf-8")
    monkeypatch.chdir(site)
    system.answer("systemctl-show", "ActiveState=active\nSubState=running\nUnitFileState=enabled\n")
    return system


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[str, str]]:
    """A function that runs `ampedge service ...` in this process; gives (stdout, stderr), raises its errors."""

    def run(*arguments: object) -> tuple[str, str]:
        capsys.readouterr()
        typer.main.get_command(app).main(["service", *map(str, arguments)], "ampedge", standalone_mode=False)
        said = capsys.readouterr()
        return said.out, said.err

    return run


Run = Callable[..., tuple[str, str]]


def write_config(text: str) -> None:
    """The config of the site: these lines, then the tags of the shipped one."""
    _, head, tags = shipped(CONFIG).read_text("utf-8").partition("\n[[tags]]\n")
    Path("ampedge.toml").write_text(text + head + tags, "utf-8")


def installed(system: FakeSystem, name: str = "ampedge") -> dict[str, Any]:
    """The config that the service would read."""
    return tomllib.loads((system.root / f"etc/ampedge/{name}.toml").read_text("utf-8"))


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_install_writes_unit_config_model_and_secrets_and_starts_it(system: FakeSystem, run: Run) -> None:
    out, said = run("install", "--yes")
    etc = system.root / "etc"
    assert system.ran == [
        "useradd --system --user-group --no-create-home --home-dir /var/lib/ampedge --shell /usr/sbin/nologin ampedge",
        "install -d -m 755 /etc/ampedge",
        "chown root:ampedge /etc/ampedge/ampedge.ampedge",
        "chown root:ampedge /etc/ampedge/ampedge.toml",
        "systemctl daemon-reload",
        "systemctl enable ampedge.service",
        "systemctl restart ampedge.service",
        *system.ran[-1:],
    ]
    assert system.ran[-1].startswith("systemctl show ampedge.service")
    unit = (system.root / UNIT).read_text()
    assert "ExecStart=/opt/ampedge/bin/ampedge serve --config /etc/ampedge/ampedge.toml\n" in unit
    assert "User=ampedge\n" in unit
    assert "Type=notify\n" in unit
    watchdog = re.search(r"^WatchdogSec=(\d+)$", unit, re.MULTILINE)
    assert watchdog is not None
    assert int(watchdog[1]) + STALLED_S <= 60, "a loop that hangs is ended within a minute"
    assert "LimitCORE=0\n" in unit, "no image of the memory, which holds passwords"
    assert (etc / "ampedge/ampedge.ampedge").read_bytes() == shipped(BUNDLE).read_bytes()
    assert installed(system)["state_dir"] == "/var/lib/ampedge"
    assert installed(system)["model"] == "/etc/ampedge/ampedge.ampedge"
    assert [mode(etc / "ampedge" / name) for name in ("ampedge.toml", "ampedge.ampedge", "ampedge.env")] == [
        0o640,
        0o640,
        0o600,
    ]
    assert mode(system.root / UNIT) == 0o644
    version = load_bundle(shipped(BUNDLE)).manifest.version
    for shown in ("amplifier: 127.0.0.1:5020, unit 1, every 1 s", "localhost:1883, topic amp/inference", version):
        assert shown in said
    assert "ampedge is active (running)." in out
    assert "starts at boot" in out


def test_the_installed_config_is_the_given_one_but_for_its_paths(system: FakeSystem, run: Run) -> None:
    write_config('device = "pump"  # ours\nmodel = "model"\n\n[mqtt]\n# a comment\nhost = "10.0.0.1"\n')
    tiny_bundle(Path())
    run("install", "--yes")
    text = (system.root / "etc/ampedge/ampedge.toml").read_text("utf-8")
    assert 'device = "pump"  # ours\nmodel = "/etc/ampedge/ampedge.ampedge"\n\n[mqtt]\n# a comment\n' in text
    before, after = tomllib.loads(Path("ampedge.toml").read_text("utf-8")), installed(system)
    assert after == {**before, "state_dir": "/var/lib/ampedge", "model": "/etc/ampedge/ampedge.ampedge"}
    packed = load_bundle(system.root / "etc/ampedge/ampedge.ampedge")
    assert packed.identity == load_bundle(Path("model")).identity


def test_name_user_config_and_model_are_as_given(system: FakeSystem, run: Run, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(shipped(CONFIG).read_text("utf-8").replace('"amplifier"', '"other"'), "utf-8")
    bundle = tiny_bundle(tmp_path / "elsewhere")
    run("install", "--yes", "--name", "plant-2", "--user", "pi", "--config", other, "--model", bundle.path)
    assert "install -d -m 755 /etc/ampedge" in system.ran
    assert "chown root:1001 /etc/ampedge/plant-2.toml" in system.ran, "the group of a user who is there"
    assert not [call for call in system.ran if call.startswith("useradd")]
    unit = (system.root / "etc/systemd/system/plant-2.service").read_text()
    assert "User=pi\n" in unit
    assert "StateDirectory=plant-2\n" in unit
    assert "serve --config /etc/ampedge/plant-2.toml\n" in unit
    assert installed(system, "plant-2")["device"] == "other"
    assert load_bundle(system.root / "etc/ampedge/plant-2.ampedge").identity == bundle.identity


def test_a_dry_run_prints_all_and_changes_nothing(system: FakeSystem, run: Run) -> None:
    before = sorted(system.root.rglob("*"))
    system.machine = replace(system.machine, is_root=False)
    out, _ = run("install", "--dry-run")
    assert sorted(system.root.rglob("*")) == before
    assert system.ran == []
    assert "Would write /etc/systemd/system/ampedge.service (mode 644" in out
    assert "    ExecStart=/opt/ampedge/bin/ampedge serve --config /etc/ampedge/ampedge.toml\n" in out
    assert "    state_dir = /var/lib/ampedge\n" in out
    would_run = [line.removeprefix("Would run ").replace(str(system.root), "") for line in out.splitlines()]
    system.machine = replace(system.machine, is_root=True)
    run("install", "--yes")
    assert [call for call in system.ran if "systemctl show" not in call] == [
        line for line in would_run if line.split(" ")[0] in system.programs
    ]


def test_a_dry_run_shows_no_secret(system: FakeSystem, run: Run) -> None:
    write_config('[mqtt]\npassword = "canary-7731"\n')
    assert "canary" not in "".join(run("install", "--dry-run"))
    run("install", "--yes")
    assert installed(system)["mqtt"]["password"] == "canary-7731"


@pytest.mark.parametrize("command", ["install --yes", "restart", "reload", "uninstall"])
def test_without_the_rights_it_says_what_to_type(
    system: FakeSystem, run: Run, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("install", "--yes")
    calls = len(system.ran)
    system.machine = replace(system.machine, is_root=False)
    monkeypatch.setattr(sys, "argv", ["ampedge", "service", *command.split(), "--name", "ampedge"])
    with pytest.raises(UsageError) as refused:
        run(*command.split())
    assert refused.value.remedy == f"Type: sudo /opt/ampedge/bin/ampedge service {command} --name ampedge"
    assert system.ran[calls:] == []


@pytest.mark.parametrize("command", ["install --yes", "status", "restart", "reload"])
def test_where_no_systemd_runs_it_says_so(system: FakeSystem, run: Run, command: str) -> None:
    (system.root / "run/systemd/system").rmdir()
    with pytest.raises(UsageError, match="systemd does not run on this machine"):
        run(*command.split())
    assert system.ran == []


def test_where_the_programs_are_missing_it_says_so(
    system: FakeSystem, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("install", "--yes")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match="There is no systemctl on this machine"):
        run("status")
    with pytest.raises(UsageError, match="There is no journalctl on this machine"):
        run("logs")


@pytest.mark.parametrize(("answer", "installs"), [("y\n", True), ("n\n", False)])
def test_it_asks_before_it_installs(
    system: FakeSystem, run: Run, answer: str, installs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="Nobody is there to say yes"):
        run("install")
    assert system.ran == []
    terminal = io.StringIO(answer)
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stdin", terminal)
    run("install")
    assert bool(system.ran) is (system.root / UNIT).exists() is installs


def test_a_wrong_config_or_model_is_found_before_anything_is_done(system: FakeSystem, run: Run) -> None:
    config = Path("ampedge.toml").read_text("utf-8")
    Path("ampedge.toml").write_text(config.replace('device = "', 'devise = "'))
    with pytest.raises(ConfigError, match="did you mean 'device'"):
        run("install", "--yes")
    Path("ampedge.toml").write_text(config.replace('"plate_voltage"', '"plate_volts"'))
    with pytest.raises(ModelRefusedError, match="plate_volts"):
        run("install", "--yes")
    Path("ampedge.toml").unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        run("install", "--yes")
    assert system.ran == []
    assert not (system.root / "etc/ampedge").exists()


@pytest.mark.parametrize(("option", "value"), [("--name", "../x"), ("--name", "A"), ("--user", "-x"), ("--user", "")])
def test_names_that_are_none_are_refused(system: FakeSystem, run: Run, option: str, value: str) -> None:
    with pytest.raises(UsageError, match="is no name"):
        run("install", "--yes", f"{option}={value}")
    assert system.ran == []


def test_it_does_not_run_as_root(system: FakeSystem, run: Run) -> None:
    with pytest.raises(UsageError, match="not run as root"):
        run("install", "--yes", "--user", "root")


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A directory in which every user of this machine can read."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)


def test_files_that_the_service_cannot_read_are_copied_and_the_others_stay(
    system: FakeSystem, run: Run, tmp_path: Path, open_place: Path
) -> None:
    authority = Authority(tmp_path / "authority")
    certificate, private = authority.issue("edge")
    shutil.copy(authority.ca_file, open_place / "ca.pem")
    (open_place / "ca.pem").chmod(0o644)
    shutil.copy(certificate, "cert.pem")
    private.chmod(0o600)
    Path("pw").write_text("the pw")
    write_config(
        f'[mqtt]\ntls = true\nca_file = "{open_place}/ca.pem"\ncert_file = "cert.pem"\nkey_file = "{private}"\n'
        'username = "pi"\npassword_file = "pw"\n[log]\nfile = "logs/edge.log"\n'
    )
    run("install", "--yes")
    etc, mqtt = system.root / "etc/ampedge", installed(system)["mqtt"]
    assert mqtt["ca_file"] == f"{open_place}/ca.pem"
    assert mqtt["cert_file"] == "/etc/ampedge/ampedge.cert.pem"
    assert mqtt["key_file"] == "/etc/ampedge/ampedge.key.pem"
    assert mqtt["password_file"] == "/etc/ampedge/ampedge.password"
    assert installed(system)["log"]["file"] == "/var/log/ampedge/edge.log"
    assert (etc / "ampedge.cert.pem").read_bytes() == certificate.read_bytes()
    assert (etc / "ampedge.key.pem").read_bytes() == private.read_bytes()
    assert mode(etc / "ampedge.key.pem") == 0o640
    assert "chown root:ampedge /etc/ampedge/ampedge.key.pem" in system.ran
    load_config(etc / "ampedge.toml", environment={})
    Path("cert.pem").unlink()
    with pytest.raises(UsageError, match=r"mqtt\.cert_file: cert\.pem cannot be read"):
        run("install", "--yes")


def test_a_model_that_the_service_can_read_where_it_is_stays_there(system: FakeSystem, run: Run) -> None:
    bundle = shipped(BUNDLE).resolve()
    write_config(f'model = "{bundle}"\n')
    run("install", "--yes")
    stays = bundle.stat().st_mode & 0o004 and all(above.stat().st_mode & 0o001 for above in bundle.parents)
    stays = stays and not bundle.is_relative_to("/home")
    assert installed(system)["model"] == (str(bundle) if stays else "/etc/ampedge/ampedge.ampedge")
    run("install", "--yes", "--model", bundle)
    assert installed(system)["model"] == "/etc/ampedge/ampedge.ampedge"


def test_a_signed_model_stays_signed_and_an_unsigned_one_is_refused(system: FakeSystem, run: Run) -> None:
    private, public = make_keys(Path())
    pack_bundle(sign_bundle(tiny_bundle(Path()), private), Path("signed.ampedge"))
    write_config(f'verify_key = "{public}"\n')
    with pytest.raises(ModelRefusedError):
        run("install", "--yes", "--model", "model")
    run("install", "--yes", "--model", "signed.ampedge")
    etc = system.root / "etc/ampedge"
    assert installed(system)["verify_key"] == "/etc/ampedge/ampedge.verify.pem"
    load_bundle(etc / "ampedge.ampedge", verify_key=etc / "ampedge.verify.pem")


def test_a_state_directory_elsewhere_is_made_and_may_be_written(system: FakeSystem, run: Run) -> None:
    write_config('state_dir = "/srv/a disk/state"\n')
    run("install", "--yes")
    assert installed(system)["state_dir"] == "/srv/a disk/state"
    assert "install -d -m 750 -o ampedge -g ampedge /srv/a disk/state" in system.ran
    assert 'ReadWritePaths=-"/srv/a disk/state"\n' in (system.root / UNIT).read_text()
    write_config('state_dir = "/srv/100% $HOME"\n')
    run("install", "--yes")
    assert 'ReadWritePaths=-"/srv/100%% $HOME"\n' in (system.root / UNIT).read_text()
    for hidden in ("/home/pi/state", "/srv/x\\nExecStartPre=/bin/true"):
        write_config(f'state_dir = "{hidden}"\n')
        run("install", "--yes")
        assert installed(system)["state_dir"] == "/var/lib/ampedge"
        assert "ReadWritePaths" not in (system.root / UNIT).read_text()


def test_installed_again_it_takes_what_changed_and_keeps_the_old_config_and_the_secrets(
    system: FakeSystem, run: Run
) -> None:
    run("install", "--yes")
    etc = system.root / "etc/ampedge"
    first = (etc / "ampedge.toml").read_text("utf-8")
    (etc / "ampedge.env").write_text("AMPEDGE_MQTT__PASSWORD=canary-7731\n")
    run("install", "--yes")
    assert not (etc / "ampedge.toml.old").exists(), "nothing changed"
    write_config('device = "pump"\n')
    run("install", "--yes")
    assert (etc / "ampedge.toml.old").read_text("utf-8") == first
    assert installed(system)["device"] == "pump"
    assert (etc / "ampedge.env").read_text() == "AMPEDGE_MQTT__PASSWORD=canary-7731\n"


def test_without_a_config_here_the_installed_one_is_taken_as_it_is(system: FakeSystem, run: Run) -> None:
    run("install", "--yes")
    config = system.root / "etc/ampedge/ampedge.toml"
    config.write_text(config.read_text("utf-8").replace('"amplifier"', '"pump"'), "utf-8")
    changed = config.read_text("utf-8")
    (system.root / UNIT).write_text((system.root / UNIT).read_text().replace("WatchdogSec=30", "WatchdogSec=1"))
    Path("ampedge.toml").unlink()
    run("install", "--yes")
    assert config.read_text("utf-8") == changed
    assert "WatchdogSec=30" in (system.root / UNIT).read_text()


def test_the_secrets_count_when_the_config_is_checked(system: FakeSystem, run: Run) -> None:
    run("install", "--yes")
    secrets = system.root / "etc/ampedge/ampedge.env"
    secrets.write_text('# AMPEDGE_X=1\nAMPEDGE_MODBUS__UNIT="7"\nAMPEDGE_MQTT__PORT=wrong\n')
    for command in ("install --yes", "restart", "reload"):
        with pytest.raises(ConfigError, match=r"mqtt\.port"):
            run(*command.split())
    secrets.write_text('AMPEDGE_MODBUS__UNIT="7"\nAMPEDGE_DEVICE=pump\\ 1\\\\2\n')
    _, said = run("install", "--yes")
    assert r"pump 1\2:" in said
    assert "unit 7" in said
    secrets.write_bytes(b"\xff")
    assert "unit 1" in run("install", "--yes")[1], "what is no text systemd passes over"


@pytest.mark.parametrize("place", ["etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"])
def test_a_unit_that_is_not_ours_is_left_alone(system: FakeSystem, run: Run, place: str) -> None:
    unit = system.root / place / "ampedge.service"
    unit.parent.mkdir(parents=True, exist_ok=True)
    unit.write_text("[Service]\nExecStart=/home/pi/ampedge/bin/ampedge serve\n")
    with pytest.raises(InUseError, match=f"/{place}/ampedge.service") as refused:
        run("install", "--yes")
    assert f"systemctl disable --now ampedge && sudo mv /{place}/ampedge.service" in refused.value.remedy
    with pytest.raises(UsageError, match="has installed no service ampedge"):
        run("uninstall")
    assert system.ran == []
    assert unit.exists()


def test_a_program_that_the_service_cannot_see_is_refused_with_a_better_place(system: FakeSystem, run: Run) -> None:
    system.machine = replace(system.machine, sources=(Path("/usr"), Path("/home/pi/ampedge/bin/python")))
    with pytest.raises(UsageError, match="runs from /home/pi/ampedge/bin/python") as refused:
        run("install", "--yes")
    assert "/opt/ampedge" in refused.value.remedy
    assert system.ran == []


def test_this_machine_is_the_one_that_runs() -> None:
    machine = this_machine()
    assert machine.at("/etc/passwd") == Path("/etc/passwd")
    said = subprocess.run([*machine.program, "--version"], check=True, capture_output=True, text=True, timeout=30)
    assert said.stdout.startswith("ampedge ")
    assert Path(sys.executable) in machine.sources
    places = {"/home/pi/x": True, "/root": True, "/tmp/x": True, "/opt/x": False, "/homely": False}
    assert {place: machine.hides(Path(place)) for place in places} == places


@pytest.mark.parametrize(
    ("unit", "start", "is_old"),
    [
        ("etc/systemd/system/ml_edge_service.service", "ExecStart=/usr/bin/python3 /home/pi/x.py", True),
        ("lib/systemd/system/old.service", "ExecStart = /usr/bin/python3 /home/pi/ml_edge_service.py", True),
        ("etc/systemd/system/old.service", "ExecStart=-/opt/ml_edge_service/run.sh", True),
        ("etc/systemd/system/old.service", "ExecStart=/usr/bin/python3 \\\n  /home/pi/ml_edge_service.py", True),
        ("etc/systemd/system/old.service", "ExecStart=\\\n# why\\\n python3 \\\n; x\n ml_edge_service.py", True),
        ("etc/systemd/system/old.service", "ExecStart=/usr/bin/true\nDescription=ml_edge_service", False),
        ("etc/systemd/system/old.service", "# not ml_edge_service\nExecStart=/usr/bin/true", False),
    ],
)
def test_the_old_service_is_noticed_and_left_alone(
    system: FakeSystem, run: Run, unit: str, start: str, is_old: bool
) -> None:
    path = system.root / unit
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"[Service]\n{start}\n")
    for command in ("install --dry-run", "install --yes", "status"):
        _, said = run(*command.split())
        assert (f"sudo systemctl disable --now {path.stem} && sudo mv /{unit} /{unit}.old" in said) is is_old
    assert path.read_text() == f"[Service]\n{start}\n"
    assert not [call for call in system.ran if path.stem in call]


@pytest.mark.parametrize(
    ("lines", "low"),
    [
        ('[modbus]\nhost = "127.0.0.1"\nport = 502', True),
        ('[modbus]\nhost = "127.0.0.1"\nport = 502\nslave = "external"', False),
        ('[modbus]\nhost = "192.0.2.1"\nport = 502', False),
        ('[modbus]\nhost = "192.0.2.1"\nport = 502\nslave = "embedded"', True),
        ('[modbus]\nhost = "127.0.0.1"\nport = 1024', False),
        ("", False),
        ('[mqtt]\nhost = "embedded"\nport = 883', True),
    ],
)
def test_the_right_to_low_ports_is_given_only_where_one_may_be_hosted(
    system: FakeSystem, run: Run, lines: str, low: bool
) -> None:
    write_config(f"{lines}\n")
    run("install", "--yes")
    unit = (system.root / UNIT).read_text()
    assert ("AmbientCapabilities=CAP_NET_BIND_SERVICE\n" in unit) is low
    assert ("PrivateUsers=no\n" in unit) is low


@pytest.mark.parametrize(("port", "limit"), [(5020, 15), (502, 20)])
def test_the_unit_is_valid_and_hardened(system: FakeSystem, run: Run, port: int, limit: int, tmp_path: Path) -> None:
    analyze = needed("systemd-analyze")
    write_config(f'state_dir = "/srv/x"\n[modbus]\nport = {port}\nslave = "embedded"\n')
    system.machine = replace(system.machine, program=this_machine().program)
    run("install", "--yes")
    unit = tmp_path / "ampedge.service"
    unit.write_text((system.root / UNIT).read_text())
    checked = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    security = [analyze, "security", "--offline=true", "--no-pager", f"--threshold={limit}", unit]
    scored = subprocess.run(security, capture_output=True, text=True, check=False)
    score = re.search(r"Overall exposure level .*: ([\d.]+)", scored.stdout)
    assert score, scored.stderr
    print(f"exposure with port {port}: {score[1]}")
    assert scored.returncode == 0
    assert 0.5 < float(score[1]) <= limit / 10
    unit.write_text(unit.read_text().replace("ProtectSystem", "ProtectSistem"))
    checked = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, check=False)
    assert "ProtectSistem" in checked.stderr, "the check would find a wrong word"


@pytest.mark.parametrize("place", ["plain", "a $HOME 5% $$;"])
def test_a_program_with_a_strange_path_is_started(system: FakeSystem, run: Run, place: str, tmp_path: Path) -> None:
    analyze = needed("systemd-analyze")
    (tmp_path / place).mkdir()
    shutil.copy("/bin/true", tmp_path / place / "ampedge")
    system.machine = replace(system.machine, program=(str(tmp_path / place / "ampedge"),))
    run("install", "--yes")
    unit = tmp_path / "ampedge.service"
    unit.write_text((system.root / UNIT).read_text())
    checked = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("character", ["'", '"', "\\"])
def test_a_path_that_systemd_refuses_is_refused(system: FakeSystem, run: Run, character: str) -> None:
    system.machine = replace(system.machine, program=(f"/opt/a{character}b/ampedge",))
    with pytest.raises(UsageError, match="no quotes and no backslash"):
        run("install", "--yes")
    assert system.ran == []


def test_status_says_how_it_stands(system: FakeSystem, run: Run) -> None:
    with pytest.raises(UsageError, match="has installed no service ampedge"):
        run("status")
    run("install", "--yes")
    system.answer(
        "systemctl-show",
        "ActiveState=active\nSubState=running\nStateChangeTimestamp=Mon 2026-11-23 01:35:03 UTC\nMainPID=4711\n"
        "NRestarts=2\nMemoryCurrent=52428800\nStatusText=3 devices, broker connected\nResult=success\n"
        "UnitFileState=enabled\n",
    )
    out, _ = run("status")
    assert out.splitlines() == [
        "The service ampedge is active (running) since Mon 2026-11-23 01:35:03 UTC.",
        "It says: 3 devices, broker connected",
        "Process 4711, 52 MB of memory. Restarts: 2.",
        "It starts at boot. Its config is /etc/ampedge/ampedge.toml.",
    ]


def test_a_failed_service_says_why(system: FakeSystem, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run("install", "--yes", "--name", "plant")
    failed = "ActiveState=failed\nSubState=failed\nMainPID=0\nMemoryCurrent=[not set]\nResult=watchdog\n"
    system.answer("systemctl-show", failed + "UnitFileState=disabled\n")
    with pytest.raises(UnreachableError, match="plant does not run"):
        run("status", "--name", "plant")
    assert capsys.readouterr().out.splitlines() == [
        "The service plant is failed (failed).",
        "It ended last because of: watchdog.",
        "It does not start at boot. Its config is /etc/ampedge/plant.toml.",
    ]


def test_what_systemd_refuses_is_passed_on(system: FakeSystem, run: Run) -> None:
    system.fail("systemctl restart")
    with pytest.raises(UsageError, match=r"`systemctl restart ampedge.service` failed: it does not work") as refused:
        run("install", "--yes")
    assert "ampedge service logs" in refused.value.remedy


@pytest.mark.parametrize("verb", ["restart", "reload"])
def test_restart_and_reload_check_the_config_first(system: FakeSystem, run: Run, verb: str) -> None:
    run("install", "--yes")
    calls = len(system.ran)
    out, _ = run(verb)
    assert system.ran[calls] == f"systemctl {verb} ampedge.service"
    assert "ampedge is active" in out
    config = system.root / "etc/ampedge/ampedge.toml"
    config.write_text("devise = 7\n" + config.read_text("utf-8"))
    calls = len(system.ran)
    with pytest.raises(ConfigError):
        run(verb)
    assert system.ran[calls:] == []


def changed(config: Path, old: str, new: str) -> None:
    text = config.read_text("utf-8")
    assert old in text
    config.write_text(text.replace(old, new, 1), "utf-8")


def other_tags(config: Path) -> None:
    changed(config, 'name = "plate_voltage"', 'name = "anode"')


def no_password_file(config: Path) -> None:
    changed(config, "\n[mqtt]\n", '\n[mqtt]\npassword_file = "/etc/ampedge/none"\n')


def no_certificate(config: Path) -> None:
    changed(config, "\n[mqtt]\n", '\n[mqtt]\ntls = true\nca_file = "/etc/ampedge/none"\n')


def no_such_label(config: Path) -> None:
    changed(config, "\n[decision]\n", '\n[decision]\nnormal_label = "healty"\n')


def damaged_model(config: Path) -> None:
    model = config.with_suffix(".ampedge")
    model.write_bytes(model.read_bytes()[:-9])


def no_model(config: Path) -> None:
    config.with_suffix(".ampedge").unlink()


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        (other_tags, ModelRefusedError, "was made for other tags"),
        (no_password_file, ConfigError, r"mqtt\.password_file: .*/etc/ampedge/none has no first line"),
        (no_certificate, ConfigError, r"mqtt\.ca_file: .*/etc/ampedge/none cannot be read"),
        (no_such_label, ConfigError, "'healty' is not a class"),
        (damaged_model, ModelRefusedError, "is refused"),
        (no_model, UsageError, "There is no model at"),
    ],
)
def test_what_would_keep_it_from_starting_leaves_it_alone(
    system: FakeSystem, run: Run, fault: Callable[[Path], None], error: type[AmpedgeError], said: str
) -> None:
    run("install", "--yes")
    Path("ampedge.toml").unlink()
    fault(system.root / "etc/ampedge/ampedge.toml")
    calls = len(system.ran)
    for command in ("restart", "reload", "install --yes"):
        with pytest.raises(error, match=said):
            run(*command.split())
    assert system.ran[calls:] == []


def test_what_would_keep_it_from_starting_is_not_installed(system: FakeSystem, run: Run) -> None:
    Path("empty").touch()
    for lines in ('[decision]\nnormal_label = "healty"\n', '[mqtt]\npassword_file = "empty"\n'):
        write_config(lines)
        with pytest.raises(ConfigError):
            run("install", "--yes")
    assert system.ran == []


def test_a_bad_model_with_a_last_good_copy_does_not_hold_up_a_restart(system: FakeSystem, run: Run) -> None:
    run("install", "--yes")
    model = system.root / "etc/ampedge/ampedge.ampedge"
    Keeper(system.root / "var/lib/ampedge").keep(load_bundle(model), model)
    damaged_model(system.root / "etc/ampedge/ampedge.toml")
    calls = len(system.ran)
    run("restart")
    assert system.ran[calls] == "systemctl restart ampedge.service"


@pytest.mark.parametrize("refusal", [None, "state_dir cannot change while serve runs. Restart it."])
def test_a_reload_waits_for_what_the_service_says(system: FakeSystem, run: Run, refusal: str | None) -> None:
    run("install", "--yes")
    state = system.root / "var/lib/ampedge"
    state.mkdir(parents=True)

    def told() -> dict[str, Any]:
        has_read = "systemctl reload ampedge.service" in system.ran
        earlier = {"count": 3, "problem": "an earlier one"}
        return {"schema": 1, "reload": {"count": 4, "problem": refusal} if has_read else earlier}

    with StatusSocket(state, told):
        if refusal is None:
            assert run("reload")[1] == ""
        else:
            with pytest.raises(UsageError, match=f"goes on as before: {refusal}"):
                run("reload")


def test_where_the_service_does_not_say_whether_it_reloaded_its_log_tells(
    system: FakeSystem, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("install", "--yes")
    said = "It does not say whether it has taken them: see `ampedge service logs --name ampedge`.\n"
    assert run("reload")[1] == said, "nobody answers"
    state = system.root / "var/lib/ampedge"
    state.mkdir(parents=True)
    with StatusSocket(state, lambda: {"schema": 1}):
        assert run("reload")[1] == said, "an older version runs"
    monkeypatch.setattr(reloading, "_LIMIT_S", 0.1)
    with StatusSocket(state, lambda: {"schema": 1, "reload": {"count": 0, "problem": None}}):
        assert run("reload")[1] == said, "it does not turn"


def journal(*messages: object, **fields: object) -> str:
    """What journalctl prints for lines that hold these messages."""
    kept = {"__REALTIME_TIMESTAMP": "1700000000123456", "PRIORITY": "6", **fields}
    return "".join(json.dumps({**kept, "MESSAGE": message}) + "\n" for message in messages)


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose local time is UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_logs_are_lines_for_people(system: FakeSystem, run: Run, utc: None) -> None:
    run("install", "--yes")
    ours = {"time": "2026-11-23T01:35:03.571Z", "level": "warning", "message": "No reply.", "device": "pump"}
    bug = {**ours, "level": "error", "message": "A bug.", "exception": "Traceback\nZeroDivisionError"}
    said = [json.dumps(ours), json.dumps(bug), "Started ampedge.", '{"a": 1}', "7", [103, 114, 252, 110], None]
    system.answer("journalctl---unit=ampedge.service", journal(*said) + journal("Failed.", PRIORITY="3"))
    out, _ = run("logs")
    assert out.splitlines() == [
        "2026-11-23 01:35:03,571 WARNING No reply. (device pump)",
        "2026-11-23 01:35:03,571 ERROR   A bug. (device pump)",
        "Traceback",
        "ZeroDivisionError",
        "2023-11-14 22:13:20,123 INFO    Started ampedge.",
        '2023-11-14 22:13:20,123 INFO    {"a": 1}',
        "2023-11-14 22:13:20,123 INFO    7",
        "2023-11-14 22:13:20,123 INFO    gr\ufffdn",
        "2023-11-14 22:13:20,123 INFO    ",
        "2023-11-14 22:13:20,123 ERROR   Failed.",
    ]
    assert "--lines=50" in system.ran[-1]
    assert "--follow" not in system.ran[-1]
    run("logs", "--follow", "-n", 3, "--name", "ampedge")
    assert "--lines=3" in system.ran[-1]
    assert "--follow" in system.ran[-1]
    system.fail("journalctl")
    with pytest.raises(UsageError, match="cannot be read"):
        run("logs")


def test_uninstall_stops_it_and_leaves_what_it_stored_until_it_is_purged(system: FakeSystem, run: Run) -> None:
    run("install", "--yes")
    run("install", "--yes", "--name", "ampedge2")
    for place in ("var/lib/ampedge/models", "var/log/ampedge", f"{UNIT}.d", "var/lib/ampedge2"):
        (system.root / place).mkdir(parents=True)
    calls = len(system.ran)
    out, said = run("uninstall")
    assert system.ran[calls:] == [
        "systemctl disable --now ampedge.service",
        "systemctl daemon-reload",
        "systemctl reset-failed ampedge.service",
    ]
    assert not (system.root / UNIT).exists()
    assert "/etc/systemd/system/ampedge.service is removed" in out
    assert "/var/lib/ampedge" in said
    assert (system.root / "etc/ampedge/ampedge.toml").exists()
    with pytest.raises(UsageError, match="has installed no service ampedge"):
        run("uninstall")
    calls = len(system.ran)
    out, _ = run("uninstall", "--purge")
    assert system.ran[calls:] == []
    assert out.splitlines() == [
        "/etc/ampedge/ampedge.ampedge is removed.",
        "/etc/ampedge/ampedge.env is removed.",
        "/etc/ampedge/ampedge.toml is removed.",
        "/var/lib/ampedge is removed.",
        "/var/log/ampedge is removed.",
        "/etc/systemd/system/ampedge.service.d is removed.",
    ]
    left = sorted(str(path.relative_to(system.root)) for path in system.root.rglob("ampedge*"))
    assert left == [
        "etc/ampedge",
        "etc/ampedge/ampedge2.ampedge",
        "etc/ampedge/ampedge2.env",
        "etc/ampedge/ampedge2.toml",
        "etc/systemd/system/ampedge2.service",
        "var/lib/ampedge2",
    ]
    with pytest.raises(UsageError, match="has installed no service ampedge"):
        run("uninstall", "--purge")


@pytest.mark.parametrize("shared", [True, False])
def test_what_it_stored_elsewhere_is_named_and_purged_and_nothing_else_there(
    system: FakeSystem, run: Run, shared: bool
) -> None:
    write_config('state_dir = "/srv/disk"\n')
    run("install", "--yes")
    disk = system.root / "srv/disk"
    (disk / "models").mkdir(parents=True)
    ours = ["events.db", "events.db-wal", "events.db.reserve", "lock", "models"]
    for name in (*ours[:-1], "models/kept.json", "models/0123456789abcdef.ampedge"):
        (disk / name).touch()
    (disk / "photos").mkdir() if shared else None
    _, said = run("uninstall")
    assert all(f"/srv/disk/{name}" in said for name in ours)
    out, _ = run("uninstall", "--purge")
    assert [line for line in out.splitlines() if "/srv/" in line] == [
        *(f"/srv/disk/{name} is removed." for name in ours),
        "/srv/disk stays, with what else is in it." if shared else "/srv/disk is removed.",
    ]
    assert [path.name for path in disk.parent.rglob("*")] == (["disk", "photos"] if shared else [])


def test_models_among_other_files_and_a_state_that_another_service_uses_stay(system: FakeSystem, run: Run) -> None:
    write_config('state_dir = "/srv/disk"\n')
    run("install", "--yes")
    run("install", "--yes", "--name", "other")
    disk = system.root / "srv/disk"
    (disk / "models").mkdir(parents=True)
    (disk / "models" / "mine.keras").touch()
    (disk / "events.db").touch()
    with StateDirectory(disk):
        run("uninstall", "--purge")
        assert (disk / "events.db").exists()
    run("uninstall", "--purge", "--name", "other")
    assert [path.name for path in disk.rglob("*")] == ["models", "mine.keras"]


def test_a_config_that_is_no_toml_does_not_keep_it_from_being_purged(system: FakeSystem, run: Run) -> None:
    run("install", "--yes")
    (system.root / "etc/ampedge/ampedge.toml").write_text("[")
    run("uninstall", "--purge")
    assert list((system.root / "etc/ampedge").iterdir()) == []


def test_paths_change_and_all_else_stays() -> None:
    text = "# mine\na = 1 # one\nmodel = 'x'\n\n[mqtt]\nca_file = \"y\"   # why\n[[tags]]\nname = '''\nmodel = 1\n'''\n"
    made = relocated(text, {"model": '/a"b/ü', "mqtt.ca_file": "/c"}, origin=Path("/o"))
    assert made == text.replace("'x'", '"/a\\"b/ü"').replace('"y"   # why', '"/c"')
    with_state = relocated(text, {"state_dir": "/s"}, origin=Path("/o"))
    assert with_state.endswith(text)
    assert tomllib.loads(with_state)["state_dir"] == "/s"
    assert "/o" in with_state.splitlines()[0]


@pytest.mark.parametrize("text", ["mqtt = {ca_file = 'y'}", "[mqtt]\nca_file = '''\ny'''"])
def test_paths_on_no_line_of_their_own_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"mqtt\.ca_file"):
        relocated(text, {"mqtt.ca_file": "/c"}, origin=Path("/o"))
