"""`ampedge monitor`: its three outputs, its ends, and what it says when the broker comes and goes."""

import json
import os
import pty
import re
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from itertools import count as counting
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from rich.console import Console
from typer.testing import CliRunner

from ampedge.cli.app import app
from ampedge.cli.monitor_lines import JsonLines
from ampedge.cli.monitor_screen import drawn, sparkline
from ampedge.clock import FakeClock
from ampedge.errors import UsageError
from ampedge.monitor.board import Board, Kind, TagRow, Tone, View
from ampedge.mqtt.publisher import Publisher
from ampedge.mqtt.subscriber import Message
from ampedge.records import Frame, Quality, Reason, Record, TagValue
from ampedge.settings import MqttSection
from ampedge.wire import Origin, event_payload
from tests.support.cli import command, environment, run_cli
from tests.support.event_schema import valid_event
from tests.support.mosquitto import Mosquitto, free_port
from tests.support.receipts import FakeLog
from tests.support.waiting import wait_until

ORIGIN = Origin("amp1", "0123456789abcdef", "tiny", "1", ("failsoon", "healthy"), "healthy", 0.05)


def reading(label: str, sequence: int) -> bytes:
    value = TagValue("volts", 1.5 * sequence, "V")
    frame = Frame("amp1", 1_764_000_000.0 + sequence)
    return event_payload(
        Record(frame, (value,), probabilities=(0.25, 0.75), class_name=label, confidence=0.75, label=label),
        ORIGIN,
        sequence,
    )


class Service:
    """Publishes these labels round and round, twenty a second, with or without events."""

    def __init__(self, broker: Mosquitto, labels: Sequence[str] = ("healthy",), *, events: bool = True) -> None:
        self._broker = broker
        self._labels = labels
        self._events = events
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._publish)
        self._publisher = Publisher(
            MqttSection(host=broker.host, port=broker.port, topic="t"),
            password=None,
            client_id="ours",
            devices=["amp1"],
            receipts=FakeLog(),
        )

    def _publish(self) -> None:
        for sequence in counting():
            label = self._labels[sequence % len(self._labels)]
            if self._events:
                self._publisher.publish("amp1", label, reading(label, sequence), sequence)
            else:
                self._broker.publish("t", label)
            if self._ending.wait(0.05):
                return

    def __enter__(self) -> Self:
        if self._events:
            self._publisher.start()
            self._publisher.announce("amp1", True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()
        self._publisher.stop()


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
    with Service(mosquitto, ["healthy", "failsoon"]):
        result = run_cli("monitor", *at(mosquitto), "--plain", "--count", 4)
    assert result.returncode == 0
    assert result.stderr == ""
    assert result.stdout in (
        "[INFERENCE] healthy\n[INFERENCE] failsoon\n" * 2,
        "[INFERENCE] failsoon\n[INFERENCE] healthy\n" * 2,
    )


def test_host_and_port_name_the_broker_and_without_a_terminal_lines_are_plain(mosquitto: Mosquitto) -> None:
    with Service(mosquitto):
        result = run_cli("monitor", "--host", "127.0.0.1", "--port", mosquitto.port, "--topic", "t", "--once")
    assert (result.returncode, result.stdout) == (0, "[INFERENCE] healthy\n")


def test_json_is_one_valid_event_a_line(mosquitto: Mosquitto) -> None:
    with Service(mosquitto):
        result = run_cli("monitor", *at(mosquitto), "--json", "--count", 3)
    assert result.returncode == 0
    events = [valid_event(line) for line in result.stdout.splitlines()]
    first = events[0]["sequence"]
    assert [event["sequence"] for event in events] == [first, first + 1, first + 2]
    assert result.stdout.splitlines()[0].encode() == reading("healthy", first), "as it came"


def test_json_of_a_service_that_publishes_bare_labels_only(mosquitto: Mosquitto) -> None:
    with Service(mosquitto, events=False):
        result = run_cli("monitor", *at(mosquitto), "--json", "--count", 2)
    assert result.stdout == '{"label": "healthy"}\n' * 2


def test_the_topic_and_broker_may_come_from_a_config(mosquitto: Mosquitto, tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(f'[mqtt]\nhost = "127.0.0.1"\nport = {mosquitto.port}\ntopic = "t"\n')
    with Service(mosquitto):
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
    ],
)
def test_what_does_not_go_together_is_refused(arguments: tuple[object, ...], said: str) -> None:
    result = CliRunner().invoke(app, ["monitor", *map(str, arguments)])
    assert isinstance(result.exception, UsageError)
    assert said in result.exception.problem


def test_it_says_that_the_broker_is_lost_and_back_and_goes_on(mosquitto: Mosquitto) -> None:
    with Service(mosquitto), Monitoring(*at(mosquitto)) as monitor:
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
        with Service(mosquitto):
            wait_until(lambda: monitor.lines)
        wait_until(lambda: monitor.said == ["service offline"])
        with Service(mosquitto):
            wait_until(lambda: monitor.said == ["service offline", "service online"])


def test_interrupted_it_ends_with_130(mosquitto: Mosquitto) -> None:
    with Service(mosquitto), Monitoring(*at(mosquitto)) as monitor:
        wait_until(lambda: monitor.lines)
        monitor.process.send_signal(signal.SIGINT)
        assert monitor.process.wait(10) == 130
    assert monitor.said == []


def test_a_reader_that_has_had_enough_ends_it_quietly(mosquitto: Mosquitto) -> None:
    with Service(mosquitto):
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
    with Service(mosquitto, ["\x1b[31m[bold]x\x07"], events=False):
        result = run_cli("monitor", *at(mosquitto), "--once")
    assert result.stdout == "[INFERENCE] \N{REPLACEMENT CHARACTER}[31m[bold]x\N{REPLACEMENT CHARACTER}\n"


@pytest.mark.parametrize(("ending", "code"), [(None, 0), (signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_live_view_on_a_terminal(mosquitto: Mosquitto, ending: signal.Signals | None, code: int) -> None:
    end = ("--timeout", 2) if ending is None else ()
    with Service(mosquitto), Terminal("monitor", *at(mosquitto), *end) as terminal:
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
    rows = [TagRow(f"tag_{i}", float(i), "V", Quality.GOOD, (1.0,) * 60) for i in range(tags - 1)]
    rows.append(TagRow("broken", None, "V", Quality.BAD, (None,) * 60))
    lines = text_of(changed(values=tuple(rows)), width=width, height=24).splitlines()
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


def test_the_reasons_of_a_reading_reach_the_view() -> None:
    board = Board("t", "s")
    value = TagValue("volts", None, "V", Quality.BAD, Reason.SENTINEL)
    record = Record(Frame("amp1", 0.0), (value,), Quality.BAD, ("volts: sentinel",))
    board.take(Message("t/event", event_payload(record, ORIGIN, 0), False, 0.0), time_s=0.0)
    assert "bad: volts sentinel" in text_of(board.view(0.0))
