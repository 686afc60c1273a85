"""`history`: what a log of `serve` tells about a plant, for people, programs and spreadsheets."""

import csv
import io
import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from ampedge.cli.app import app
from ampedge.cli.past import table
from ampedge.clock import FakeClock
from ampedge.errors import UsageError
from ampedge.history import Chosen, Past, in_words, since
from ampedge.records import Cause, Frame, Quality, Reason, Record, TagValue
from ampedge.store.event_log import EventLog
from ampedge.wire import Origin, event_payload
from tests.support.cli import run_cli
from tests.support.mosquitto import Mosquitto
from tests.support.serving import GOLDEN, Serve
from tests.support.waiting import wait_until

BEGIN_S = 1_800_000_000.0
GOOD, BAD = Quality.GOOD, Quality.BAD


class Plant:
    """Writes events into a log, one a second from BEGIN_S on."""

    def __init__(self, place: Path, *, boot: str = "b1", begin_s: float = BEGIN_S) -> None:
        self.clock = FakeClock(time_s=begin_s)
        self._boot = boot
        self._sequence = 0
        self._log = EventLog(place, boot=boot, clock=self.clock)

    def __enter__(self) -> "Plant":
        self._log.open()
        return self

    def __exit__(self, *_: object) -> None:
        self._log.commit(reachable=False)
        self._log.close()

    def say(
        self,
        label: str,
        count: int = 1,
        *reasons: str,
        device: str = "pump",
        quality: Quality = GOOD,
        value: float = 1.5,
        because: tuple[Cause, ...] = (),
    ) -> None:
        """So many events alike."""
        for _ in range(count):
            now_s = self.clock.time()
            name = None if label == "unknown" else label
            values = (TagValue("flow", value, "l/min"), TagValue("-temp", -2.5, "C"))
            record = Record(
                Frame(device, now_s), values, quality, reasons, class_name=name, confidence=0.75, label=label
            )
            record = replace(record, because=because)
            origin = Origin(device, self._boot, "m", "1", (label,), "idle", 1.0)
            self._log.append(device, self._sequence, now_s, event_payload(record, origin, self._sequence))
            self._sequence += 1
            self.clock.advance(1.0)


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The commands run an hour after the plant began, in UTC."""
    monkeypatch.setattr("ampedge.cli.past.time.time", lambda: BEGIN_S + 3600)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory with the story of a pump."""
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "ampedge-state"
    place.mkdir()
    with Plant(place) as plant:
        plant.say("idle", 90)
        plant.say("busy", 10, value=2.5)
        plant.say("unknown", 2, Reason.NO_COMMUNICATION, quality=BAD)
        plant.say("busy", 3)
    return place


def shown(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[str]:
    app(["history", *map(str, arguments)], standalone_mode=False)
    said = capsys.readouterr()
    assert said.err == ""
    return said.out.splitlines()


def test_the_changes_with_their_times_newest_last(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys)
    assert lines[0].split() == ["since", "(UTC)", "for", "label", "quality", "reasons"]
    assert [" ".join(line.split()) for line in lines[1:]] == [
        "2027-01-15 08:00:00 1 min 30 s idle good",
        "2027-01-15 08:01:30 10 s busy good",
        "2027-01-15 08:01:40 2 s unknown bad no_communication",
        "2027-01-15 08:01:42 2 s busy good",
    ]


def test_times_are_local(state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TZ", "XYZ-3")
    time.tzset()
    lines = shown(capsys, "--limit", 1)
    assert "(XYZ)" in lines[0]
    assert lines[1].startswith("2027-01-15 11:01:42")
    assert len(shown(capsys, "--since", "2027-01-15T11:01:40")) == 3
    assert len(shown(capsys, "--since", "2027-01-15T08:01:40Z")) == 3


def test_a_start_of_the_service_ends_what_was(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Plant(state, boot="b2", begin_s=BEGIN_S + 1000) as plant:
        plant.say("busy", 5)
    lines = [" ".join(line.split()) for line in shown(capsys, "--limit", 2)[1:]]
    assert lines == [
        "2027-01-15 08:01:42 2 s busy good",
        "2027-01-15 08:16:40 4 s busy good serve had started",
    ]


def test_several_devices_are_told_apart(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Plant(state, boot="b2", begin_s=BEGIN_S + 1000) as plant:
        for _ in range(3):
            plant.say("on", device="fan")
            plant.say("busy", device="pump")
    lines = shown(capsys, "--limit", 2)
    assert lines[0].split() == ["since", "(UTC)", "for", "device", "label", "quality", "reasons"]
    assert [line.split()[4:6] for line in lines[1:]] == [["fan", "on"], ["pump", "busy"]]
    (line,) = shown(capsys, "--device", "fan")[1:]
    assert line.split()[2:5] == ["4", "s", "on"]


def test_every_event(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, "--all")
    assert len(lines) == 105
    assert lines[-4] == "2027-01-15 08:01:41.000  pump  unknown   75.0%  bad  no_communication"
    assert shown(capsys, "--all", "--limit", 4) == lines[-4:]


def test_what_spoke_for_a_label_is_told(state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Plant(state, boot="b2", begin_s=BEGIN_S + 1000) as plant:
        plant.say("worn", because=(Cause("flow", 1.5, "l/min", 2.0, 4.0, 1.0),))
        plant.say("worn", because=(Cause("flow", 1.4, "l/min", 2.0, 4.0, 1.0),))
    words = "flow 1.5 l/min (idle 2.0 to 4.0)"
    (line,) = shown(capsys, "--limit", 1)[1:]
    assert " ".join(line.split()).endswith(f"1 s worn good {words}, serve had started")  # as it began
    lines = shown(capsys, "--all", "--limit", 2)
    assert lines[0].endswith(f"worn   75.0%  good  {words}")
    assert lines[1].endswith("flow 1.4 l/min (idle 2.0 to 4.0)")
    for flags in ([], ["--all"]):
        app(["history", *flags, "--csv", "out.csv"], standalone_mode=False)
        rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
        assert next(row["because"] for row in rows if row["label"] == "worn") == words
        assert rows[0]["because"] == ""


def test_json_is_what_was_published(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = [json.loads(line) for line in shown(capsys, "--json", "--since", "3505s")]
    assert [event["sequence"] for event in events] == list(range(95, 105))
    assert events[-3]["values"]["flow"] == {"value": 1.5, "unit": "l/min", "quality": "good", "reason": None}


def test_a_table_of_the_changes(state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app(["history", "--csv", "out.csv"], standalone_mode=False)
    assert capsys.readouterr().err == "4 changes written to out.csv.\n"
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert list(rows[0].values()) == [
        *("2027-01-15T08:00:00.000Z", "2027-01-15T08:01:30.000Z", "90.0", "pump", "idle", "good", "", "", "90")
    ]
    assert rows[2]["reasons"] == "no_communication"


def test_a_table_of_every_event_is_safe_for_spreadsheets(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Plant(state, boot="b2", begin_s=BEGIN_S + 1000) as plant:
        plant.say("=1+1", device="@pump", value=-3.5)
    app(["history", "--all", "--limit", "1", "--csv", "out.csv"], standalone_mode=False)
    assert capsys.readouterr().err == "1 events written to out.csv.\n"
    (row,) = csv.DictReader((tmp_path / "out.csv").read_text().splitlines())
    assert row == {
        "time": "2027-01-15T08:16:40.000Z",
        "device": "'@pump",
        "boot": "b2",
        "sequence": "0",
        "label": "'=1+1",
        "class": "'=1+1",
        "confidence": "0.75",
        "quality": "good",
        "reasons": "",
        "because": "",
        "flow": "-3.5",
        "'-temp": "-2.5",
    }


def test_a_table_that_cannot_be_written_names_the_place(state: Path) -> None:
    pipe = state / "pipe"
    os.mkfifo(pipe)
    for place in (state / "events.db" / "x.csv", state, pipe):
        with pytest.raises(UsageError, match="cannot be written"):
            app(["history", "--csv", str(place)], standalone_mode=False)
    assert pipe.is_fifo()


def test_no_log_and_no_events_yet(state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = run_cli("history", "--state-dir", tmp_path / "nowhere", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"There is no event log at {tmp_path / 'nowhere'}" in done.stderr
    app(["history", "--since", "5s"], standalone_mode=False)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        f"No events since 5s in the log of {state.name}; no service runs there. Look further back with --since 30d.\n"
    )


def test_the_state_directory_of_the_config_is_read(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = state.rename(tmp_path / "elsewhere")
    (tmp_path / "site.toml").write_text('state_dir = "elsewhere"\n')
    assert len(shown(capsys, "--config", "site.toml")) == 5
    assert len(shown(capsys, "--state-dir", moved)) == 5


@pytest.mark.parametrize("width", [20, 25, 40, 59, 60, 80])
def test_however_narrow_the_terminal_every_label_is_there(state: Path, width: int) -> None:
    found = Past(state).stretches(Chosen())
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(table(found, width))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= width
    words = " ".join(lines).split()
    assert [word for word in words if word in ("idle", "busy", "unknown")] == ["idle", "busy", "unknown", "busy"]
    assert "2027-01-15" in words


def test_a_label_that_would_steer_a_terminal_does_not(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Plant(state, boot="b2", begin_s=BEGIN_S + 1000) as plant:
        plant.say("\x1b[31mred", device="\x1b]0;x")
    assert "\x1b" not in "".join(shown(capsys) + shown(capsys, "--all"))


def test_two_forms_at_once_are_refused(state: Path) -> None:
    with pytest.raises(UsageError, match="--json and --csv"):
        app(["history", "--json", "--csv", "x.csv"], standalone_mode=False)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("2m", 120), ("2 min", 120), ("1.5h", 5400), ("3d", 259200), ("1w", 604800)],
)
def test_lengths_of_time(text: str, seconds: float) -> None:
    assert since(text, 1_000_000.0) == 1_000_000.0 - seconds


def test_points_in_time() -> None:
    assert since("2026-11-23T08:30:00+01:00", 0.0) == datetime(2026, 11, 23, 7, 30, tzinfo=UTC).timestamp()
    for wrong in ("", "yesterday", "2x", "-2h", "2026-13-01", "h"):
        with pytest.raises(UsageError, match="--since"):
            since(wrong, 0.0)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (3725, "1 h 2 min"),
        (3600, "1 h"),
        (90061, "1 d 1 h"),
        (86400 * 30, "30 d"),
    ],
)
def test_lengths_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_it_reads_beside_the_running_service(tmp_path: Path, mosquitto: Mosquitto) -> None:
    (tmp_path / "ampedge.toml").write_text("[store]\ncommit_s = 0.2\n")
    with Serve(tmp_path, "--interval", 0.1, broker=mosquitto.port) as serve:
        serve.write(*GOLDEN)

        def healthy() -> bool:
            done = run_cli("history", cwd=tmp_path)
            return done.returncode == 0 and "healthy" in done.stdout

        wait_until(healthy, timeout_s=20, what="the label in the log")
        assert serve.stop() == 0
