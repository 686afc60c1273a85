"""`ampedge monitor`: its three outputs, its ends, and what it says when the broker comes and goes."""

import json
import os
import pty
import re
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from rich.console import Console
from typer.testing import CliRunner

from ampedge.cli.app import app
from ampedge.cli.monitor_lines import JsonLines
from ampedge.cli.monitor_overview import overview
from ampedge.cli.monitor_view import drawn, sparkline
from ampedge.clock import FakeClock
from ampedge.errors import UsageError
from ampedge.monitor.board import Board, Kind
from ampedge.monitor.view import TagRow, Tone, View
from ampedge.mqtt.subscriber import Message
from ampedge.records import Cause, Frame, Quality, Reason, Record, TagValue
from ampedge.wire import Origin, event_payload
from tests.support.cli import command, environment, run_cli
from tests.support.event_schema import valid_event
from tests.support.labelling import Labelling, reading
from tests.support.mosquitto import Mosquitto, free_port
from tests.support.waiting import wait_until


class Monitoring:
    """A running `ampedge monitor`; `lines` and `said` are its stdout and stderr so far."""

    def __init__(self, *arguments: object) -> None:
        self.lines: list[str] = []
        self.said: list[str] = []
        self._arguments = command("monitor", *arguments)

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            self._arguments, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        pairs = ((self.process.stdout, self.lines), (self.process.stderr, self.said))
        self._readers = [threading.Thread(target=_gather, args=pair) for pair in pairs]
        for reader in self._readers:
            reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.terminate()
        self.process.wait(10)
        for reader in self._readers:
            reader.join()


def _gather(stream: Any, into: list[str]) -> None:
    with stream:
        into.extend(iter(lambda: stream.readline().rstrip("\n"), ""))


def at(broker: Mosquitto) -> tuple[object, ...]:
    return ("--broker", f"{broker.host}:{broker.port}", "--topic", "t")


def test_plain_lines_are_those_of_the_tutorial_and_nothing_else(mosquitto: Mosquitto) -> None:
    with Labelling(mosquitto, ["healthy", "failsoon"]):
        result = run_cli("monitor", *at(mosquitto), "--plain", "--count", 4)
    assert result.returncode == 0
    assert result.stderr == ""
    assert result.stdout in (
        "[INFERENCE] healthy\n[INFERENCE] failsoon\n" * 2,
        "[INFERENCE] failsoon\n[INFERENCE] healthy\n" * 2,
    )


def test_host_and_port_name_the_broker_and_without_a_terminal_lines_are_plain(mosquitto: Mosquitto) -> None:
    with Labelling(mosquitto):
        result = run_cli("monitor", "--host", "127.0.0.1", "--port", mosquitto.port, "--topic", "t", "--once")
    assert (result.returncode, result.stdout) == (0, "[INFERENCE] healthy\n")


def test_json_is_one_valid_event_a_line(mosquitto: Mosquitto) -> None:
    with Labelling(mosquitto):
        result = run_cli("monitor", *at(mosquitto), "--json", "--count", 3)
    assert result.returncode == 0
    events = [valid_event(line) for line in result.stdout.splitlines()]
    first = events[0]["sequence"]
    assert [event["sequence"] for event in events] == [first, first + 1, first + 2]
    assert result.stdout.splitlines()[0].encode() == reading("healthy", first), "as it came"


def test_json_of_a_service_that_publishes_bare_labels_only(mosquitto: Mosquitto) -> None:
    with Labelling(mosquitto, events=False):
        result = run_cli("monitor", *at(mosquitto), "--json", "--count", 2)
    assert result.stdout == '{"label": "healthy"}\n' * 2


def test_the_topic_and_broker_may_come_from_a_config(mosquitto: Mosquitto, tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(f'[mqtt]\nhost = "127.0.0.1"\nport = {mosquitto.port}\ntopic = "t"\n')
    with Labelling(mosquitto):
        result = run_cli("monitor", "--config", tmp_path / "site.toml", "--once")
    assert result.stdout == "[INFERENCE] healthy\n"


def test_timeout_ends_it_well_where_the_broker_was_there(mosquitto: Mosquitto) -> None:
    result = run_cli("monitor", *at(mosquitto), "--timeout", 0.3)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_timeout_before_the_count_is_an_error(mosquitto: Mosquitto) -> None:
    result = run_cli("monitor", *at(mosquitto), "--count", 2, "--timeout", 0.3)
    assert (result.returncode, result.stdout) == (4, "")
    assert "0 of 2 labels arrived within 0.3 s." in result.stderr


@pytest.mark.parametrize("ending", [("--once", "--timeout", 0.3), ("--timeout", 0.3)])
def test_without_a_broker_timeout_is_an_error_that_says_where(ending: tuple[object, ...]) -> None:
    port = free_port()
    result = run_cli("monitor", "--broker", f"127.0.0.1:{port}", *ending)
    assert (result.returncode, result.stdout) == (4, "")
    said = f"The broker at 127.0.0.1:{port} cannot be reached: nothing listens there."
    assert result.stderr.splitlines() == [
        f"{said} Trying again and again.",
        f"Error: {said}",
        "Check that the broker runs there, or name another one with --broker HOST:PORT.",
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--plain", "--json"), "--plain and --json contradict each other."),
        (("--once", "--count", 2), "--once and --count contradict each other."),
        (("--host", "a", "--broker", "b"), "--host a and --broker b name two brokers."),
        (("--port", 5, "--broker", "b:6"), "--port 5 and --broker b:6 name two brokers."),
        (("--topic", "a/#"), "mqtt.topic"),
        (("--topic", "line-{device}/a"), "In the topic line-{device}/a the device's name is a part of a level"),
        (("--topic", "{device}/a", "--device", "a/b"), "device (flag): a device's name has no '#'"),
        (("--device", "a"), "The topic amp/inference is that of one device"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments: tuple[object, ...], said: str) -> None:
    result = CliRunner().invoke(app, ["monitor", *map(str, arguments)])
    assert isinstance(result.exception, UsageError)
    assert said in result.exception.problem


def test_it_says_that_the_broker_is_lost_and_back_and_goes_on(mosquitto: Mosquitto) -> None:
    with Labelling(mosquitto), Monitoring(*at(mosquitto)) as monitor:
        wait_until(lambda: monitor.lines)
        mosquitto.stop()
        wait_until(lambda: monitor.said)
        mosquitto.start()
        wait_until(lambda: "Connected to the broker." in monitor.said)
        seen = len(monitor.lines)
        wait_until(lambda: len(monitor.lines) > seen)
    assert len([line for line in monitor.said if "again and again" in line]) == 1
    assert set(monitor.lines) == {"[INFERENCE] healthy"}


def test_plain_says_on_stderr_that_the_service_went_and_came(mosquitto: Mosquitto) -> None:
    with Monitoring(*at(mosquitto)) as monitor:
        with Labelling(mosquitto):
            wait_until(lambda: monitor.lines)
        wait_until(lambda: monitor.said == ["service offline"])
        with Labelling(mosquitto):
            wait_until(lambda: monitor.said == ["service offline", "service online"])


def test_interrupted_it_ends_with_130(mosquitto: Mosquitto) -> None:
    with Labelling(mosquitto), Monitoring(*at(mosquitto)) as monitor:
        wait_until(lambda: monitor.lines)
        monitor.process.send_signal(signal.SIGINT)
        assert monitor.process.wait(10) == 130
    assert monitor.said == []


def test_a_reader_that_has_had_enough_ends_it_quietly(mosquitto: Mosquitto) -> None:
    with Labelling(mosquitto):
        process = subprocess.Popen(
            command("monitor", *at(mosquitto)), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        with process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline() == b"[INFERENCE] healthy\n"
            process.stdout.close()
            assert process.wait(10) == 0
            assert process.stderr.read() == b""


def test_labels_cannot_steer_the_terminal(mosquitto: Mosquitto) -> None:
    with Labelling(mosquitto, ["\x1b[31m[bold]x\x07"], events=False):
        result = run_cli("monitor", *at(mosquitto), "--once")
    assert result.stdout == "[INFERENCE] \N{REPLACEMENT CHARACTER}[31m[bold]x\N{REPLACEMENT CHARACTER}\n"


@pytest.mark.parametrize(("ending", "code"), [(None, 0), (signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_live_view_on_a_terminal(mosquitto: Mosquitto, ending: signal.Signals | None, code: int) -> None:
    end = ("--timeout", 2) if ending is None else ()
    with Labelling(mosquitto), Terminal("monitor", *at(mosquitto), *end) as terminal:
        wait_until(lambda: "volts" in terminal.shown and "healthy" in terminal.shown, what="the view")
        if ending is not None:
            terminal.process.send_signal(ending)
        assert terminal.process.wait(10) == code
        wait_until(lambda: "\x1b[?1049l" in terminal.shown and "\x1b[?25h" in terminal.shown, what="it to be restored")
        wait_until(lambda: re.search(_WHOLE_VIEW, terminal.left_behind, re.DOTALL), what="the last view")


_WHOLE_VIEW = r"healthy.*75\.0%.*good.*service online.*volts.*V +good"


class Terminal:
    """`ampedge` on a pseudo terminal; `shown` is all that it wrote, `left_behind` the text after the live view."""

    def __init__(self, *arguments: object) -> None:
        self._arguments = command(*arguments)
        self._data = b""

    @property
    def shown(self) -> str:
        return self._data.decode("utf-8", "replace")

    @property
    def left_behind(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.shown.rpartition("\x1b[?1049l")[2])

    def __enter__(self) -> Self:
        self._ours, theirs = pty.openpty()
        env = environment({"TERM": "xterm-256color", "LINES": "30"})
        self.process = subprocess.Popen(self._arguments, env=env, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        return self

    def _read(self) -> None:
        try:
            while data := os.read(self._ours, 65536):
                self._data += data
        except OSError:
            return  # its last holder closed it

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        os.close(self._ours)


BOTH = {"pump1": ["healthy"], "pump2": ["failsoon"]}
TEMPLATE = "amp/{device}/inference"
DROPPED = json.dumps(
    {
        "schema": 1,
        "device": "pump1",
        "boot": "b1",
        "first": 3,
        "last": 14,
        "count": 12,
        "reason": "store_full",
        "time": "2026-11-23T00:00:00.000Z",
    }
)


def near(broker: Mosquitto, topic: str = TEMPLATE) -> tuple[object, ...]:
    return ("--broker", f"{broker.host}:{broker.port}", "--topic", topic)


@pytest.mark.parametrize("events", [True, False])
def test_lines_of_several_devices_name_them(mosquitto: Mosquitto, events: bool) -> None:
    with Labelling(mosquitto, BOTH, topic=TEMPLATE, events=events):
        result = run_cli("monitor", *near(mosquitto), "--plain", "--count", 4)
    assert result.stderr == ""
    assert sorted(result.stdout.splitlines()) == ["[INFERENCE] pump1 healthy"] * 2 + ["[INFERENCE] pump2 failsoon"] * 2


def test_one_of_several_devices_is_shown_as_if_it_were_alone(mosquitto: Mosquitto) -> None:
    with Labelling(mosquitto, BOTH, topic=TEMPLATE):
        result = run_cli("monitor", *near(mosquitto), "--device", "pump2", "--plain", "--count", 3)
        assert (result.stdout, result.stderr) == ("[INFERENCE] failsoon\n" * 3, "")
        result = run_cli("monitor", *near(mosquitto), "--device", "pump2", "--json", "--count", 3)
    assert [valid_event(line)["device"] for line in result.stdout.splitlines()] == ["pump2"] * 3


def test_json_of_several_devices_is_every_event_as_it_came(mosquitto: Mosquitto) -> None:
    with Labelling(mosquitto, BOTH, topic=TEMPLATE):
        result = run_cli("monitor", *near(mosquitto), "--json", "--count", 4)
    events = [valid_event(line) for line in result.stdout.splitlines()]
    assert sorted(event["device"] for event in events) == ["pump1", "pump1", "pump2", "pump2"]


def test_json_of_bare_labels_of_several_devices_names_them(mosquitto: Mosquitto) -> None:
    with Labelling(mosquitto, BOTH, topic=TEMPLATE, events=False):
        result = run_cli("monitor", *near(mosquitto), "--json", "--count", 4)
    assert set(result.stdout.splitlines()) == {
        '{"device": "pump1", "label": "healthy"}',
        '{"device": "pump2", "label": "failsoon"}',
    }


def test_the_devices_of_a_config_are_shown_whatever_the_place_of_the_name(mosquitto: Mosquitto, tmp_path: Path) -> None:
    template = "line-{device}/inference"
    site = f'[mqtt]\nhost = "127.0.0.1"\nport = {mosquitto.port}\ntopic = "{template}"\n'
    for name in ("pump1", "pump2"):
        site += f'[[devices]]\nname = "{name}"\nhost = "10.0.0.5"\n'
    (tmp_path / "site.toml").write_text(site)
    with Labelling(mosquitto, {**BOTH, "pump3": ["unstable"]}, topic=template):
        result = run_cli("monitor", "--config", tmp_path / "site.toml", "--plain", "--count", 4)
        assert set(result.stdout.splitlines()) == {"[INFERENCE] pump1 healthy", "[INFERENCE] pump2 failsoon"}
        result = run_cli("monitor", "--config", tmp_path / "site.toml", "--device", "pump1", "--once")
        assert result.stdout == "[INFERENCE] healthy\n"
    result = run_cli("monitor", "--config", tmp_path / "site.toml", "--device", "pumps")
    assert result.returncode == 2
    assert "There is no device 'pumps' in the config; did you mean 'pump" in result.stderr


def test_the_only_device_of_a_config_needs_no_name_beside_its_labels(mosquitto: Mosquitto, tmp_path: Path) -> None:
    site = f'device = "pump1"\n[mqtt]\nhost = "127.0.0.1"\nport = {mosquitto.port}\ntopic = "{TEMPLATE}"\n'
    (tmp_path / "site.toml").write_text(site)
    with Labelling(mosquitto, BOTH, topic=TEMPLATE):
        result = run_cli("monitor", "--config", tmp_path / "site.toml", "--plain", "--count", 2)
    assert result.stdout == "[INFERENCE] healthy\n" * 2


@pytest.mark.parametrize(("topic", "name"), [("t", ""), (TEMPLATE, "pump1: ")])
def test_it_says_what_the_service_has_dropped(mosquitto: Mosquitto, topic: str, name: str) -> None:
    with (
        Labelling(mosquitto, {"pump1": ["healthy"]}, topic=topic) as service,
        Monitoring(*near(mosquitto, topic)) as monitor,
    ):
        wait_until(lambda: monitor.lines)
        service.drop("pump1", DROPPED)
        wait_until(lambda: monitor.said == [f"{name}12 events were dropped: store_full"])


def test_an_event_that_comes_late_is_no_label_of_now(mosquitto: Mosquitto) -> None:
    with (
        Labelling(mosquitto, {"pump1": ["healthy"]}, topic=TEMPLATE) as service,
        Monitoring(*near(mosquitto), "--json") as monitor,
    ):
        wait_until(lambda: monitor.lines)
        service.event("pump1", reading("failsoon", 1_000_000, device="pump1", replayed=True))
        seen = len(monitor.lines)
        wait_until(lambda: len(monitor.lines) > seen + 2)
    assert {json.loads(line)["label"] for line in monitor.lines} == {"healthy"}


def test_the_live_view_of_several_devices(mosquitto: Mosquitto) -> None:
    with (
        Labelling(mosquitto, BOTH, topic=TEMPLATE),
        Terminal("monitor", *near(mosquitto), "--timeout", 2) as terminal,
    ):
        assert terminal.process.wait(10) == 0
        wait_until(lambda: re.search(_BOTH, terminal.left_behind, re.DOTALL), what="the last view")


_BOTH = (
    r"service online   2 of 2 devices live.*"
    r"pump1 +live +healthy +75\.0% +good .*pump2 +live +failsoon +75\.0% +good "
)


VIEW = View(
    label="healthy",
    tone=Tone.NORMAL,
    stale=None,
    age_s=0.25,
    rate=1.0,
    readings=7,
    service="online",
    devices=(("amp1", "online"),),
    changes=((0.0, "failsoon"), (60.0, "healthy")),
    confidence=0.75,
    quality=Quality.UNCERTAIN,
    reasons=("volts: outside_training",),
    values=(TagRow("volts", 1.5, "V", Quality.UNCERTAIN, (1.0, 1.25, 1.5)),),
    device="amp1",
    model="tiny 1",
)


def text_of(view: View, *, width: int = 80, height: int = 24, problem: str | None = None) -> str:
    console = Console(width=width, height=height, record=True, file=open(os.devnull, "w"))  # noqa: PTH123, SIM115
    console.print(drawn(view, "here:1883  t", problem=problem, size=(width, height)))
    console.file.close()
    return console.export_text()


def changed(**fields: Any) -> View:
    return View(**{**{name: getattr(VIEW, name) for name in View.__slots__}, **fields})


def test_the_view_tells_all_there_is() -> None:
    text = text_of(VIEW)
    for part in (
        "here:1883  t  device amp1  model tiny 1",
        "75.0%   uncertain: volts outside training",
        "service online   amp1 online   0.2 s ago   1/s   7 readings",
        "volts 1.5000 V uncertain ▁▄█",
    ):
        assert part in text or part in re.sub(" +", " ", text)
    assert re.search(r"\d\d:\d1:00  healthy\n\d\d:\d0:00  failsoon", text)


@pytest.mark.parametrize("width", [40, 60, 80, 140])
@pytest.mark.parametrize("tags", [1, 26, 200])
def test_it_fits_any_terminal_and_shows_trouble_first(width: int, tags: int) -> None:
    because = ", ".join(["flow 1.5 l/min (idle 2.0 to 4.0)"] * 3)
    rows = [TagRow(f"tag_{i}", float(i), "V", Quality.GOOD, (1.0,) * 60) for i in range(tags - 1)]
    rows.append(TagRow("broken", None, "V", Quality.BAD, (None,) * 60))
    text = text_of(changed(values=tuple(rows), because=because), width=width, height=24)
    lines = text.splitlines()
    assert because.replace(" ", "") in re.sub(r"\s", "", text)
    assert len(lines) <= 24
    assert max(map(len, lines)) <= width
    assert any("broken" in line for line in lines)
    left_out = tags - sum(bool(re.match(r"tag_|broken", word)) for line in lines for word in line.split())
    assert (f"and {left_out} more tags" in lines) == (left_out > 0)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"stale": "service offline", "age_s": 12.0}, "healthy   STALE: service offline, 12.0 s old"),
        ({"stale": "nothing new", "age_s": 600.0}, "healthy   STALE: nothing new, 10 min old"),
        ({"stale": "nothing new", "age_s": 86400.0}, "healthy   STALE: nothing new, 24 h old"),
        ({"label": None, "quality": None, "values": ()}, "waiting for the first label"),
        ({"quality": None, "values": ()}, "bare labels only, no events"),
        ({"service": None}, "service silent"),
        ({"confidence": None, "quality": Quality.BAD, "reasons": ("no_communication",)}, "bad: no communication"),
        ({"confidence": 1e9}, "━" * 30 + " 100000000000.0%"),
        ({"label": "[red]x[/red]"}, "[red]x[/red]"),
    ],
)
def test_what_the_view_says(fields: dict[str, Any], said: str) -> None:
    assert said in text_of(changed(**fields))


def test_a_lost_broker_is_said_at_the_top() -> None:
    assert "here:1883  t  It is away. Trying again." in text_of(VIEW, problem="It is away.").splitlines()[0]


def test_the_view_tells_what_came_late_and_what_was_dropped() -> None:
    text = text_of(changed(late=7, dropped=12, dropped_why="store_full"))
    assert "7 readings   7 late" in text
    assert "\n12 events were dropped: store_full\n" in text


PUMPS = (
    changed(device="pump1", reasons=(), quality=Quality.GOOD),
    changed(device="pump2", stale="device offline", age_s=600.0, late=3, changes=((120.0, "unknown"),)),
    changed(device="pump3", label="failsoon", tone=Tone.FAULT, dropped=1, dropped_why="store_full"),
    View(None, Tone.UNTOLD, None, None, 0.0, 0, "online", (("pump4", "offline"),), (), device="pump4"),
)


def overview_of(views: Sequence[View], *, width: int = 80, height: int = 24, problem: str | None = None) -> str:
    console = Console(width=width, height=height, record=True, file=open(os.devnull, "w"))  # noqa: PTH123, SIM115
    console.print(overview(views, "here:1883  t", problem=problem, size=(width, height)))
    console.file.close()
    return console.export_text()


def test_the_overview_tells_each_device_from_the_others() -> None:
    lines = [" ".join(line.split()) for line in overview_of(PUMPS, width=100).splitlines()]
    assert lines[:8] == [
        "here:1883 t",
        "service online 2 of 4 devices live 3/s 3 late",
        "device label sure quality age why",
        "pump1 live healthy 75.0% good 0.2 s",
        "pump2 STALE healthy 75.0% uncertain 10 min device offline",
        "pump3 live failsoon 75.0% uncertain 0.2 s volts outside training",
        "pump4 waiting device offline",
        "",
    ]
    assert lines[8] == "pump3: 1 event was dropped: store_full"
    assert re.fullmatch(r"\d\d:\d2:00 pump2 unknown", lines[9])
    assert len(lines) == 8 + 1 + 5
    assert "It is away. Trying again." in overview_of(PUMPS, problem="It is away.").splitlines()[0]


@pytest.mark.parametrize("width", [40, 60, 80, 140])
@pytest.mark.parametrize("devices", [2, 14, 15, 60])
def test_the_overview_fits_any_terminal_and_shows_trouble_first(width: int, devices: int) -> None:
    views = [changed(device=f"pump_{i}", changes=((float(i), "healthy"),)) for i in range(devices - 1)]
    views.append(changed(device="zulu", stale="device offline"))
    lines = overview_of(views, width=width, height=24).splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= width
    assert any(line.startswith("zulu") and "STALE" in line for line in lines)
    shown = sum(line.startswith(("pump_", "zulu")) for line in lines)
    assert (f"and {devices - shown} more devices" in lines) == (shown < devices)


@pytest.mark.parametrize(
    ("history", "line"),
    [
        ((), ""),
        ((None, None), "  "),
        ((5.0, None, 5.0), "▄ ▄"),
        ((0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0), "▁▂▃▄▅▆▇█"),
        ((-1.0, None, 1.0), "▁ █"),
        ((-1.7e308, 0.0, 1.7e308), "▁▄█"),
    ],
)
def test_sparklines(history: tuple[float | None, ...], line: str) -> None:
    assert sparkline(history) == line


@pytest.fixture
def json_lines() -> Iterator[tuple[JsonLines, list[str], FakeClock]]:
    said: list[str] = []
    yield JsonLines(Board("t", "s"), said.append), said, FakeClock()


def test_json_breaks_no_line_and_steers_no_terminal(
    json_lines: tuple[JsonLines, list[str], FakeClock], capsys: pytest.CaptureFixture[str]
) -> None:
    lines, _, _ = json_lines
    event = json.loads(reading("healthy", 1)) | {"device": "\x9b\u2028\x7f°"}
    payload = json.dumps(event, ensure_ascii=False, indent=1).encode()
    lines.take(Kind.EVENT, Message("t/event", payload, False, 0.0))
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert "\\u009b\\u2028\\u007f°" in out
    assert json.loads(out) == event


def test_json_reports_what_is_no_event_once(json_lines: tuple[JsonLines, list[str], FakeClock]) -> None:
    lines, said, _ = json_lines
    for _ in range(3):
        lines.take(Kind.INVALID, Message("t/event", b"x", False, 0.0))
    assert said == ["What comes on t/event is not all events of ampedge; the rest is left out."]
    assert lines.counted == 0


def test_json_holds_a_label_back_for_its_event(
    json_lines: tuple[JsonLines, list[str], FakeClock], capsys: pytest.CaptureFixture[str]
) -> None:
    lines, _, clock = json_lines
    lines.take(Kind.LABEL, Message("t", b"healthy", False, clock.monotonic()))
    lines.turn(clock.monotonic())
    lines.take(Kind.EVENT, Message("t/event", reading("healthy", 1), False, clock.monotonic()))
    clock.advance(5)
    lines.turn(clock.monotonic())
    assert lines.counted == 1
    lines.take(Kind.LABEL, Message("t", b"failsoon", False, clock.monotonic()))
    clock.advance(0.9)
    lines.turn(clock.monotonic())
    assert lines.counted == 1
    clock.advance(0.2)
    lines.turn(clock.monotonic())
    assert capsys.readouterr().out.splitlines()[1:] == ['{"label": "failsoon"}']


def test_what_speaks_for_a_label_reaches_the_view() -> None:
    said = "flow 1.5 l/min (idle 2.0 to 4.0)"
    assert f"\n{said}\n" in text_of(changed(because=said))
    (line,) = (line for line in overview_of((changed(because=said), PUMPS[0]), width=120).splitlines() if said in line)
    assert line.rstrip().endswith(f"volts outside training, {said}")
    board = Board("t", "s")
    causes = (Cause("flow\x1b", 1.5, "l/min", 2.0, 4.0, 1.0),)
    record = Record(Frame("amp1", 0.0), class_name="worn", confidence=0.75, label="worn", because=causes)
    payload = event_payload(record, Origin("amp1", "b1", "tiny", "1", ("worn",), "idle", 1.0), 0)
    board.take(Message("t/event", payload, False, 0.0), time_s=0.0)
    assert board.view(0.0).because == said.replace("flow", "flow\N{REPLACEMENT CHARACTER}")


def test_the_reasons_of_a_reading_reach_the_view() -> None:
    board = Board("t", "s")
    value = TagValue("volts", None, "V", Quality.BAD, Reason.SENTINEL)
    record = Record(Frame("amp1", 0.0), (value,), Quality.BAD, ("volts: sentinel",))
    board.take(
        Message(
            "t/event",
            event_payload(record, Origin("amp1", "b1", "tiny", "1", ("healthy",), "healthy", 1.0), 0),
            False,
            0.0,
        ),
        time_s=0.0,
    )
    assert "bad: volts sentinel" in text_of(board.view(0.0))
