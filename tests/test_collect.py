"""`collect`: labelled rows from a live slave, added to a table that is never left broken."""

import json
import math
import os
import signal
from collections.abc import Iterator
from dataclasses import replace

import pytest

from ampedge.cli.app import app
from ampedge.clock import FakeClock
from ampedge.collect import GrowingTable, Tally, checked_label, collect, summary
from ampedge.datamap import DataMap, Tag
from ampedge.errors import DataError, UnreachableError, UsageError
from ampedge.modbus.client import Master
from ampedge.modbus.codec import encode_row
from ampedge.modbus.plan import plan_reads, plan_writes
from ampedge.modbus.slave import EmbeddedSlave
from ampedge.records import Frame, Reason
from ampedge.table import read_table
from tests.support.bundles import tiny_bundle
from tests.support.cli import start_cli
from tests.support.waiting import wait_until

MAP = DataMap((Tag("volts", 0, valid=(0, 500)), Tag("amps", 2)))
HEADER = "volts,amps,status\n"
CONFIG = """\
[modbus]
host = "127.0.0.1"
[[tags]]
name = "volts"
address = 0
valid = [0, 500]
[[tags]]
name = "amps"
address = 2
"""


class ScriptedSource:
    """Brings one frame a poll: values, a failure, or a frame as it is."""

    def __init__(self, clock: FakeClock, *polls: tuple[float, float] | Reason | Frame, datamap: DataMap = MAP) -> None:
        self.plan = plan_reads(datamap)
        self.at_s: list[float] = []
        self._clock = clock
        self._polls = iter(polls)

    def poll(self) -> Frame:
        self.at_s.append(self._clock.monotonic())
        poll = next(self._polls)
        if isinstance(poll, Frame):
            return poll
        if isinstance(poll, Reason):
            return Frame("amp", 0.0, failure=poll, detail="The slave does not answer.")
        return Frame("amp", 0.0, encode_row(MAP.tags, poll))


def gathered(
    table: GrowingTable, *polls: tuple[float, float] | Reason | Frame, count: int = 2, datamap: DataMap = MAP
) -> tuple[Tally, list[float]]:
    clock = FakeClock(monotonic_s=100.0)
    source = ScriptedSource(clock, *polls, datamap=datamap)
    tallies = [tally for tally, _ in collect(source, table, label="worn", count=count, interval_s=0.5, clock=clock)]
    return tallies[-1], source.at_s


def test_good_readings_are_added_and_bad_ones_counted(tmp_path):
    path = tmp_path / "data.csv"
    with GrowingTable(path, MAP) as table:
        tally, at_s = gathered(
            table,
            (1 / 3, -2.5),
            (501.0, math.nan),
            (0.0, 0.0),
            Reason.NO_COMMUNICATION,
            (500.0, 1e-30),
        )
    third = repr(11184811 / 2**25)  # the float32 nearest to 1/3, every digit of it
    assert path.read_text() == f"{HEADER}{third},-2.5,worn\n500.0,1.0000000031710769e-30,worn\n"
    assert (tally.rows, tally.left_out) == (2, 3)
    assert tally.reasons == {
        "volts: out_of_range": 1,
        "amps: not_a_number": 1,
        "never_written": 1,
        "no_communication": 1,
    }
    assert at_s == [100.0, 100.5, 101.0, 101.5, 102.0]
    assert summary(tally, path, "worn").startswith(f"2 rows of 'worn' added to {path}. 3 readings left out: ")


def test_what_is_uncertain_is_left_out_too(tmp_path):
    path = tmp_path / "data.csv"
    with GrowingTable(path, MAP) as table:
        tally, _ = gathered(
            table,
            Frame("amp", 0.0, encode_row(MAP.tags, (200.0, 1.0)), settling=True),
            (210.0, 1.0),
            (300.0, 1.0),
            (305.0, 1.0),
            datamap=DataMap((replace(MAP.tags[0], max_step=50.0), MAP.tags[1])),
        )
    assert path.read_text() == f"{HEADER}210.0,1.0,worn\n305.0,1.0,worn\n"
    assert tally.reasons == {"settling": 1, "volts: jumped": 1}


def test_a_device_that_is_not_there_at_the_start(tmp_path):
    path = tmp_path / "data.csv"
    with pytest.raises(UnreachableError, match="does not answer"), GrowingTable(path, MAP) as table:
        gathered(table, Reason.NO_COMMUNICATION)
    assert not path.exists()


@pytest.mark.parametrize("label", ["unknown", " Unknown ", "", "  ", "a\nb", "x" * 65])
def test_labels_that_no_row_may_be_given(label):
    with pytest.raises(UsageError, match="--label"):
        checked_label(label)
    assert checked_label(" fine ") == "fine"


class TestTable:
    def grow(self, path, *rows):
        with GrowingTable(path, MAP) as table:
            for row in rows:
                table.append(row, now_s=0.0)

    def test_rows_are_added_to_a_table_that_is_there(self, tmp_path):
        path = tmp_path / "data.csv"
        self.grow(path, ["1.0", "2.0", "fine"])
        self.grow(path, ["3.0", "4.0", "worn, badly"], ["5.0", "6.0", "fine"])
        assert path.read_text() == HEADER + '1.0,2.0,fine\n3.0,4.0,"worn, badly"\n5.0,6.0,fine\n'
        assert [row.cells[2] for row in read_table(path).rows()] == ["fine", "worn, badly", "fine"]

    def test_a_label_is_no_formula_to_a_spreadsheet(self, tmp_path):
        path = tmp_path / "data.csv"
        self.grow(path, ["1.0", "-2.0", "=1+1"], ["-3.0", "4.0", "-cold"])
        assert path.read_text() == HEADER + "1.0,-2.0,'=1+1\n-3.0,4.0,'-cold\n"
        assert list(read_table(path).texts("status")) == ["=1+1", "-cold"]

    def test_a_table_without_a_last_newline(self, tmp_path):
        path = tmp_path / "data.csv"
        path.write_text(HEADER + "1.0,2.0,fine")
        self.grow(path, ["3.0", "4.0", "fine"])
        assert path.read_text() == HEADER + "1.0,2.0,fine\n3.0,4.0,fine\n"
        path.write_text(HEADER.strip())
        self.grow(path, ["3.0", "4.0", "fine"])
        assert path.read_text() == HEADER + "3.0,4.0,fine\n"

    def test_as_a_spreadsheet_saves_it(self, tmp_path):
        path = tmp_path / "data.csv"
        path.write_bytes(b"\xef\xbb\xbfvolts,amps,status\r\n1,2,fine\r\n")
        self.grow(path, ["3.0", "4.0", "fine"])
        assert path.read_bytes() == b"\xef\xbb\xbfvolts,amps,status\r\n1,2,fine\r\n3.0,4.0,fine\r\n"

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("volts,status\n", "other columns: amps missing"),
            ("volts,amps,ohms,status\n", "other columns: ohms not in the data map"),
            ("amps,volts,status\n", "other columns: their order is amps, volts, status, not volts, amps, status"),
            ("volts;amps;status\n", "volts, amps, status missing; volts;amps;status not in the data map"),
            ("volts,amps,status\r1,2,fine\r", "is no table that rows can be added to"),
            ("volts,amps,status\n1,2,fine\n3,4,fine\r5,6,fine", "is no table that rows can be added to"),
            ("x" * 200_000, "is no table that rows can be added to"),
            ("volts,amps,status\n1,2,fine\n3,", "last line .* is not whole: it has 2 of 3 fields"),
        ],
    )
    def test_a_table_that_does_not_fit_is_left_alone(self, tmp_path, text, problem):
        path = tmp_path / "data.csv"
        path.write_bytes(text.encode())
        with pytest.raises(DataError, match=problem):
            self.grow(path, ["1", "2", "fine"])
        assert path.read_bytes() == text.encode()

    def test_a_place_that_cannot_be_written(self, tmp_path):
        with pytest.raises(UsageError, match="cannot be written"):
            self.grow(tmp_path / "nowhere" / "data.csv")
        with pytest.raises(UsageError, match="cannot be written"):
            self.grow(tmp_path)
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(UsageError, match="it is no file"):
            self.grow(tmp_path / "pipe")
        assert (tmp_path / "pipe").exists()

    def test_no_row_no_file(self, tmp_path):
        self.grow(tmp_path / "data.csv")
        assert not (tmp_path / "data.csv").exists()

    def test_a_full_disk_leaves_whole_rows(self, tmp_path):
        path = tmp_path / "data.csv"
        with GrowingTable(path, MAP) as table:
            table.append(["1.0", "2.0", "fine"], now_s=0.0)
            before = path.read_bytes()
            disk = table._file
            table._file = FullDisk(disk)
            with pytest.raises(UsageError, match="No space left"):
                table.append(["3.0", "4.0", "fine"], now_s=0.0)
            table._file = disk
            assert path.read_bytes() == before

    def test_rows_are_forced_onto_the_disk_every_two_seconds(self, tmp_path, monkeypatch):
        synced = []
        monkeypatch.setattr("os.fsync", lambda _: synced.append(at))
        with GrowingTable(tmp_path / "data.csv", MAP) as table:
            for at in (10.0, 11.0, 11.9, 12.0, 13.0, 14.5):
                table.append(["1.0", "2.0", "fine"], now_s=at)
            at = "closed"
        assert synced == [10.0, 12.0, 14.5, "closed"]

    def test_a_tag_named_as_the_label(self, tmp_path):
        with pytest.raises(UsageError, match="A tag is named 'status'"):
            GrowingTable(tmp_path / "data.csv", DataMap((Tag("status", 0),)))


class FullDisk:
    """A file on a disk that takes three more bytes."""

    def __init__(self, file) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        return self._file.write(data[:3])

    def truncate(self, size: int) -> None:
        self._file.truncate(size)


@pytest.fixture(scope="module")
def hosted() -> Iterator[EmbeddedSlave]:
    slave = EmbeddedSlave("127.0.0.1", 0, MAP)
    slave.start()
    master = Master("127.0.0.1", slave.port)
    master.write(plan_writes(MAP), encode_row(MAP.tags, (230.5, -0.25)))
    master.close()
    yield slave
    slave.stop()


@pytest.fixture
def site(tmp_path, monkeypatch, hosted):
    """A folder with a config, and a slave whose registers hold 230.5 V and -0.25 A."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ampedge.toml").write_text(CONFIG)
    return hosted


def run(*arguments: object) -> None:
    app(["collect", *map(str, arguments)], standalone_mode=False)


class TestCommand:
    def test_rows_of_a_live_slave(self, site, tmp_path, capsys):
        how = ["--port", site.port, "--interval", 0.01, "--count", 3]
        run("--label", "fine", *how)
        assert capsys.readouterr().out == "3 rows of 'fine' added to data.csv.\n"
        run("--label", "worn", "--out", "data.csv", *how, "--json")
        assert json.loads(capsys.readouterr().out) == {
            "out": "data.csv",
            "label": "worn",
            "rows": 3,
            "left_out": 0,
            "reasons": {},
            "interrupted": False,
        }
        assert (tmp_path / "data.csv").read_text() == HEADER + "230.5,-0.25,fine\n" * 3 + "230.5,-0.25,worn\n" * 3

    def test_the_bundles_map_and_the_unit(self, site, tmp_path, capsys):
        features = {"volts": ("V", 230.0, 1.0), "amps": ("A", 0.0, 1.0)}
        place = tmp_path / "other"
        tiny_bundle(place, classes=("a", "b"), features=features)
        (tmp_path / "ampedge.toml").unlink()
        how = ["--host", "127.0.0.1", "--port", site.port, "--model", place / "model", "--unit", 9]
        run("--label", "fine", "--interval", 0.01, "--count", 1, *how)
        shown = capsys.readouterr().err
        assert f"Data map of {place / 'model'} (as given)." in shown
        assert "unit 9" in shown
        assert (tmp_path / "data.csv").read_text() == HEADER + "230.5,-0.25,fine\n"

    def test_one_of_several_devices(self, site, tmp_path):
        config = '[mqtt]\ntopic = "{device}"\n' + CONFIG.partition('host = "127.0.0.1"\n')[2]
        for name, port in (("pump", 1), ("fan", site.port)):
            config += f'[[devices]]\nname = "{name}"\nhost = "127.0.0.1"\nport = {port}\n'
        (tmp_path / "ampedge.toml").write_text(config)
        run("--label", "fine", "--device", "fan", "--count", 1, "--interval", 0.01)
        assert (tmp_path / "data.csv").read_text() == HEADER + "230.5,-0.25,fine\n"
        with pytest.raises(UsageError, match="several devices: pump, fan"):
            run("--label", "fine")
        with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:1: "):
            run("--label", "fine", "--device", "pump")

    @pytest.mark.parametrize(
        ("arguments", "error", "problem"),
        [
            (["--label", "unknown"], UsageError, "'unknown' is what a reading gets"),
            (["--label", "fine", "--port", "1"], UnreachableError, "Nothing accepts connections at 127.0.0.1:1"),
            (["--label", "fine", "--out", "no/where.csv"], UsageError, "no/where.csv cannot be written"),
            (["--label", "fine", "--interval", "0"], UsageError, "modbus.interval_s"),
        ],
    )
    def test_refusals(self, site, tmp_path, arguments, error, problem):
        with pytest.raises(error, match=problem):
            run("--port", site.port, *arguments)
        assert not (tmp_path / "data.csv").exists()

    @pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
    def test_interrupted_it_keeps_what_is_there(self, site, tmp_path, how):
        data = tmp_path / "data.csv"
        with start_cli("collect", "--label", "fine", "--port", site.port, "--interval", 0.02, cwd=tmp_path) as process:
            wait_until(lambda: data.exists() and data.read_bytes().count(b"\n") > 3, what="rows")
            process.send_signal(how)
            out, err = process.communicate(timeout=10)
        assert process.returncode == 130
        rows = list(read_table(data).rows())
        assert out == f"{len(rows)} rows of 'fine' added to data.csv.\n"
        assert "Traceback" not in err
