"""What becomes of a poll: whole frames, partial ones, and what each exception of the device leads to."""

import contextlib
import logging
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ampedge.clock import FakeClock
from ampedge.datamap import DataMap, Tag, laid_out
from ampedge.errors import ExceptionReply
from ampedge.log import logger
from ampedge.log.entry import Entry, entry_of, for_people
from ampedge.log.repeats import Repeats
from ampedge.modbus.client import Master
from ampedge.modbus.source import Backoff, ModbusSource
from ampedge.records import Frame, Reason
from tests.support.scripted_slave import Answer, ScriptedSlave, exception, registers
from tests.support.waiting import wait_until

FOUR = laid_out(["a", "b", "c", "d"])  # 8 registers
PARKED_S = 300.0
LONGEST_S = 25.0
TWO_BLOCKS = DataMap((Tag("near", 0), Tag("far", 100)))
CONFIGURATION, FAILURE, AWAY = Reason.CONFIGURATION_ERROR, Reason.DEVICE_FAILURE, Reason.NO_COMMUNICATION


def span(frame: bytes) -> tuple[int, int]:
    """(address, count) of a read."""
    address, count = struct.unpack(">HH", frame[8:12])
    return address, count


def answering(frame: bytes) -> bytes:
    """Registers that hold their own address plus one."""
    address, count = span(frame)
    return registers(frame, [address + i + 1 for i in range(count)])


def without(missing: Sequence[int], code: int = 2) -> Answer:
    """A device in which some registers do not exist."""

    def answer(frame: bytes) -> bytes:
        address, count = span(frame)
        return exception(frame, code) if any(address <= m < address + count for m in missing) else answering(frame)

    return answer


class Polled:
    """A source that polls a scripted slave, on a clock that stands still."""

    def __init__(self, answer: Answer, datamap: DataMap = FOUR, **options: object) -> None:
        self.slave = ScriptedSlave(answer)
        self.slave.__enter__()
        self.clock = FakeClock(time_s=1e9)
        self.master = Master("127.0.0.1", self.slave.port, unit=17, timeout_s=1.0)
        self.source = ModbusSource(self.master, datamap, device="pump", clock=self.clock, **options)  # type: ignore[arg-type]

    def poll(self, after_s: float = 0.0) -> Frame:
        self.clock.advance(after_s)
        return self.source.poll()

    def requests(self) -> list[tuple[int, int]]:
        """(address, count) of the reads since the last call."""
        found = [struct.unpack(">HH", request[1:5]) for request in self.slave.requests]
        self.slave.requests.clear()
        return [(address, count) for address, count in found]


@pytest.fixture
def polled() -> Iterator[Callable[..., Polled]]:
    made: list[Polled] = []

    def make(answer: Answer = answering, datamap: DataMap = FOUR, **options: object) -> Polled:
        made.append(Polled(answer, datamap, **options))
        return made[-1]

    yield make
    for one in made:
        one.master.close()
        one.slave.__exit__(None, None, None)


@pytest.fixture
def log() -> Iterator[list[str]]:
    """The lines that are written within ten minutes, as people read them, without time and level."""
    lines: list[str] = []
    repeats, handler = Repeats(), logging.Handler()

    def emit(record: logging.LogRecord) -> None:
        if repeats.passes(record, entry_of(record), 0.0):
            lines.append(for_people(entry_of(record))[32:])

    handler.emit = emit  # type: ignore[method-assign]
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield lines
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.mark.parametrize(
    ("answer", "said"),
    [(lambda frame: None, "closed the connection"), (lambda frame: exception(frame, 4), "answers with exception 4")],
    ids=["away", "exception"],
)
def test_each_failed_poll_is_a_warning_that_names_whom_it_concerns(
    polled: Callable[..., Polled], monkeypatch: pytest.MonkeyPatch, answer: Answer, said: str
) -> None:
    entries: list[Entry] = []
    monkeypatch.setattr(logger, "handle", lambda record: entries.append(entry_of(record)))
    device = polled(answer)
    for _ in range(3):
        device.poll(60)
    assert len(entries) == 3
    for entry in entries:
        assert entry.level == logging.WARNING
        assert said in entry.message
        assert entry.about == {"device": "pump", "unit": 17, "function": 3, "registers": "holding 0-7"}


def test_a_poll_becomes_a_frame(polled: Callable[..., Polled]) -> None:
    device = polled()
    assert device.poll() == Frame("pump", 1e9, ((1, 2), (3, 4), (5, 6), (7, 8)), monotonic_s=1000.0)
    assert device.poll(2.5).monotonic_s == 1002.5
    assert device.requests() == [(0, 8), (0, 8)]
    assert device.slave.connections == 1


@pytest.mark.parametrize("answer", [lambda frame: None, lambda frame: b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_a_poll_never_raises(polled: Callable[..., Polled], answer: Answer) -> None:
    frame = polled(answer).poll()
    assert (frame.words, frame.failure, frame.bad) == ((), AWAY, ())
    assert "unit 17" in frame.detail
    assert "function code 3, holding 0-7" in frame.detail


@pytest.mark.parametrize(
    ("code", "reason"),
    [(1, CONFIGURATION), (2, CONFIGURATION), (3, CONFIGURATION), (4, FAILURE), (5, FAILURE), (6, FAILURE),
     (7, FAILURE), (8, FAILURE), (10, AWAY), (11, AWAY), (0x63, FAILURE), (0, FAILURE), (0xFF, FAILURE)],
)  # fmt: skip
def test_a_device_that_answers_everything_with_an_exception_is_a_failure_and_stays_connected(
    polled: Callable[..., Polled], log: list[str], code: int, reason: Reason
) -> None:
    device = polled(lambda frame: exception(frame, code))
    for _ in range(3):
        frame = device.poll(60)
        assert (frame.words, frame.failure, frame.bad) == ((), reason, ())
        assert f"exception {code} (" in frame.detail
        assert f"0x{code:02X}" in frame.detail or code in {1, 2, 3, 4, 5, 6, 8, 10, 11}
    assert device.slave.connections == 1
    assert len(log) <= 1  # the log says it once, however often it happens


def test_the_registers_between_the_tags_are_left_alone_where_the_device_does_not_have_them(
    polled: Callable[..., Polled], log: list[str]
) -> None:
    device = polled(without([2, 9]), DataMap((Tag("a", 0), Tag("b", 10))))
    for _ in range(2):
        assert device.poll().words == ((1, 2), (11, 12))
    assert device.requests() == [(0, 12), (0, 2), (10, 2), (0, 2), (10, 2)]  # tried once and remembered
    assert device.source.plan.describe() == "holding 0-1, holding 10-11"
    assert log == ["pump: read in other pieces from now on. (unit 17, registers holding 0-1, holding 10-11)"]


@pytest.mark.parametrize("missing", range(8))
def test_one_tag_that_is_not_there_does_not_take_its_neighbours_with_it(
    polled: Callable[..., Polled], log: list[str], missing: int
) -> None:
    device = polled(without([missing]))
    for _ in range(3):
        frame = device.poll(60)
        assert frame.failure is None
        assert frame.words == tuple(() if missing // 2 == i else (2 * i + 1, 2 * i + 2) for i in range(4))
        assert frame.bad == tuple(CONFIGURATION if missing // 2 == i else None for i in range(4))
        assert "exception 2" in frame.detail
    first, *_ = device.requests()
    assert first == (0, 8)
    device.poll()
    assert len(device.requests()) == 2  # the good half and the good quarter; nobody asks for the bad one
    assert sum(f"no value for {'abcd'[missing // 2]}; asked again after 300 s." in line for line in log) == 1
    assert len(log) == 2


def test_what_was_missing_is_asked_for_again_after_five_minutes(polled: Callable[..., Polled], log: list[str]) -> None:
    device = polled(without([6, 7]))
    assert device.poll().bad == (None, None, None, CONFIGURATION)
    device.slave.answer = answering
    assert device.poll(PARKED_S - 1).bad == (None, None, None, CONFIGURATION)
    assert device.poll(1.5) == Frame("pump", 1e9 + 300.5, ((1, 2), (3, 4), (5, 6), (7, 8)), monotonic_s=1300.5)
    assert log[-1] == "pump: d can be read again. (unit 17, function 3, registers holding 6-7)"


def test_a_device_that_has_nothing_of_the_map_is_asked_every_five_minutes_and_keeps_its_one_block(
    polled: Callable[..., Polled], log: list[str]
) -> None:
    device = polled(without(range(8)))
    assert device.poll().failure is CONFIGURATION
    device.requests()
    for _ in range(5):
        assert device.poll(59).failure is CONFIGURATION
    assert device.requests() == []
    device.slave.answer = answering  # a controller that was being loaded anew
    assert device.poll(59).failure is None
    assert device.requests() == [(0, 8)]
    assert len(log) == 2


def test_a_device_that_was_lost_is_asked_for_everything_when_it_is_back(polled: Callable[..., Polled]) -> None:
    device = polled(without([0]))
    assert device.poll().bad == (CONFIGURATION, None, None, None)
    device.slave.answer = lambda frame: None
    assert device.poll(1).failure is AWAY
    device.slave.answer = answering
    assert device.poll(1).bad == ()


def test_a_device_that_vanishes_while_it_is_asked_in_pieces_is_away(polled: Callable[..., Polled]) -> None:
    def once(frame: bytes) -> bytes:
        device.slave.answer = lambda frame: None
        return exception(frame, 2)

    device = polled(once)
    assert device.poll().failure is AWAY
    device.slave.answer = answering
    assert device.poll(1).bad == ()
    assert device.requests()[-1] == (0, 8)


@pytest.mark.parametrize(("limit", "after"), [(20, 8), (125, 1), (64, 2), (2, 60)])
def test_blocks_that_are_too_long_for_the_device_are_halved_until_they_fit(
    polled: Callable[..., Polled], limit: int, after: int
) -> None:
    device = polled(
        lambda frame: exception(frame, 3) if span(frame)[1] > limit else answering(frame),
        laid_out([f"t{i}" for i in range(60)]),
    )
    for _ in range(2):
        frame = device.poll()
        assert (frame.failure, frame.bad) == (None, ())
        assert frame.words == tuple((2 * i + 1, 2 * i + 2) for i in range(60))
    assert len(device.requests()) > 2 * after - 1
    device.poll()
    assert len(device.requests()) == after


def test_an_illegal_function_parks_its_table_and_leaves_the_other_alone(
    polled: Callable[..., Polled], log: list[str]
) -> None:
    datamap = DataMap((Tag("a", 0), Tag("b", 0, "input"), Tag("c", 2, "input")))
    device = polled(lambda frame: exception(frame, 1) if frame[7] == 4 else answering(frame), datamap)
    for _ in range(4):
        frame = device.poll(60)
        assert (frame.words, frame.bad) == (((1, 2), (), ()), (None, CONFIGURATION, CONFIGURATION))
    assert sorted(device.requests()) == [(0, 2)] * 4 + [(0, 4)]
    assert len(log) == 1
    assert "pump: no value for b, c; asked again after 300 s. The slave at 127.0.0.1:" in log[0]
    assert log[0].endswith("unit 17, answers with exception 1 (illegal function) (function code 4, input 0-3).")


@pytest.mark.parametrize("code", [4, 7, 8, 0x63])
def test_a_failure_of_the_device_is_asked_again_later_and_later_while_the_other_block_goes_on(
    polled: Callable[..., Polled], log: list[str], code: int
) -> None:
    def answer(frame: bytes) -> bytes:
        return exception(frame, code) if span(frame)[0] == 100 else answering(frame)

    device = polled(answer, DataMap((Tag("a", 0), Tag("b", 100))))
    asked_s = []
    for second in range(100):
        frame = device.poll(1)
        assert (frame.words, frame.bad) == (((1, 2), ()), (None, FAILURE))
        if (100, 2) in device.requests():
            asked_s.append(second)
    assert asked_s == [0, 1, 2, 4, 8, 16, 32, 62, 92]  # in the next poll, then after 1 s, up to 30 s
    assert device.slave.connections == 1
    assert len(log) == 1
    assert code != 0x63 or "0x63" in log[0]
    device.slave.answer = answering
    assert device.poll(30).bad == ()


@pytest.mark.parametrize("code", [5, 6])
@pytest.mark.parametrize("busy", range(11))
def test_a_busy_device_is_asked_three_times_more_in_a_poll(polled: Callable[..., Polled], busy: int, code: int) -> None:
    left = busy

    def answer(frame: bytes) -> bytes:
        nonlocal left
        left -= 1
        return exception(frame, code) if left >= 0 else answering(frame)

    device = polled(answer)
    frames = [device.poll(1) for _ in range(4)]
    lost = busy // 4
    assert [frame.failure for frame in frames] == [FAILURE] * lost + [None] * (4 - lost)
    assert all(frame.words == ((1, 2), (3, 4), (5, 6), (7, 8)) for frame in frames[lost:])  # never a zero
    assert device.clock.monotonic() == pytest.approx(1004 + 0.1 * (3 * lost + busy % 4))


def test_a_busy_device_does_not_hold_a_poll_beyond_its_deadline(polled: Callable[..., Polled]) -> None:
    def busy(frame: bytes) -> bytes:
        device.clock.advance(0.45)
        return exception(frame, 6)

    device = polled(busy)
    assert device.poll().failure is FAILURE
    assert len(device.requests()) == 2
    assert device.clock.monotonic() == pytest.approx(1001.0)


def takes(device_s: float, answer: Answer, clock: Callable[[], FakeClock]) -> Answer:
    """A device that takes so long for each answer."""

    def slow(frame: bytes) -> bytes | None:
        clock().advance(device_s)
        return answer(frame)

    return slow


@pytest.mark.parametrize("missing", [0, 7, 63, 127])
@pytest.mark.parametrize("device_s", [0.9, 2.9])
def test_what_a_slow_device_lacks_is_found_over_several_polls_and_its_neighbours_are_not_parked(
    polled: Callable[..., Polled], device_s: float, missing: int
) -> None:
    device = polled(takes(device_s, without([missing]), lambda: device.clock), laid_out([f"t{i}" for i in range(64)]))
    for _ in range(3):
        begun_s = device.clock.monotonic()
        frame = device.poll()
        assert device.clock.monotonic() < begun_s + LONGEST_S + device_s
    assert [i for i, reason in enumerate(frame.bad) if reason] == [missing // 2]
    assert frame.bad[missing // 2] is CONFIGURATION


def test_a_slow_device_that_has_nothing_of_a_block_keeps_the_block_whole(polled: Callable[..., Polled]) -> None:
    datamap = DataMap((*laid_out([f"t{i}" for i in range(16)]).tags, Tag("far", 1000)))
    device = polled(takes(2.9, without(range(32)), lambda: device.clock), datamap)
    frames = [device.poll() for _ in range(6)]
    assert all(frame.failure is not AWAY for frame in frames)
    assert frames[-1].words[-1] == (1001, 1002)
    assert frames[-1].bad == (*[CONFIGURATION] * 16, None)
    assert device.source.plan.describe() == "holding 0-31, holding 1000-1001"


SCATTERED = DataMap(tuple(Tag(f"t{i:02}", 100 * i) for i in range(40)))


def test_a_poll_ends_in_time_however_slow_the_device_and_every_tag_gets_its_turn(
    polled: Callable[..., Polled], log: list[str]
) -> None:
    device = polled(takes(2.4, answering, lambda: device.clock), SCATTERED)
    read: list[list[int]] = []
    for _ in range(8):
        begun_s = device.clock.monotonic()
        frame = device.poll()
        assert device.clock.monotonic() < begun_s + LONGEST_S + 2.4
        assert frame.failure is None
        assert set(frame.bad) == {None, AWAY}
        assert all(bool(words) is (bad is None) for words, bad in zip(frame.words, frame.bad, strict=True))
        assert frame.detail == (
            f"The slave at {device.master.address}, unit 17, takes longer than 25 s to answer for all tags; those left "
            "out come first in the next poll, and a longer interval_s gives it the time."
        )
        read.append([i for i, reason in enumerate(frame.bad) if reason is None])
    assert read == [sorted((11 * poll + i) % 40 for i in range(11)) for poll in range(8)]
    assert log == []
    device.slave.answer = answering
    assert device.poll().bad == ()


def test_a_poll_may_take_its_interval_where_that_is_longer(polled: Callable[..., Polled]) -> None:
    device = polled(takes(2.4, answering, lambda: device.clock), SCATTERED, interval_s=120.0)
    assert device.poll().bad == ()
    assert device.clock.monotonic() == pytest.approx(1000 + 40 * 2.4)


def test_a_poll_shows_that_it_goes_on_with_each_request(polled: Callable[..., Polled]) -> None:
    turns_s: list[float] = []
    device = polled(
        takes(2.0, answering, lambda: device.clock),
        SCATTERED,
        on_request=lambda: turns_s.append(device.clock.monotonic() - 1000),
    )
    device.poll()
    assert turns_s == [2.0 * i for i in range(13)]


def test_the_worst_of_several_reasons_is_the_failure(polled: Callable[..., Polled]) -> None:
    device = polled(lambda frame: exception(frame, 2 if span(frame)[0] else 4), DataMap((Tag("a", 0), Tag("b", 100))))
    frame = device.poll()
    assert frame.failure is FAILURE
    assert "exception 4" in frame.detail


@given(
    st.lists(st.tuples(st.sampled_from([0, 0, 0, 1, 3, 20]), st.sampled_from(["int16", "float32", "float64"])),
             min_size=1, max_size=40),
    st.sets(st.integers(0, 200), max_size=12),
    st.integers(4, 125),
)  # fmt: skip
def test_every_tag_that_is_there_is_read_whole_and_no_other(
    layout: list[tuple[int, str]], missing: set[int], limit: int
) -> None:
    tags: list[Tag] = []
    for gap, kind in layout:
        tags.append(Tag(f"t{len(tags)}", gap + (tags[-1].end if tags else 0), type=kind))
    there = [not any(tag.address <= m < tag.end for m in missing) for tag in tags]
    asked: list[range] = []

    class Memory(Master):
        def read_block(self, block):  # type: ignore[no-untyped-def]
            asked.append(range(block.address, block.address + block.count))
            self._answer(block)
            return tuple(range(block.address, block.address + block.count))

        def _answer(self, block):  # type: ignore[no-untyped-def]
            code = 3 if block.count > limit else 2 if missing & set(asked[-1]) else 0
            if code:
                raise ExceptionReply(code, f"exception {code} at {block.describe()}")

    clock = FakeClock()
    frame = ModbusSource(Memory("127.0.0.1", 1), DataMap(tuple(tags)), device="d", clock=clock).poll()
    if not any(there):
        assert frame.failure is CONFIGURATION
    else:
        assert frame.failure is None
        assert (frame.bad or (None,) * len(tags)) == tuple(None if ok else CONFIGURATION for ok in there)
        for tag, ok, words in zip(tags, there, frame.words, strict=True):
            assert words == (tuple(range(tag.address, tag.end)) if ok else ())
    for span in asked:
        for tag in tags:
            assert len(set(span) & set(range(tag.address, tag.end))) in {0, tag.width}  # no value in two requests


def test_a_device_that_comes_back_is_settling_for_a_while(polled: Callable[..., Polled]) -> None:
    device = polled(lambda frame: None, reconnect_settle_s=5.0)
    assert device.poll().failure is AWAY
    device.slave.answer = answering
    assert not device.poll().settling  # it has not been lost: it was never there
    device.slave.answer = lambda frame: None
    assert device.poll(10).failure is AWAY
    device.slave.answer = answering
    assert [device.poll(1).settling for _ in range(7)] == [True] * 5 + [False] * 2


@pytest.mark.parametrize(("idle_s", "settles"), [(1.0, True), (4.9, True), (5.0, False), (60.0, False)])
def test_a_connection_that_the_device_closed_is_opened_again_and_only_a_long_idle_one_was_closed_for_that(
    polled: Callable[..., Polled], idle_s: float, settles: bool
) -> None:
    device = polled(reconnect_settle_s=10.0)
    device.poll()
    device.slave.answer = lambda frame: None if device.slave.connections == 1 else answering(frame)
    frame = device.poll(idle_s)
    assert (frame.failure, frame.settling) == (None, settles)
    assert device.slave.connections == 2


def restarting(device: Callable[[], Polled], *, at: int) -> Answer:
    """A device that answers request number `at` and ends the connection with it, in good order."""

    def answer(frame: bytes) -> bytes | None:
        slave = device().slave
        if len(slave.requests) <= at or slave.connections > 1:
            return answering(frame)
        slave.requests.pop()  # it closes before it looks at this one
        return None

    return answer


@pytest.mark.parametrize("settle_s", [0.0, 5.0])
@pytest.mark.parametrize("interval_s", [0.1, 5.0, 60.0])
def test_words_from_before_and_after_a_restart_never_leave_as_good(
    polled: Callable[..., Polled], interval_s: float, settle_s: float
) -> None:
    device = polled(restarting(lambda: device, at=5), TWO_BLOCKS, reconnect_settle_s=settle_s)
    frames = [device.poll(interval_s) for _ in range(4)]
    assert [frame.failure for frame in frames] == [None] * 4
    assert device.slave.connections == 2
    assert [frame.settling for frame in frames] == [False, False, True, interval_s < settle_s]


@pytest.mark.parametrize("interval_s", [1.0, 5.0, 6.0, 3600.0])
def test_a_connection_that_was_kept_as_long_before_was_not_closed_for_being_idle(
    polled: Callable[..., Polled], interval_s: float
) -> None:
    device = polled(restarting(lambda: device, at=3), reconnect_settle_s=5.0)
    assert [device.poll(interval_s).settling for _ in range(4)] == [False, False, False, True]


def test_a_device_that_always_closes_what_is_idle_never_settles(polled: Callable[..., Polled]) -> None:
    def once_each(frame: bytes) -> bytes | None:
        device.slave.answer = hang_up
        return answering(frame)

    def hang_up(frame: bytes) -> None:
        device.slave.answer = once_each

    device = polled(once_each, reconnect_settle_s=5.0)
    assert not any(device.poll(60).settling for _ in range(5))
    assert device.slave.connections == 5


def test_a_poll_that_took_long_does_not_make_the_silence_after_it_longer(polled: Callable[..., Polled]) -> None:
    def slow_then_away(frame: bytes) -> bytes:
        device.clock.advance(20)
        device.slave.answer = lambda frame: None if device.slave.connections == 1 else answering(frame)
        return answering(frame)

    device = polled(slow_then_away, reconnect_settle_s=5.0)
    device.poll()
    assert device.poll(1).settling


def test_closing_after_each_poll_hides_no_restart_within_one(polled: Callable[..., Polled]) -> None:
    def closing(frame: bytes) -> bytes | None:
        asked = len(device.slave.requests)
        return None if asked == 4 and device.slave.connections == 2 else answering(frame)

    device = polled(closing, TWO_BLOCKS, close_after_poll=True)
    assert [device.poll(1).settling for _ in range(3)] == [False, True, False]


def test_a_device_that_closes_after_each_answer_never_settles(polled: Callable[..., Polled]) -> None:
    served: list[int] = []

    def one_each(frame: bytes) -> bytes | None:
        if device.slave.connections in served:
            return None
        served.append(device.slave.connections)
        return answering(frame)

    device = polled(one_each, TWO_BLOCKS, reconnect_settle_s=5.0, close_after_poll=True)
    frames = [device.poll(1) for _ in range(3)]
    assert [(frame.failure, frame.bad, frame.settling) for frame in frames] == [(None, (), False)] * 3
    assert device.slave.connections == 6


def test_a_unit_behind_a_gateway_settles_too(polled: Callable[..., Polled]) -> None:
    device = polled(reconnect_settle_s=10.0)
    device.poll()
    device.slave.answer = lambda frame: exception(frame, 0x0B)
    device.poll(1)
    device.slave.answer = answering
    assert device.poll(1).settling
    assert device.slave.connections == 1


def test_closing_after_each_poll_settles_nothing(polled: Callable[..., Polled]) -> None:
    device = polled(reconnect_settle_s=10.0, close_after_poll=True)
    assert not any(device.poll(1).settling for _ in range(3))


def test_nothing_settles_unless_it_is_asked_for(polled: Callable[..., Polled]) -> None:
    device = polled()
    device.poll()
    device.slave.answer = lambda frame: None
    device.poll(1)
    device.slave.answer = answering
    assert not device.poll(1).settling


@pytest.mark.parametrize(("closes", "connections"), [(False, 1), (True, 3)])
def test_the_connection_is_kept_unless_it_is_to_be_closed_after_each_poll(
    polled: Callable[..., Polled], closes: bool, connections: int
) -> None:
    device = polled(close_after_poll=closes)
    for _ in range(3):
        assert device.poll(1).failure is None
        assert device.master.connection.is_open is not closes
    assert device.slave.connections == connections


def checking(word: int, low: int) -> Answer:
    """A device whose check register at 50 holds these two words."""
    return lambda frame: registers(frame, [word, low]) if span(frame)[0] == 50 else answering(frame)


CHECK = Tag("check", 50)
PI = (0x4048, 0xF5C3)  # 3.14


def test_the_check_register_is_read_first_in_each_connection_and_only_then(polled: Callable[..., Polled]) -> None:
    device = polled(checking(*PI), check=(CHECK, 3.14))
    for _ in range(3):
        assert device.poll(1).failure is None
    device.master.close()
    device.poll(1)
    assert device.requests() == [(50, 2), (0, 8), (0, 8), (0, 8), (50, 2), (0, 8)]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (PI[::-1], "holds -4.9502e+32 where 3.14 is expected; with word order CDAB it would fit"),
        ((0x4840, 0xC3F5), "where 3.14 is expected; with word order BADC it would fit"),
        ((0xC3F5, 0x4840), "where 3.14 is expected; with word order DCBA it would fit"),
        ((0x4049, 0x0FDB), "holds 3.14159 where 3.14 is expected, in whichever word order"),
        ((0x7FC0, 0x0000), "holds nan where 3.14 is expected, in whichever word order"),
    ],
)
def test_a_check_register_with_other_content_says_what_it_found_and_which_word_order_would_fit(
    polled: Callable[..., Polled], words: tuple[int, int], hint: str
) -> None:
    device = polled(checking(*words), check=(CHECK, 3.14))
    for _ in range(2):
        frame = device.poll(1)
        assert (frame.words, frame.failure) == ((), CONFIGURATION)
        assert frame.detail.startswith("The check register, holding 40051 (wire address 50), ")
        assert hint in frame.detail
        assert frame.detail.endswith("unit 17).")
    assert device.requests() == [(50, 2)] * 2  # nothing else is asked of a device that is not the right one
    device.slave.answer = checking(*PI)
    assert device.poll(1).failure is None


def test_a_device_without_the_check_register_is_not_believed(polled: Callable[..., Polled]) -> None:
    device = polled(without([50]), check=(CHECK, 3.14))
    frame = device.poll()
    assert (frame.words, frame.failure) == ((), CONFIGURATION)
    assert "exception 2 (illegal data address) (function code 3, holding 50-51)" in frame.detail


def test_a_connection_that_the_device_closed_while_idle_is_checked_before_its_values_are_believed(
    polled: Callable[..., Polled],
) -> None:
    def idle(frame: bytes) -> bytes | None:
        device.slave.answer = lambda frame: None if next(answers) is None else checking(1, 2)(frame)
        return checking(*PI)(frame)

    answers = iter([True, None, *[True] * 5])  # the poll; then hung up; then another device answers
    device = polled(idle, check=(CHECK, 3.14))
    assert device.poll().failure is None
    frame = device.poll(60)
    assert (frame.words, frame.failure) == ((), CONFIGURATION)
    assert device.slave.connections == 2


def test_waits_double_up_to_the_longest_with_jitter_and_begin_anew() -> None:
    backoff = Backoff(1.0, 30.0)
    for full_s in (1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0):
        assert 0.7 * full_s <= backoff.next_s() <= full_s
    backoff.reset()
    assert backoff.next_s() <= 1.0
    assert len({Backoff().next_s() for _ in range(5)}) > 1


@contextlib.contextmanager
def hangs_up_after_each_answer(*, lets_a_request_in: bool) -> Iterator[Master]:
    """The next request may already be there when the slave closes, unread: then it is answered with a reset."""
    listening, ended = socket.create_server(("127.0.0.1", 0)), threading.Event()
    where = listening.getsockname()

    def serve() -> None:
        while not ended.is_set():
            with contextlib.suppress(OSError), listening.accept()[0] as connection:
                if request := connection.recv(260):
                    connection.sendall(answering(request))
                if lets_a_request_in:
                    connection.recv(1, socket.MSG_PEEK)

    thread = threading.Thread(target=serve)
    thread.start()
    with listening, contextlib.closing(Master("127.0.0.1", where[1], unit=17, timeout_s=2)) as master:
        yield master
        master.close()
        ended.set()
        socket.create_connection(where).close()
        thread.join()


def test_a_device_that_hangs_up_after_each_answer_is_read_block_by_block() -> None:
    with hangs_up_after_each_answer(lets_a_request_in=True) as master:
        datamap = DataMap((Tag("a", 0), Tag("b", 200)))
        source = ModbusSource(master, datamap, device="pump", clock=FakeClock(), close_after_poll=True)
        for _ in range(3):
            frame = source.poll()
            assert (frame.failure, frame.bad, frame.settling) == (None, (), False)
            assert frame.words == ((1, 2), (201, 202))


def test_a_device_that_closes_the_connection_again_and_again_is_told_of_once(log: list[str]) -> None:
    clock = FakeClock()
    with hangs_up_after_each_answer(lets_a_request_in=False) as master:
        source = ModbusSource(master, DataMap((Tag("a", 0),)), device="pump", clock=clock, reconnect_settle_s=5)
        for _ in range(20):
            assert source.poll().failure is None
            clock.advance(1)
            wait_until(lambda: hung_up(master))
    assert len(log) == 1
    assert "set close_after_poll = true" in log[0]


def hung_up(master: Master) -> bool:
    """Whether the end of the connection has arrived."""
    held = master.connection._socket
    with contextlib.suppress(BlockingIOError):
        return held is None or held.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    return False
