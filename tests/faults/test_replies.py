"""No wrong reply is ever accepted: each kind at once and torn into bytes, and fuzzed ones by the thousand."""

import select
from collections.abc import Callable
from itertools import pairwise

import pytest

from ampedge.datamap import DataMap
from ampedge.errors import ExceptionReply, UnreachableError
from ampedge.modbus.client import Master
from ampedge.modbus.plan import plan_reads, plan_writes
from tests.faults.fuzz_replies import fuzz
from tests.faults.replies import BITS, REGISTERS, WRONG, is_refused, right
from tests.support.scripted_slave import ScriptedSlave, reply
from tests.support.waiting import wait_until

TWO_IN_ONE = {"the right answer twice", "the right answer with a byte behind it"}


def test_the_kinds_are_many() -> None:
    assert len(WRONG) >= 25


@pytest.mark.parametrize("kind", WRONG)
def test_no_wrong_reply_is_accepted(kind: str) -> None:
    for datamap in (REGISTERS, BITS):
        assert is_refused(kind, datamap, torn=False)


# Where the right answer is whole before what follows it comes, it is taken: see the test after the next one.
@pytest.mark.parametrize("kind", sorted(WRONG.keys() - TWO_IN_ONE))
def test_no_wrong_reply_is_accepted_that_comes_byte_by_byte(kind: str) -> None:
    for datamap in (REGISTERS, BITS):
        assert is_refused(kind, datamap, torn=True)


def test_a_right_reply_is_not_called_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(WRONG, "right", right)
    assert not is_refused("right", REGISTERS, torn=False)


def test_an_answer_that_comes_twice_is_never_the_answer_to_the_next_request() -> None:
    sent: list[bytes] = []

    def twice(frame: bytes) -> bytes:
        sent.append(right(frame))
        return sent[-2] + sent[-1] if len(sent) > 1 else sent[-1]

    with ScriptedSlave(twice) as slave:
        master = Master("127.0.0.1", slave.port, unit=17, timeout_s=0.15)
        for _ in range(3):
            assert master.read(plan_reads(REGISTERS)) == ((1, 2), (3, 4))
            with pytest.raises(UnreachableError, match="its transaction id is another one"):
                master.read(plan_reads(REGISTERS))
            sent.clear()


@pytest.mark.parametrize("kind", ["right", *WRONG])
def test_nothing_that_comes_before_a_request_is_its_answer(kind: str) -> None:
    asked: list[bytes] = []

    def noting(frame: bytes) -> bytes:
        asked.append(frame)
        return right(frame)

    unasked = (WRONG | {"right": right})[kind]
    with ScriptedSlave(noting) as slave:
        master = Master("127.0.0.1", slave.port, unit=17, timeout_s=5)
        master.read(plan_reads(REGISTERS))
        if data := unasked(asked[0]):
            slave.say(data)
            wait_until(lambda: bool(select.select([master.connection._socket], [], [], 0)[0]))
            with pytest.raises(UnreachableError, match="it came before the request"):
                master.read(plan_reads(REGISTERS))
            assert len(asked) == 1  # it was not even asked
        assert master.read(plan_reads(REGISTERS)) == ((1, 2), (3, 4))
        master.close()


def test_the_next_transaction_id_cannot_be_told_from_the_ones_before() -> None:
    seen: list[int] = []

    def noting(frame: bytes) -> bytes:
        seen.append(int.from_bytes(frame[:2], "big"))
        return right(frame)

    with ScriptedSlave(noting) as slave:
        master = Master("127.0.0.1", slave.port, unit=17)
        for _ in range(50):
            master.read(plan_reads(REGISTERS))
        master.close()
    steps = [(later - earlier) % 65536 for earlier, later in pairwise(seen)]
    assert 0 not in steps
    assert len(set(steps)) > 40


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("another unit", "it comes from another unit"),
        ("another protocol id", "its protocol id is not that of Modbus"),
        ("another function code", "its function code is 4"),
        ("the right answer with a byte behind it", "more follows it"),
        ("one register less, consistently", "it holds more or less than was asked for"),
        ("a length of 255", "its length cannot be"),
        ("a length of 65535", "its length cannot be"),
    ],
)
def test_what_is_wrong_with_a_reply_is_said(kind: str, said: str) -> None:
    with ScriptedSlave(WRONG[kind]) as slave:
        master = Master("127.0.0.1", slave.port, unit=17, timeout_s=1)
        with pytest.raises(UnreachableError) as caught:
            master.read(plan_reads(REGISTERS))
        assert caught.value.problem == (
            f"The slave at 127.0.0.1:{slave.port}, unit 17, sends something that is no answer to the request "
            f"(function code 3, holding 0-3): {said}."
        )
        assert caught.value.remedy


@pytest.mark.parametrize("datamap", [REGISTERS, BITS], ids=["registers", "coils"])
@pytest.mark.parametrize(
    "wrong",
    [
        lambda pdu: bytes([pdu[0] ^ 1]) + pdu[1:],
        lambda pdu: pdu[:1] + b"\0\1" + pdu[3:],
        lambda pdu: pdu[:3] + b"\0\1",
        lambda pdu: pdu[:4],
        lambda pdu: pdu + b"\0",
        lambda pdu: bytes([pdu[0] | 0x80]),
        lambda pdu: bytes([pdu[0] | 0x80, 2, 2]),
    ],
    ids=["function", "address", "count", "short", "long", "exception without code", "exception too long"],
)
def test_a_write_is_done_only_when_the_slave_confirms_just_that(
    datamap: DataMap, wrong: Callable[[bytes], bytes]
) -> None:
    plan, words = plan_writes(datamap), [(1,) * tag.width for tag in datamap.tags]
    with ScriptedSlave(lambda f: reply(f, wrong(f[7:12]))) as slave:
        master = Master("127.0.0.1", slave.port, unit=17, timeout_s=0.15)
        with pytest.raises(UnreachableError) as caught:
            master.write(plan, words)
        assert not isinstance(caught.value, ExceptionReply)
        slave.answer = lambda f: reply(f, f[7:12])
        master.write(plan, words)
        master.close()


def test_fuzzed_replies_are_never_wrongly_accepted() -> None:
    found = fuzz(50_000, seed=1)
    assert (found.wrongly_accepted, found.wrongly_refused, found.uncaught) == (0, 0, 0)
    assert found.right > 5_000
    assert found.refused > 5_000
