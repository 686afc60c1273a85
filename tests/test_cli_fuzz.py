"""Options drawn blindly over all commands: every run ends in words and with a code of the table, never in a traceback.

`AMPEDGE_FUZZ=20000 pytest tests/test_cli_fuzz.py` draws more of them.
"""

import os
import random
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ampedge import errors, log
from ampedge.cli import app as cli
from ampedge.samples import BUNDLE, CONFIG, DATA, SAMPLES, shipped
from tests.support import reference
from tests.support.canary import CANARY, refuse

RUNS = int(os.environ.get("AMPEDGE_FUZZ", "100"))
CODES = {0, 130, *(error.exit_code for error in errors.AmpedgeError.__subclasses__())} - {1}

ENDLESS = {"demo"}
"""Runs the other commands and starts services."""

TEXTS = [
    *("", " ", "-", "--", "-1", "0", "1", "2.5", "1e308", "nan", "inf", "-inf", "9" * 30, "0x10", "1_000", "true"),
    *("ü", "\udcff", "\u202e", "\x1b[31m", "a" * 5000, "[red]x[/]", "%s%n", "{device}", "{}", "#", "+", "a/b", "=1+1"),
    *("localhost", "127.0.0.1", "::1", "[::1]:1", "x:99999", "mqtt://edge:x@y", "1.2.3", "holding", "40001", "hr:0"),
    *("plate_voltage=1", "plate_voltage=1e40", "=", "a=", "healthy", "status", "3d", "2026-11-23", ";", "\t"),
    *(
        "site.toml",
        "bad.toml",
        "data.csv",
        "test_samples.csv",
        "empty",
        "noise.bin",
        "folder",
        "folder/new",
        "missing/x",
    ),
    *("..", ".", "/proc/nope/x", "x.ampedge", "noise.ampedge"),
]

LIKELY = {
    "host": "127.0.0.1",
    "broker": "127.0.0.1:1883",
    "topic": "a/b",
    "label": "healthy",
    "device": "amplifier",
    "since": "3d",
    "address": "40001",
    "table": "holding",
    "slave": "external",
    "model": "amplifier.ampedge",
    "set": "impedance=7.5",
    "samples": "test_samples.csv",
    "data": "data.csv",
    "format": "ampedge",
    "config": "site.toml",
}
"""So that some runs get beyond their options."""

FILES = {
    "bad.toml": b"[modbus\n",
    "typo.toml": b"[modbus]\nhots = 1\nport = 'x'\n",
    "several.toml": b"[mqtt]\ntopic = '{device}'\n"
    + b"".join(b"[[devices]]\nname = '%s'\nhost = '127.0.0.1'\n" % name for name in (b"a", b"b")),
    "empty": b"",
    "noise.bin": random.Random(0).randbytes(3000),
    "noise.ampedge": random.Random(1).randbytes(3000),
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with files good and bad; nothing is reached over the network, nothing runs on, trains or is measured."""
    monkeypatch.chdir(tmp_path)
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    for name, original in ((DATA, DATA), (SAMPLES, SAMPLES), (BUNDLE, BUNDLE), ("site.toml", CONFIG)):
        (tmp_path / name).write_bytes(shipped(original).read_bytes())
    (tmp_path / "folder").mkdir()
    for name in [name for name in os.environ if name.startswith("AMPEDGE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AMPEDGE_MQTT__PASSWORD", CANARY)

    def refused(*_: Any) -> None:
        raise ConnectionRefusedError(111, "Connection refused")

    def unknown(host: object, *_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, f"{host} is not known")

    def ended(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    for part in ("serving.run", "monitoring.run", "plays._BROKER_S"):
        monkeypatch.setattr(f"ampedge.cli.{part}", ended if part.endswith("run") else 0.01)
    monkeypatch.setattr("ampedge.training.train.start", ended)
    monkeypatch.setattr("ampedge.benchmark.process.run", ended)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield tmp_path
    for number, handler in handlers.items():
        signal.signal(number, handler)
    log.logger.handlers.clear()


def drawn(seed: int) -> list[str]:
    """The words of a command line; the same for the same seed."""
    draw = random.Random(seed)
    known = {name: command for name, command in reference.commands().items() if name not in ENDLESS}
    group = draw.choice(sorted({name.split()[0] for name in known}))
    name = draw.choice(sorted(name for name in known if name.split()[0] == group))
    words = name.split()
    if name.startswith("service "):  # what would change this machine ends at its options
        words.append("--dry-run" if name == "service install" else "--nonsense")
    for argument in reference.arguments(known[name]):
        if draw.random() < 0.7:
            words.append(_value(draw, argument))
    for option in draw.choices(reference.options(known[name]), k=draw.randint(0, 4)):
        words.append(draw.choice([*option.opts, *option.secondary_opts]))
        if not option.is_flag and draw.random() < 0.97:
            words.append(_value(draw, option))
    if draw.random() < 0.05:
        words.insert(draw.randrange(len(words) + 1), draw.choice(TEXTS))
    return words


def _value(draw: random.Random, parameter: Any) -> str:
    kind = reference._kind(parameter) if parameter.param_type_name == "option" else ""
    if kind == "INTEGER" and draw.random() < 0.6:
        return str(draw.choice([1, 2, 3, 100, 65535, 65536]))
    if kind == "NUMBER" and draw.random() < 0.6:
        return str(draw.choice([0.0, 0.01, 0.5, 1.0, 1e-300, 86400.0]))
    likely = LIKELY.get(parameter.name.removesuffix("_file"))
    return likely if likely and draw.random() < 0.7 else draw.choice(TEXTS)


def test_every_command_line_ends_in_words(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sys.stderr.reconfigure(errors="backslashreplace")  # as it is in a process of its own
    ended: dict[int, int] = {}
    for seed in range(RUNS):
        words = drawn(seed)
        monkeypatch.setattr("sys.argv", ["ampedge", *words])
        with pytest.raises(SystemExit) as caught:
            cli.main()
            raise SystemExit(0)
        said = capsys.readouterr()
        code = caught.value.code or 0
        about = f"seed {seed}: {words} ended with {code}:\n{said.err[-2000:]}"
        assert code in CODES, about
        assert "Traceback" not in said.out + said.err, about
        assert "Bug:" not in said.err, about
        assert code in (0, 130) or (said.out + said.err).strip(), about
        refuse(said.out, said.err)
        ended[int(code)] = ended.get(int(code), 0) + 1
    assert len(ended) >= 4  # not all of them fail at the first word
