"""`simulate`: which rows are played, how they are written, and which event counts as a row's answer."""

import dataclasses
import json
import signal
from collections import deque
from itertools import islice

import pytest
import typer

from ampedge.cli import plays
from ampedge.cli.app import app
from ampedge.clock import FakeClock
from ampedge.config import load_config
from ampedge.datamap import DataMap, Tag
from ampedge.errors import DataError, GateError, UnreachableError, UsageError
from ampedge.modbus.codec import encode_row
from ampedge.mqtt.subscriber import Message
from ampedge.pipeline import Reader
from ampedge.records import Frame
from ampedge.sample_rows import SampleRow
from ampedge.service.service import Service
from ampedge.simulator.acceptance import Matcher, Verdict, gate, scored
from ampedge.simulator.play import Play, as_plays, choose, parse_overrides, play, writable
from ampedge.wire import Origin, event_payload
from tests.support.bundles import AMPLIFIER_FEATURES, table_text, tiny_bundle, tiny_row
from tests.support.cli import run_cli, start_cli
from tests.support.mosquitto import free_port
from tests.support.recording_slave import RecordingSlave
from tests.support.waiting import wait_until

MAP = DataMap((Tag("volts", 0), Tag("amps", 2)))
ROWS = [SampleRow(i, i + 1, (float(i), i / 2), label) for i, label in enumerate(("fine", "worn", None), start=1)]

CONFIG = """\
[modbus]
host = "127.0.0.1"

[[tags]]
name = "volts"
address = 0
unit = "V"

[[tags]]
name = "amps"
address = 2
"""
SAMPLES = "volts,amps,status\n1,0.5,fine\n2,1,worn\n3,1.5,fine\n"


def played(number: int = 1, *, values: tuple[float, ...] = (1.0, 0.5), label: str | None = "fine") -> Play:
    return Play(number, number + 1, values, encode_row(MAP.tags, values), label, overridden=False)


class TestWhichRows:
    def numbers(self, **how):
        return [row.number for row in islice(choose(ROWS, **how), 50)]

    def test_each_once(self):
        assert self.numbers() == [1, 2, 3]

    def test_count_goes_on_from_the_top(self):
        assert self.numbers(count=2) == [1, 2]
        assert self.numbers(count=5) == [1, 2, 3, 1, 2]
        assert self.numbers(count=4, loop=True) == [1, 2, 3, 1]

    def test_loop_does_not_end(self):
        assert self.numbers(loop=True) == ([1, 2, 3] * 17)[:50]

    def test_one_row(self):
        assert self.numbers(number=2) == [2]
        assert self.numbers(number=3, count=2) == [3, 3]
        for wrong in (0, 4, -1):
            with pytest.raises(UsageError, match="rows 1 to 3"):
                choose(ROWS, number=wrong)

    def test_shuffle(self):
        many = [SampleRow(i, i, (0.0, 0.0), None) for i in range(30)]
        first, again, other = ([row.number for row in choose(many, shuffle=True, seed=s)] for s in (1, 1, 2))
        assert first == again
        assert first != other
        assert sorted(first) == list(range(30))
        rounds = [row.number for row in choose(many, shuffle=True, seed=1, count=60)]
        assert sorted(rounds[30:]) == list(range(30))
        assert rounds[:30] != rounds[30:]


class TestOverrides:
    def test_an_override_voids_the_expected_label(self):
        (this,) = as_plays(iter(ROWS[:1]), MAP, parse_overrides(["amps=-7e-1"], MAP))
        assert this.values == (1.0, -0.7)
        assert this.words == encode_row(MAP.tags, (1.0, -0.7))
        assert (this.label, this.expected) == ("fine", None)
        (untouched,) = as_plays(iter(ROWS[:1]), MAP, {})
        assert untouched.expected == "fine"

    @pytest.mark.parametrize(
        ("setting", "problem"),
        [
            ("volt=1", "no tag 'volt'; did you mean 'volts'"),
            ("volts", "no TAG=NUMBER"),
            ("volts=", "no TAG=NUMBER"),
            ("volts=nan", "no TAG=NUMBER"),
            ("volts=1e39", "does not fit"),
        ],
    )
    def test_refused(self, setting, problem):
        with pytest.raises(UsageError, match=problem):
            parse_overrides([setting], MAP)


def test_tables_that_a_master_cannot_write_are_refused():
    writable(DataMap((Tag("a", 0), Tag("b", 0, table="coil", type="bit"))))
    with pytest.raises(UsageError, match=r"cannot write c \(input\), d \(discrete\)"):
        writable(DataMap((Tag("a", 0), Tag("c", 0, table="input"), Tag("d", 0, table="discrete", type="bit"))))


class FakeMaster:
    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.written: list[tuple[float, tuple[tuple[int, ...], ...]]] = []

    def write(self, plan, words):
        self.written.append((self.clock.monotonic(), tuple(words)))


def test_rows_come_at_the_interval_and_never_bunch_up():
    clock = FakeClock(monotonic_s=0.0)
    master = FakeMaster(clock)
    takes_s = iter([0.2, 2.5, 0.0, 0.0])
    for _ in play(iter([played(i) for i in range(4)]), master, MAP, interval_s=1.0, clock=clock):
        clock.advance(next(takes_s))
    assert [at for at, _ in master.written] == [0.0, 1.0, 3.5, 4.5]


class Scripted:
    """A listener that hands out messages, each after its time has passed."""

    def __init__(self, clock: FakeClock, *messages: tuple[float, bytes, bool]) -> None:
        self.clock = clock
        self.messages = deque(messages)

    def get(self, timeout_s: float) -> Message | None:
        if not self.messages or self.messages[0][0] > self.clock.monotonic() + timeout_s:
            self.clock.advance(timeout_s)
            return None
        at, payload, retained = self.messages.popleft()
        self.clock.monotonic_s = max(self.clock.monotonic_s, at)
        return Message("amp/inference/event", payload, retained, at)


def event(values: tuple[float, ...], label: str, *, replayed: bool = False, datamap: DataMap = MAP) -> bytes:
    origin = Origin("amp", "b0", "tiny", "1", ("fine", "worn"), "fine", 1.0)
    record = Reader(datamap).read(Frame("amp", 0.0, encode_row(datamap.tags, values)))
    return event_payload(dataclasses.replace(record, label=label), origin, 0, replayed=replayed)


class TestMatching:
    """The row under test is written at 10 s and waits until 15 s."""

    def outcome(self, *messages: tuple[float, bytes] | tuple[float, bytes, bool], row: Play | None = None):
        clock = FakeClock(monotonic_s=10.0)
        listener = Scripted(clock, *((*m, False)[:3] for m in messages))
        return Matcher(listener, MAP, clock=clock).outcome(row or played(), written_s=10.0, timeout_s=5.0)

    def test_right_wrong_unknown(self):
        for label, verdict in (("fine", Verdict.RIGHT), ("worn", Verdict.WRONG), ("unknown", Verdict.UNKNOWN)):
            found = self.outcome((10.25, event((1.0, 0.5), label)))
            assert found.verdict is verdict
            assert found.answer.delay_s == pytest.approx(0.25)

    def test_events_of_other_values_and_strangers_are_passed_over(self):
        found = self.outcome(
            (10.1, event((2.0, 0.5), "worn")),
            (10.2, b"\xff no event"),
            (10.3, event((1.0, 0.5), "fine")),
        )
        assert found.verdict is Verdict.RIGHT
        assert found.answer.delay_s == pytest.approx(0.3)

    def test_what_came_before_the_write_or_was_kept_is_no_answer(self):
        right = event((1.0, 0.5), "fine")
        assert self.outcome((9.9, right)).verdict is Verdict.MISSING
        assert self.outcome((10.1, right, True)).verdict is Verdict.MISSING
        assert self.outcome((10.1, event((1.0, 0.5), "fine", replayed=True))).verdict is Verdict.MISSING
        assert self.outcome((15.1, right)).verdict is Verdict.MISSING
        assert self.outcome((14.9, right)).verdict is Verdict.RIGHT

    def test_each_event_answers_one_row(self):
        clock = FakeClock(monotonic_s=10.0)
        listener = Scripted(clock, (10.1, event((1.0, 0.5), "fine"), False))
        matcher = Matcher(listener, MAP, clock=clock)
        first = matcher.outcome(played(1), written_s=10.0, timeout_s=1.0)
        second = matcher.outcome(played(2), written_s=10.0, timeout_s=1.0)
        assert (first.verdict, second.verdict) == (Verdict.RIGHT, Verdict.MISSING)

    def test_values_are_compared_as_the_registers_hold_them(self):
        third = (1 / 3, 427.335513967164)
        assert self.outcome((10.1, event(third, "fine")), row=played(values=third)).verdict is Verdict.RIGHT
        near = (1 / 3, 427.335513967164 * (1 + 3e-6))
        assert self.outcome((10.1, event(near, "fine")), row=played(values=third)).verdict is Verdict.MISSING

    def test_a_row_that_a_reader_finds_no_values_in(self):
        zero = (0.0, 0.0)  # registers never written: the event's values are null
        payload = event(zero, "unknown")
        assert json.loads(payload)["values"]["volts"]["value"] is None
        assert self.outcome((10.1, payload), row=played(values=zero)).verdict is Verdict.UNKNOWN
        assert self.outcome((10.1, payload)).verdict is Verdict.MISSING

    def test_an_event_of_another_map(self):
        other = DataMap((Tag("volts", 0), Tag("ohms", 2)))
        assert self.outcome((10.1, event((1.0, 0.5), "fine", datamap=other))).verdict is Verdict.MISSING

    def test_no_expected_label(self):
        found = self.outcome((10.1, event((1.0, 0.5), "fine")), row=played(label=None))
        assert found.verdict is Verdict.NOT_SCORED


class TestScore:
    def score(self, *labels: str | None, expected: str | None = "fine"):
        outcomes = []
        for label in labels:
            clock = FakeClock(monotonic_s=0.0)
            messages = [] if label is None else [(0.1, event((1.0, 0.5), label), False)]
            matcher = Matcher(Scripted(clock, *messages), MAP, clock=clock)
            outcomes.append(matcher.outcome(played(label=expected), written_s=0.0, timeout_s=1.0))
        return scored(outcomes)

    def test_share_of_right_ones_among_all_that_expect_a_label(self):
        score = self.score("fine", "fine", "fine", "worn", "unknown", None)
        assert score.score == 0.5
        assert score.counts == {
            Verdict.RIGHT: 3,
            Verdict.WRONG: 1,
            Verdict.UNKNOWN: 1,
            Verdict.MISSING: 1,
            Verdict.NOT_SCORED: 0,
        }

    def test_gate(self):
        gate(self.score(*["fine"] * 9, "worn"), min_score=0.9)
        with pytest.raises(GateError, match=r"0\.889 is below 0\.9: 8 of 9"):
            gate(self.score(*["fine"] * 8, "worn"), min_score=0.9)

    def test_gate_without_expected_labels_asks_for_events(self):
        assert self.score("fine", expected=None).score is None
        gate(self.score("fine", "worn", expected=None), min_score=1.0)
        with pytest.raises(GateError, match=r"1 of 2 rows brought no event"):
            gate(self.score("fine", None, expected=None), min_score=0.0)


@pytest.fixture(scope="module")
def recording():
    with RecordingSlave() as slave:
        yield slave


@pytest.fixture
def site(tmp_path, monkeypatch, recording):
    """A folder with a config and samples, and a slave that remembers what it is told."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plays, "_BROKER_S", 0.3)
    (tmp_path / "ampedge.toml").write_text(CONFIG)
    (tmp_path / "samples.csv").write_text(SAMPLES)
    recording.requests.clear()
    return recording


def simulate(*arguments: object) -> None:
    app(["simulate", *map(str, arguments)], standalone_mode=False)


class TestCommand:
    def test_one_write_for_each_row(self, site, capsys):
        simulate("samples.csv", "--port", site.port, "--interval", 0)
        assert site.requests == [
            (1, 16, 0, [0x3F80, 0, 0x3F00, 0]),
            (1, 16, 0, [0x4000, 0, 0x3F80, 0]),
            (1, 16, 0, [0x4040, 0, 0x3FC0, 0]),
        ]
        shown = capsys.readouterr()
        assert [line.split()[:2] for line in shown.out.splitlines()[1:]] == [
            ["1", "fine"],
            ["2", "worn"],
            ["3", "fine"],
        ]
        assert "volts 3 V  amps 1.5" in shown.out
        assert f"Writing to 127.0.0.1:{site.port}, unit 1." in " ".join(shown.err.split())

    def test_one_write_for_each_contiguous_block(self, site, tmp_path):
        further = [("far", "9", "int16"), ("on", '"co:3"', "bit")]
        tags = [f'[[tags]]\nname = "{name}"\naddress = {address}\ntype = "{kind}"\n' for name, address, kind in further]
        (tmp_path / "split.toml").write_text(CONFIG + "".join(tags))
        (tmp_path / "split.csv").write_text("volts,amps,far,on\n1,0.5,-2,1\n")
        simulate("split.csv", "--config", "split.toml", "--port", site.port, "--unit", 7)
        assert sorted(site.requests) == [
            (7, 15, 3, [True]),
            (7, 16, 0, [0x3F80, 0, 0x3F00, 0]),
            (7, 16, 9, [0xFFFE]),
        ]

    def test_choice_of_rows(self, site):
        def words(*arguments):
            site.requests.clear()
            simulate("samples.csv", "--port", site.port, "--interval", 0, *arguments)
            return [request[3][0] for request in site.requests]

        assert words("--row", 2) == [0x4000]
        assert words("--count", 4) == [0x3F80, 0x4000, 0x4040, 0x3F80]
        assert words("--shuffle", "--seed", 1) == words("--shuffle", "--seed", 1)
        assert len({tuple(words("--shuffle", "--seed", seed)) for seed in range(8)}) > 1
        assert words("--row", 1, "--set", "volts=3", "--set", "amps=0") == [0x4040]

    def test_json(self, site, capsys):
        simulate("samples.csv", "--port", site.port, "--row", 2, "--json")
        assert json.loads(capsys.readouterr().out) == {
            "slave": f"127.0.0.1:{site.port}",
            "unit": 1,
            "interrupted": False,
            "rows": [
                {
                    "row": 2,
                    "line": 3,
                    "values": {"volts": 2.0, "amps": 1.0},
                    "overridden": False,
                    "expected": "worn",
                }
            ],
        }

    def test_an_override_is_shown(self, site, capsys):
        simulate("samples.csv", "--port", site.port, "--row", 2, "--set", "volts=9")
        assert "(was worn)  volts 9 V" in capsys.readouterr().out
        simulate("samples.csv", "--port", site.port, "--row", 2, "--set", "volts=9", "--json")
        (row,) = json.loads(capsys.readouterr().out)["rows"]
        assert (row["overridden"], row["expected"]) == (True, None)

    def test_label_sep_and_decimal(self, site, tmp_path, capsys):
        (tmp_path / "odd.csv").write_text("volts|amps|state\n1,250|2,500|tired\n")
        simulate("odd.csv", "--port", site.port, "--sep", "|", "--decimal", ",", "--label", "state")
        assert site.requests == [(1, 16, 0, [0x3FA0, 0, 0x4020, 0])]
        assert "tired" in capsys.readouterr().out

    def test_the_bundles_map_where_the_config_has_no_tags(self, site, tmp_path, capsys):
        (tmp_path / "ampedge.toml").unlink()
        tiny_bundle(tmp_path)
        simulate("--host", "127.0.0.1", "--port", site.port, "--row", 1)
        assert site.requests == [(1, 16, 0, [17365, 43762, 49473, 10758, 16019, 17334, 16229, 912, 16624, 4603])]
        assert "Data map of model (found here)." in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("arguments", "error", "problem"),
        [
            (["samples.csv", "--row", "4"], UsageError, "rows 1 to 3"),
            (["samples.csv", "--min-score", "0.5"], UsageError, "--min-score says nothing without --check"),
            (["samples.csv", "--timeout", "5"], UsageError, "--timeout says nothing without --check"),
            (["samples.csv", "--seed", "5"], UsageError, "--seed says nothing without --shuffle"),
            (["samples.csv", "--loop", "--count", "5"], UsageError, "--loop and --count contradict each other"),
            (["samples.csv", "--row", "2", "--shuffle"], UsageError, "--row and --shuffle contradict each other"),
            (["sample.csv"], DataError, "sample.csv cannot be read"),
            (["samples.csv", "--label", "state"], DataError, "no column 'state'"),
            ([], UsageError, "samples that ampedge ships are the amplifier's"),
            (["samples.csv", "--model", "none.ampedge"], UsageError, "no model at none.ampedge"),
            (["samples.csv", "--port", "1"], UnreachableError, "Nothing accepts connections at 127.0.0.1:1"),
            (["samples.csv", "--check", "--broker", "127.0.0.1:1"], UnreachableError, "broker at 127.0.0.1:1"),
        ],
    )
    def test_refusals(self, site, arguments, error, problem):
        with pytest.raises(error, match=problem) as refused:
            simulate("--port", site.port, *arguments)
        assert refused.value.remedy
        assert site.requests == []

    @pytest.mark.parametrize("arguments", [["--interval", "inf"], ["--interval", "1e300"], ["--timeout", "inf"]])
    def test_times_beyond_any_clock_are_refused(self, site, arguments):
        with pytest.raises(typer.BadParameter, match="less than or equal to 86400"):
            simulate("--port", site.port, "samples.csv", "--check", *arguments)
        assert site.requests == []

    def test_exit_code_of_a_slave_that_is_not_there(self, site, tmp_path):
        done = run_cli("simulate", "samples.csv", "--port", 1, cwd=tmp_path)
        assert done.returncode == 4
        assert done.stdout == ""
        assert "ampedge serve" in done.stderr
        assert "Traceback" not in done.stderr

    def test_one_of_several_devices(self, site, tmp_path, capsys):
        config = '[mqtt]\ntopic = "{device}"\n' + CONFIG.partition("\n\n")[2]
        with RecordingSlave() as other:
            for name, slave in (("pump", site), ("fan", other)):
                config += f'[[devices]]\nname = "{name}"\nhost = "127.0.0.1"\nport = {slave.port}\n'
            (tmp_path / "ampedge.toml").write_text(config)
            simulate("samples.csv", "--device", "fan", "--row", 1)
            assert len(other.requests) > 0
        assert site.requests == []
        with pytest.raises(UsageError, match="several devices: pump, fan"):
            simulate("samples.csv")
        with pytest.raises(UsageError, match="did you mean 'pump'"):
            simulate("samples.csv", "--device", "pumb")

    def test_interrupted_it_says_what_it_did(self, site, tmp_path):
        how = ["--port", site.port, "--loop", "--interval", 0.01, "--json"]
        with start_cli("simulate", "samples.csv", *how, cwd=tmp_path) as process:
            wait_until(lambda: len(site.requests) > 4, what="rows")
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=10)
        assert process.returncode == 130
        document = json.loads(out)
        assert document["interrupted"]
        assert [row["row"] for row in document["rows"][:4]] == [1, 2, 3, 1]
        assert "Traceback" not in err


@pytest.fixture
def served(tmp_path, monkeypatch, mosquitto):
    """A running service of the tiny amplifier bundle, with the slave hosted; a folder whose config leads to it."""
    monkeypatch.chdir(tmp_path)
    bundle = tiny_bundle(tmp_path)
    (tmp_path / "ampedge.toml").write_text(
        f'[modbus]\nhost = "127.0.0.1"\nport = {free_port()}\nslave = "embedded"\ninterval_s = 60.0\n'
        f'[mqtt]\nhost = "127.0.0.1"\nport = {mosquitto.port}\n'
    )
    rows = [(tiny_row(bundle, name), name) for name in bundle.classes]
    (tmp_path / "samples.csv").write_text(table_text(list(AMPLIFIER_FEATURES), rows))
    with Service(load_config(), bundle) as service:
        wait_until(lambda: service.publisher.connected, what="the service to connect")
        yield service


class TestCheck:
    """Against the running service: Mosquitto, the hosted slave, the real pipeline."""

    def test_every_row_gets_its_event(self, served, capsys):
        simulate("samples.csv", "--check", "--interval", 0.02, "--count", 8, "--min-score", 1, "--json")
        document = json.loads(capsys.readouterr().out)
        assert [row["received"] for row in document["rows"]] == ["failsoon", "healthy", "overdriven", "unstable"] * 2
        assert {row["verdict"] for row in document["rows"]} == {"right"}
        assert all(row["class"] == row["received"] for row in document["rows"])
        assert all(0 < row["delay_ms"] < 5000 for row in document["rows"])
        counts = {"right": 8, "wrong": 0, "unknown": 0, "missing": 0, "not_scored": 0}
        assert document["check"] == {**counts, "score": 1.0, "min_score": 1.0}

    def test_identical_rows_need_an_event_each(self, served, capsys):
        before = served.devices[0].events
        simulate("samples.csv", "--check", "--interval", 0, "--row", 2, "--count", 4)
        shown = capsys.readouterr().out
        assert shown.count(" right ") == 4
        assert "Score 1.000 (4 right, 0 wrong, 0 unknown, 0 missing, 0 not scored)." in shown
        assert served.devices[0].events >= before + 4

    def test_wrong_labels_close_the_gate(self, served, tmp_path, capsys):
        path = tmp_path / "samples.csv"
        path.write_text(path.read_text().replace("overdriven", "healthy"))
        with pytest.raises(GateError, match=r"0\.750 is below 0\.9: 3 of 4"):
            simulate("samples.csv", "--check", "--interval", 0)
        assert "3  healthy   overdriven" in capsys.readouterr().out
        simulate("samples.csv", "--check", "--interval", 0, "--min-score", 0.75)

    def test_an_impossible_value_is_unknown_and_not_scored(self, served, capsys):
        simulate("samples.csv", "--check", "--row", 2, "--set", "plate_voltage=1e6", "--json")
        document = json.loads(capsys.readouterr().out)
        (row,) = document["rows"]
        assert (row["received"], row["expected"], row["verdict"]) == ("unknown", None, "not scored")
        assert document["check"]["score"] is None
        simulate("samples.csv", "--check", "--row", 2, "--set", "plate_voltage=1e6")
        assert "No score: no row has an expected label (0 right," in capsys.readouterr().out

    def test_a_service_that_listens_elsewhere_is_missed(self, served, tmp_path):
        how = ["--check", "--row", 2, "--timeout", 0.3, "--topic", "else/where"]
        done = run_cli("simulate", "samples.csv", *how, cwd=tmp_path)
        assert done.returncode == 6
        assert "1 missing" in done.stdout
        assert "0 of 1 rows" in done.stderr
        assert "Check that `ampedge serve` runs" in done.stderr
