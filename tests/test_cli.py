"""The one place that prints errors, and the options that commands share."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

import ampedge
from ampedge.cli import app, options
from ampedge.errors import (
    AmpedgeError,
    ConfigError,
    DataError,
    GateError,
    InUseError,
    ModelRefusedError,
    UnreachableError,
    UsageError,
    did_you_mean,
    missing_extra,
)
from tests.support.cli import run_cli
from tests.support.mosquitto import free_port


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """A function that runs the command line with a command that raises; gives (exit code, stdout, stderr)."""

    def run(error: BaseException, *arguments: str) -> tuple[int, str, str]:
        def command(**_: object) -> None:
            raise error

        monkeypatch.setattr(app, "app", command)
        monkeypatch.setattr("sys.argv", ["ampedge", *arguments])
        with pytest.raises(SystemExit) as ended:
            app.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (AmpedgeError, 1),
        (UsageError, 2),
        (ConfigError, 2),
        (DataError, 3),
        (UnreachableError, 4),
        (ModelRefusedError, 5),
        (GateError, 6),
        (InUseError, 7),
    ],
)
def test_an_error_is_its_problem_its_remedy_and_its_exit_code(raising, kind: type[AmpedgeError], code: int) -> None:
    problem = "There is no [model] at /a/very/long/path" + "/of/directories" * 10 + "."
    assert raising(kind(problem, "Make one: pip install [extra].")) == (
        code,
        "",
        f"Error: {problem}\nMake one: pip install [extra].\n",
    )
    assert raising(kind("That is all."))[2] == "Error: That is all.\n"


def test_a_bug_says_that_it_is_one_without_a_traceback(raising) -> None:
    code, out, error = raising(ZeroDivisionError("division by zero"))
    assert (code, out) == (1, "")
    assert error.startswith("Bug: ZeroDivisionError: division by zero\n")
    assert "--debug" in error
    assert "Traceback" not in error


def test_a_place_that_the_system_refuses_is_no_bug(raising) -> None:
    code, out, error = raising(OSError(36, "File name too long", "there"))
    assert (code, out) == (2, "")
    assert error == "Error: there: File name too long.\nGive another path.\n"
    assert raising(OSError(9, "Bad file descriptor"))[0] == 1


@pytest.mark.parametrize("error", [DataError("No.", "Yes."), ZeroDivisionError("x")])
def test_debug_lets_the_traceback_through(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def command(**_: object) -> None:
        raise error

    monkeypatch.setattr(app, "app", command)
    monkeypatch.setattr("sys.argv", ["ampedge", "--debug", "train"])
    with pytest.raises(type(error)):
        app.main()


def test_an_interrupt_is_130(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(options, "config_from", interrupted)
    monkeypatch.setattr("sys.argv", ["ampedge", "collect", "--label", "x", "--out", str(tmp_path / "x.csv")])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == 130


def test_version_and_no_command_at_all() -> None:
    done = run_cli("--version")
    assert (done.returncode, done.stdout) == (0, f"ampedge {ampedge.__version__}\n")
    done = run_cli()
    assert "Usage: ampedge" in done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [["trian"], ["serve", "--prot", "5"], ["serve", "--port", "x"]])
def test_a_wrong_word_is_a_usage_error(arguments: list[str]) -> None:
    assert run_cli(*arguments).returncode == 2


def test_a_choice_that_there_is_not() -> None:
    done = CliRunner().invoke(app.app, ["export", "--quantize", "int4"], env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert "Invalid value for '--quantize': 'int4' is not one of 'int8', 'float16'." in done.output


def test_all_problems_of_a_config_are_shown_by_a_command(tmp_path: Path) -> None:
    (tmp_path / "ampedge.toml").write_text("[modbus]\nhots = 'x'\n[mqtt]\nport = 0\n")
    done = run_cli("serve", "--interval", "-1", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    for words in (
        "modbus.hots (ampedge.toml:2): there is no such key; did you mean 'host'?",
        "mqtt.port (ampedge.toml:4): input should be greater than or equal to 1, not 0",
        "modbus.interval_s (flag): input should be greater than 0, not -1.0",
    ):
        assert words in done.stderr
    assert run_cli("--debug", "serve", "--port", 0, cwd=tmp_path).stderr.startswith("Traceback")


@pytest.mark.parametrize(
    "keys", ['password_file = "gone.pem"', 'tls = true\nca_file = "gone.pem"', 'tls = true\ncert_file = "gone.pem"']
)
def test_a_file_of_the_config_that_is_not_there_is_named(tmp_path: Path, keys: str) -> None:
    (tmp_path / "ampedge.toml").write_text(f'[mqtt]\nusername = "edge"\n{keys}\n')
    done = run_cli("serve", "--port", free_port(), cwd=tmp_path)
    assert done.returncode == 2
    key = keys.split()[-3]
    assert f"mqtt.{key}: gone.pem " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("broker", "host", "port"),
    [
        ("edge.local", "edge.local", 1883),
        ("edge.local:1884", "edge.local", 1884),
        ("192.168.1.75:8883", "192.168.1.75", 8883),
        ("::1", "::1", 1883),
        ("fd00::12", "fd00::12", 1883),
        ("[fd00::12]", "fd00::12", 1883),
        ("[fd00::12]:1884", "fd00::12", 1884),
        ("embedded", "embedded", 1883),
        ("embedded:1999", "embedded", 1999),
    ],
)
def test_brokers(tmp_path: Path, broker: str, host: str, port: int) -> None:
    (tmp_path / "empty.toml").touch()
    settings = options.config_from(tmp_path / "empty.toml", broker=broker).settings
    assert (settings.mqtt.host, settings.mqtt.port) == (host, port)


@pytest.mark.parametrize(
    "broker",
    [
        "",
        ":",
        ":1883",
        "x:",
        "x:y",
        "x:-1",
        "x:0",
        "x:65536",
        "x:1e3",
        "x:\u0661",
        "[x",
        "[]",
        "[edge.local]",
        "[edge]:1883",
        "edge:hunter2@x",
        "mqtt://x",
    ],
)
def test_text_that_is_no_broker(tmp_path: Path, broker: str) -> None:
    (tmp_path / "empty.toml").touch()
    with pytest.raises(UsageError) as caught:
        options.config_from(tmp_path / "empty.toml", broker=broker)
    assert "hunter2" not in caught.value.problem  # somebody may write a password there


def test_did_you_mean() -> None:
    assert did_you_mean("hots", ["host", "port"]) == "did you mean 'host'?"
    assert did_you_mean("zzz", ["host", "port"]) == ""


def test_a_missing_extra_has_its_install_line() -> None:
    error = missing_extra("Training", "train")
    assert (error.exit_code, error.remedy) == (2, 'Install it with: pip install "ampedge[train]"')
