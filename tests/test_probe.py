"""`probe`: every word order of a live device, what fits, and what follows for the data map."""

import json
import math
import signal
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ampedge.cli.app import app
from ampedge.datamap import WORD_ORDERS, DataMap, Tag, laid_out
from ampedge.errors import ExceptionReply, UnreachableError, UsageError
from ampedge.modbus.client import Master
from ampedge.modbus.codec import encode_row
from ampedge.modbus.plan import Block
from ampedge.probe import Finding, Image, Registers, find, guesses
from ampedge.records import Reason, Words
from tests.support.bundles import tiny_bundle
from tests.support.cli import run_cli, start_cli
from tests.support.mosquitto import free_port
from tests.support.scripted_slave import Answer, ScriptedSlave, exception, registers
from tests.support.serving import GOLDEN, GOLDEN_WORDS
from tests.support.waiting import wait_until

MAP = laid_out(["plate", "bias", "heater", "thd", "impedance"])


class Bank:
    """In the place of a master: holding registers, zero where nothing is said, missing from `end` on."""

    def __init__(self, words: Sequence[int], *, start: int = 0, end: int = 65536, missing: Sequence[int] = ()) -> None:
        self._words = dict(enumerate(words, start))
        self._end = end
        self._missing = set(missing)
        self.asked: list[Block] = []

    def read_block(self, block: Block) -> Words:
        self.asked.append(block)
        addresses = range(block.address, block.address + block.count)
        if addresses[-1] >= self._end or self._missing.intersection(addresses):
            raise ExceptionReply(2, f"exception 2 for {block.describe()}")
        return tuple(self._words.get(address, 0) for address in addresses)


def in_order(order: str, values: Sequence[float] = GOLDEN) -> list[int]:
    """The registers of floats in a row, as a device with that word order holds them."""
    tags = [Tag(str(i), 2 * i, word_order=order) for i in range(len(values))]
    return [word for words in encode_row(tags, values) for word in words]


def found(bank: Bank, datamap: DataMap = MAP, **trained: tuple[float, float]) -> Finding:
    image = Image()
    image.read(bank, datamap)  # type: ignore[arg-type]
    return find(image, datamap, trained)


def as_map(order: str) -> DataMap:
    return DataMap(tuple(replace(tag, word_order=order) for tag in MAP.tags))


# What follows.


@pytest.mark.parametrize("order", WORD_ORDERS)
@pytest.mark.parametrize("written", WORD_ORDERS)
def test_the_word_order_of_the_device_is_found(order: str, written: str) -> None:
    (hint,) = found(Bank(in_order(order)), as_map(written)).hints
    if order == written:
        assert hint == "Every value is plausible as the data map has it."
    else:
        assert hint == f'Every value fits word order {order}: write word_order = "{order}" for each tag.'


@pytest.mark.parametrize("order", WORD_ORDERS)
@pytest.mark.parametrize(("shift", "move"), [(1, "add 1 to every address"), (-1, "subtract 1 from every address")])
def test_a_map_that_is_off_by_one_register_is_found(order: str, shift: int, move: str) -> None:
    moved = DataMap(tuple(replace(tag, address=tag.address + 100) for tag in as_map(order).tags))
    (hint,) = found(Bank(in_order(order), start=100 + shift), moved).hints
    place = "higher" if shift > 0 else "lower"
    assert hint == f"Every value fits one register {place}, so the data map seems to be off by one: {move}."


def test_word_order_and_address_can_both_be_wrong() -> None:
    tags = tuple(replace(tag, address=100 + 4 * i) for i, tag in enumerate(MAP.tags))  # with gaps, so no other way fits
    words = [word for pair in zip(*[iter(in_order("DCBA"))] * 2, strict=True) for word in (*pair, 0, 0)]
    (hint,) = found(Bank(words, start=99), DataMap(tags)).hints
    assert hint == (
        "Every value fits word order DCBA one register lower, so the data map seems to be off by one: "
        'write word_order = "DCBA" for each tag and subtract 1 from every address.'
    )


def test_where_the_ends_do_not_tell_all_ways_are_named() -> None:
    (hint,) = found(Bank([7, *in_order("CDAB"), 7], start=99), DataMap(_moved(100))).hints
    assert hint.startswith("Every value fits in more than one way: word order CDAB; one register higher. Compare")
    round_values = in_order("CDAB", (400.0, -12.0, 0.25, 1.0, 8.0))
    (hint,) = found(Bank([0, *round_values, 7], start=99), DataMap(_moved(100))).hints
    assert "more than one way: word order CDAB; " in hint
    assert "; one register higher." in hint


def _moved(address: int) -> tuple[Tag, ...]:
    return tuple(replace(tag, address=address + tag.address) for tag in MAP.tags)


def test_tags_of_different_word_orders_are_told_one_by_one() -> None:
    words = [*in_order("ABCD", GOLDEN[:2]), *in_order("CDAB", GOLDEN[2:4]), *in_order("DCBA", GOLDEN[4:])]
    assert found(Bank(words), heater=(0.0, 1.0)).hints == (
        'heater, thd fits word order CDAB only: write word_order = "CDAB" there.',
        'impedance fits word order DCBA only: write word_order = "DCBA" there.',
    )


def test_a_tag_that_fits_nothing_is_told() -> None:
    words = in_order("ABCD", (*GOLDEN[:4], math.nan))
    (hint,) = found(Bank(words), impedance=(0.0, 60.0)).hints
    assert hint.startswith("impedance fits in no word order: check address and type")


def test_registers_that_nobody_wrote() -> None:
    assert found(Bank([])).hints == (
        "Every register is zero: nobody has written them yet, or the data map points to the wrong place.",
    )


def test_tags_that_the_device_does_not_have_do_not_hide_the_others() -> None:
    finding = found(Bank(in_order("CDAB"), missing=(4, 12)))
    assert [bool(point.words) for point in finding.points] == [True, True, False, True, True]
    assert finding.points[2].problem == "exception 2 for holding 4-5"
    assert finding.hints[0] == "heater could not be read: check address and table against the device's manual."
    assert "word order CDAB" in finding.hints[1]


@pytest.mark.parametrize("end", [10, 11])
def test_a_device_without_neighbours_is_read_without_them(end: int) -> None:
    bank = Bank(in_order("CDAB"), end=end)
    assert all(point.words for point in found(bank).points)
    assert "word order CDAB" in found(bank).hints[0]


@pytest.mark.parametrize("answer", [lambda frame: b"", lambda frame: None], ids=["says nothing", "hangs up"])
def test_a_device_that_does_not_even_refuse_what_it_lacks_is_read_all_the_same(answer: Answer) -> None:
    tags = (*MAP.tags, Tag("far", 1000))
    words = [*in_order("CDAB"), *in_order("CDAB", (12.0,))]

    def only_the_tags(frame: bytes) -> bytes | None:
        address, count = struct.unpack(">HH", frame[8:12])
        if (address, count) in {(0, 10), (1000, 2)}:
            return registers(frame, words[10:] if address else words[:10])
        return answer(frame)

    with ScriptedSlave(only_the_tags) as slave:
        master = Master("127.0.0.1", slave.port, timeout_s=0.3)
        image = Image()
        for _ in range(2):
            image.read(master, DataMap(tags))
            finding = find(image, DataMap(tags), {})
            assert all(point.words for point in finding.points)
            assert "word order CDAB" in finding.hints[0]
        asked = [struct.unpack(">HH", request[1:5]) for request in slave.requests]
        assert asked[:2] == asked[-2:] == [(0, 10), (1000, 2)]
        assert len(asked) <= 6  # it is asked for a neighbour once, and not again with each look
        master.close()


def test_nothing_is_asked_beyond_the_limits_of_the_protocol() -> None:
    tags = [*(Tag(f"a{i}", 4 * i, type="float64") for i in range(31)), Tag("last", 65535, type="uint16")]
    bank = Bank([1] * 65536)
    found(bank, DataMap(tuple(tags)))
    assert [(block.address, block.count) for block in bank.asked] == [(0, 124), (65535, 1), (0, 125), (65534, 2)]


def test_a_device_that_is_away_is_an_error() -> None:
    class Away(Bank):
        def read_block(self, block: Block) -> Words:
            raise UnreachableError("away")

    with pytest.raises(UnreachableError):
        found(Away([]))


# What is plausible.


@pytest.mark.parametrize(
    ("tag", "words", "plausible"),
    [
        (Tag("x", 0), (0x42C8, 0), {"ABCD", "BADC"}),  # 100.0 or -198656
        (Tag("x", 0), (0, 0), set(WORD_ORDERS)),
        (Tag("x", 0), (0x7FC0, 0), {"BADC"}),
        (Tag("x", 0), (0x7F80, 0x807F), set()),
        (Tag("x", 0, valid=(0, 50)), (0x42C8, 0), set()),
        (Tag("x", 0, valid=(0, 500)), (0x42C8, 0), {"ABCD"}),
        (Tag("x", 0, invalid=(0x42C80000,)), (0x42C8, 0), {"BADC"}),
        (Tag("x", 0, type="uint16", valid=(0, 300)), (0x0100,), {"ABCD", "BADC"}),
        (Tag("x", 0, type="uint16", valid=(2, 300)), (0x0100,), {"ABCD"}),
        (Tag("x", 0, type="int32", valid=(-9, 9)), (0xFFFF, 0xFFFE), {"ABCD"}),
        (Tag("x", 0, type="float64"), (0x4059, 0, 0, 0), {"ABCD"}),
    ],
)
def test_plausible_word_orders(tag: Tag, words: Words, plausible: set[str]) -> None:
    assert {guess.order for guess in guesses(tag, words) if guess.is_plausible} == plausible


def test_the_range_of_training_counts_too() -> None:
    tag, words = Tag("x", 0), (0x42C8, 0)
    assert guesses(tag, words, (0.0, 50.0))[0].reason is Reason.OUTSIDE_TRAINING
    assert guesses(tag, words, (0.0, 150.0))[0].is_plausible
    tiny = Tag("x", 0, valid=(0.0, 1e-8))
    assert guesses(tiny, encode_row([tiny], [1e-9])[0])[0].is_plausible  # what is tiny depends on the range


def test_only_word_orders_that_differ_are_shown() -> None:
    assert [guess.order for guess in guesses(Tag("x", 0, type="uint16"), (1,))] == ["ABCD", "BADC"]
    assert [guess.order for guess in guesses(Tag("x", 0, type="uint16", word_order="DCBA"), (1,))] == ["ABCD", "DCBA"]
    assert [guess.order for guess in guesses(Tag("x", 0, "coil", "bit"), (1,))] == ["ABCD"]
    assert len(guesses(Tag("x", 0, type="float64"), (1, 2, 3, 4))) == 4


# Without a data map.


def test_registers_without_a_map() -> None:
    finding = Registers("holding", 0, 7).find(Bank(in_order("CDAB")))  # type: ignore[arg-type]
    assert [point.tag.name for point in finding.points] == [f"4000{i}" for i in range(1, 8)]
    assert [point.tag.type for point in finding.points] == ["float32"] * 6 + ["uint16"]
    assert finding.hints == (
        "Read in pairs from 40001 on, all are plausible as float32 in CDAB.",
        "Read in pairs from 40002 on, all are plausible as float32 in ABCD.",
    )
    assert Registers("holding", 0, 7).find(Bank([])).hints == ()  # type: ignore[arg-type]


@pytest.mark.parametrize(("table", "address", "count"), [("holding", 0, 126), ("coil", 0, 2001), ("input", 65530, 7)])
def test_more_than_one_request_is_refused(table: str, address: int, count: int) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        Registers(table, address, count)


# The command.


def answering(words: Sequence[int], *, start: int = 0) -> Callable[[bytes], bytes]:
    """A slave with these holding registers and zeros elsewhere."""
    held = dict(enumerate(words, start))

    def answer(frame: bytes) -> bytes:
        assert frame[7] in (1, 2, 3, 4), "probe only reads"
        address, count = int.from_bytes(frame[8:10], "big"), int.from_bytes(frame[10:12], "big")
        if frame[7] in (1, 2):
            return frame[:4] + b"\0\4" + frame[6:8] + b"\1\5"
        return registers(frame, [held.get(i, 0) for i in range(address, address + count)])

    return answer


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the tiny amplifier bundle in it."""
    monkeypatch.chdir(tmp_path)
    tiny_bundle(tmp_path)
    return tmp_path


def run(*arguments: object) -> None:
    app(["probe", *map(str, arguments)], standalone_mode=False)


def test_a_table_for_people(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ScriptedSlave(answering(in_order("CDAB"))) as slave:
        run("--host", "127.0.0.1", "--port", slave.port, "--unit", 9)
        assert slave.requests == [bytes((3, 0, 0, 0, 10)), bytes((3, 0, 0, 0, 11))]
    shown = capsys.readouterr()
    assert f"Reading 127.0.0.1:{slave.port}, unit 9." in shown.err
    assert "Data map of model" in shown.err
    lines = shown.out.splitlines()
    assert lines[0].split() == ["tag", "address", "words", "ABCD", "CDAB", "BADC", "DCBA", "unit"]
    assert lines[1].split() == [
        *("plate_voltage", "40001", "(0)", "AAF2", "43D5", "-4.3e-13", "427.34", "✓", "-6.8e+30", "-1.3e+13", "V")
    ]
    assert lines[-1] == 'Every value fits word order CDAB: write word_order = "CDAB" for each tag.'


def test_json_for_programs(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ScriptedSlave(answering([*in_order("ABCD", GOLDEN[:4]), 0x7FC0, 0])) as slave:
        run("--host", "127.0.0.1", "--port", slave.port, "--json")
    document = json.loads(capsys.readouterr().out)
    first, last = document["tags"][0], document["tags"][-1]
    assert (first["name"], first["table"], first["address"], first["manual"]) == (
        "plate_voltage",
        "holding",
        0,
        "40001",
    )
    assert first["words"] == list(GOLDEN_WORDS[:2])
    assert first["values"]["ABCD"] == {"value": pytest.approx(GOLDEN[0]), "plausible": True, "reason": None}
    assert first["values"]["CDAB"]["plausible"] is False
    assert last["values"]["ABCD"] == {"value": None, "plausible": False, "reason": "not_a_number"}
    assert document["hints"]


def test_registers_of_every_table(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ScriptedSlave(answering(in_order("ABCD"))) as slave:
        here = ("--host", "127.0.0.1", "--port", slave.port)
        run(*here, "--address", "0", "--count", 4)
        shown = capsys.readouterr()
        assert shown.err == f"Reading 127.0.0.1:{slave.port}, unit 1.\n"
        lines = shown.out.splitlines()
        assert lines[0].split() == ["address", "word", "uint16", "int16", *WORD_ORDERS]
        assert lines[3].split()[:5] == ["40003", "(2)", "C141", "49473", "-16063"]
        assert "Read in pairs from 40001 on, all are plausible as float32 in ABCD." in lines
        run(*here, "--address", "40003", "--count", 1)
        run(*here, "--address", "hr:2", "--count", 1)
        run(*here, "--address", "2", "--table", "input", "--count", 1)
        run(*here, "--address", "00003", "--count", 3)
        assert capsys.readouterr().out.splitlines()[-3:] == ["00003 (2) 1  ", "00004 (3) 0  ", "00005 (4) 1  "]
        run(*here, "--address", "0")
        assert [request.hex() for request in slave.requests] == [
            *("0300000004", "0300020001", "0300020001", "0400020001", "0100020003", "030000000a")
        ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--count", "3"], "--count says nothing without --address"),
        (["--table", "input"], "--table says nothing without --address"),
        (["--interval", "3"], "--interval says nothing without --watch"),
        (["--address", "x"], "--address: 'x' is no address"),
        (["--address", "70000"], "--address: '70000' is no address"),
        (["--address", "40001", "--table", "input"], "--address: '40001' is an address in 'holding'"),
        (["--address", "0", "--table", "nowhere"], "--table 'nowhere' is none of holding, input, coil, discrete"),
        (["--address", "0", "--count", "126"], "126 from wire address 0 cannot be read"),
    ],
)
def test_refusals(place: Path, arguments: list[str], words: str) -> None:
    with pytest.raises(UsageError, match="(?s)" + words.replace("(", r"\(")):
        run("--host", "127.0.0.1", "--port", 1, *arguments)


def test_a_slave_that_is_not_there_is_exit_code_4(place: Path) -> None:
    done = run_cli("probe", "--host", "127.0.0.1", "--port", free_port(), cwd=place)
    assert (done.returncode, done.stdout) == (4, "")
    assert "Nothing accepts connections" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_slave_that_has_none_of_the_registers_is_exit_code_4(place: Path) -> None:
    with ScriptedSlave(lambda frame: exception(frame, 2)) as slave:
        done = run_cli("probe", "--host", "127.0.0.1", "--port", slave.port, cwd=place)
    assert done.returncode == 4
    assert "exception 2 (illegal data address)" in done.stderr
    assert "could not be read: check address and table" in done.stdout


def test_one_of_several_devices_with_its_own_tags(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ScriptedSlave(answering([5])) as slave:
        (place / "ampedge.toml").write_text(
            '[mqtt]\ntopic = "{device}"\n[[devices]]\nname = "pump"\nhost = "127.0.0.1"\nport = 1\n'
            f'[[devices]]\nname = "fan"\nhost = "127.0.0.1"\nport = {slave.port}\n'
            '[[devices.tags]]\nname = "speed"\naddress = 0\ntype = "uint16"\n'
        )
        run("--device", "fan")
    assert capsys.readouterr().out.splitlines()[1].split()[:4] == ["speed", "40001", "(0)", "0005"]
    with pytest.raises(UsageError, match="several devices: pump, fan"):
        run()


def test_the_model_given_names_the_ranges(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    far = (*GOLDEN[:4], 1234.5)
    with ScriptedSlave(answering(in_order("ABCD", far))) as slave:
        run("--host", "127.0.0.1", "--port", slave.port, "--model", place / "model")
    assert "impedance fits in no word order" in capsys.readouterr().out


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_watched_it_reads_on_and_waits_for_a_device_that_is_away(place: Path, form: list[str]) -> None:
    words = in_order("ABCD")
    with ScriptedSlave(answering(words)) as slave:
        how = ["--host", "127.0.0.1", "--port", slave.port, "--watch", "--interval", 0.05, *form]
        with start_cli("probe", *how, cwd=place) as process:
            wait_until(lambda: len(slave.requests) > 2, what="polls")
            slave.answer = lambda frame: None
            seen = slave.connections
            wait_until(lambda: slave.connections > seen + 4, what="it to try again")  # one poll may try twice
            slave.answer = answering(words)
            seen = len(slave.requests)
            wait_until(lambda: len(slave.requests) > seen + 2, what="polls again")
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "closed the connection" in out
    if form:
        documents = [json.loads(line) for line in out.splitlines()]
        assert [bool(document["tags"][0]["words"]) for document in documents].count(False) >= 1
        assert documents[-1]["tags"][0]["words"]
