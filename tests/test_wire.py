"""Events read back: what was written, and anything else a broker may carry."""

import dataclasses
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ampedge.records import Frame, Quality, Reason, Record, TagValue
from ampedge.wire import Event, Origin, as_replayed, event_payload, parse_event, retimed, rfc3339

ORIGIN = Origin("pump", "b007", "tiny", "1", ("bad", "fine"), "fine", 0.5)
RECORD = Record(
    Frame("pump", 1_764_000_000.25, ((1, 2),)),
    (TagValue("a", 0.1 + 0.2, "V"), TagValue("b", None, "°C", Quality.BAD, Reason.NOT_A_NUMBER)),
    Quality.BAD,
    ("b: not_a_number",),
    (0.3,),
    (0.25, 0.75),
    "fine",
    0.75,
    "fine",
)


def test_an_event_that_is_sent_again_says_so() -> None:
    record = dataclasses.replace(RECORD, values=(TagValue("replayed", None, '"replayed":false', Quality.BAD),))
    later = event_payload(record, ORIGIN, 7, replayed=True)
    assert as_replayed(event_payload(record, ORIGIN, 7)) == later
    assert as_replayed(later) == later


def test_an_event_comes_back_as_it_was() -> None:
    assert parse_event(event_payload(RECORD, ORIGIN, 7, replayed=True)) == Event(
        device="pump",
        boot="b007",
        sequence=7,
        time_s=1_764_000_000.25,
        label="fine",
        class_name="fine",
        confidence=0.75,
        quality=Quality.BAD,
        reasons=("b: not_a_number",),
        interval_s=0.5,
        normal_label="fine",
        replayed=True,
        model="tiny 1",
        values={"a": (0.1 + 0.2, "V", Quality.GOOD), "b": (None, "°C", Quality.BAD)},
    )


def test_numbers_are_not_rounded_and_text_is_utf8() -> None:
    payload = event_payload(RECORD, ORIGIN, 0)
    assert b"0.30000000000000004" in payload
    assert "°C".encode() in payload
    assert json.loads(payload)["probabilities"] == {"bad": 0.25, "fine": 0.75}


def test_times_are_utc_with_milliseconds() -> None:
    assert rfc3339(0.0) == "1970-01-01T00:00:00.000Z"
    assert rfc3339(1_764_000_000.25) == "2025-11-24T16:00:00.250Z"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"healthy",
        b"online",
        b"null",
        b"[]",
        b"5",
        b"{}",
        b"\xff\xfe",
        b"{" * 50_000,
        b"[" * 100_000,
        b'{"schema":1}',
        b'{"schema":1,"device":5}',
    ],
)
def test_what_is_no_event_is_a_value_error(payload: bytes) -> None:
    with pytest.raises(ValueError):
        parse_event(payload)


def test_an_event_of_another_schema_says_so() -> None:
    plain = json.loads(event_payload(RECORD, ORIGIN, 0))
    with pytest.raises(ValueError, match="schema 2 is not 1"):
        parse_event(json.dumps(plain | {"schema": 2}).encode())


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every node of a JSON document but the root."""
    found = [path] if path else []
    for key in node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
        found += places(node[key], (*path, key))
    return found


@given(st.data())
def test_an_event_changed_anywhere_is_read_or_a_value_error(data: st.DataObject) -> None:
    plain = json.loads(event_payload(RECORD, ORIGIN, 7))
    *parents, last = data.draw(st.sampled_from(places(plain)))
    node = plain
    for part in parents:
        node = node[part]
    node[last] = data.draw(ANYTHING)
    try:
        event = parse_event(json.dumps(plain).encode())
    except ValueError:
        return
    assert math.isfinite(event.time_s)
    assert event.confidence is None or math.isfinite(event.confidence)
    assert math.isfinite(event.interval_s)
    assert all(value is None or math.isfinite(value) for value, _, _ in event.values.values())


@pytest.mark.parametrize(
    "time", ["0001-01-01T00:00:00", "9999-12-31T23:59:59.999999", "2026-11-23", "0001-01-01T00:00:00+14:00", "now", ""]
)
def test_odd_times_are_read_or_a_value_error(time: str) -> None:
    plain = json.loads(event_payload(RECORD, ORIGIN, 0)) | {"time": time}
    try:
        assert math.isfinite(parse_event(json.dumps(plain).encode()).time_s)
    except ValueError:
        return


@pytest.mark.parametrize("name", ["interval_s", "confidence"])
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, "inf"])
def test_numbers_that_are_none_are_refused(name: str, value: object) -> None:
    plain = json.loads(event_payload(RECORD, ORIGIN, 0)) | {name: value}
    with pytest.raises(ValueError, match="is no value"):
        parse_event(json.dumps(plain).encode())


def test_a_time_without_a_zone_is_refused() -> None:
    # It would mean another moment on each reader's machine.
    plain = json.loads(event_payload(RECORD, ORIGIN, 0)) | {"time": "2026-11-23T00:00:00.000"}
    with pytest.raises(ValueError, match="time"):
        parse_event(json.dumps(plain).encode())


def test_an_event_stamped_before_the_clock_was_right_gets_the_right_time() -> None:
    record = Record(Frame("pump", 100.0, monotonic_s=50.25, failure=Reason.NO_COMMUNICATION))
    early = event_payload(record, ORIGIN, 3, time_synced=False)
    assert b'"time":"1970-01-01T00:01:40.000Z","time_synced":false,"monotonic_s":50.25' in early
    late = parse_event(retimed(early, 1_800_000_000.0))
    assert (late.time_s, late.time_synced, late.sequence) == (1_800_000_050.25, True, 3)
    with pytest.raises(ValueError, match="not an event"):
        retimed(b"[]", 0.0)
