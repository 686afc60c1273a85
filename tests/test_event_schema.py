"""The published schema says what events are: every kind follows it, a changed one does not."""

import copy
import dataclasses
import json
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ampedge import config, records, wire
from ampedge.modbus.codec import encode_row
from ampedge.model.bundle import Bundle
from ampedge.pipeline import Pipeline
from ampedge.records import Frame, Reason
from tests.support.bundles import tiny_bundle, tiny_row
from tests.support.event_schema import SCHEMA, valid_event

ORIGIN = wire.Origin("amplifier", "0123456789abcdef", "tiny", "1", ("failsoon", "healthy"), "healthy", 1.0)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("model"))


@pytest.fixture
def event(bundle: Bundle) -> Callable[..., dict[str, Any]]:
    """A function that runs a frame through the pipeline and gives the validated event."""
    origin = dataclasses.replace(ORIGIN, classes=bundle.classes)

    def made(*, min_confidence: float = 0.5, failure: Reason | None = None, **values: float) -> dict[str, Any]:
        row = {tag.name: value for tag, value in zip(bundle.datamap.tags, tiny_row(bundle, "healthy"), strict=True)}
        words = () if failure else encode_row(bundle.datamap.tags, [*(row | values).values()])
        record = Pipeline(bundle, min_confidence=min_confidence).run(Frame("amplifier", 1.7e9, words, failure))
        return valid_event(wire.event_payload(record, origin, 7))

    return made


@settings(deadline=None, max_examples=60)
@given(
    words=st.lists(st.integers(0, 65535), min_size=10, max_size=10),
    failure=st.none() | st.sampled_from([Reason.NO_COMMUNICATION, Reason.DEVICE_FAILURE, Reason.CONFIGURATION_ERROR]),
    time_s=st.floats(0, 4e9),
    sequence=st.integers(0, 10**12),
)
def test_whatever_the_registers_hold_the_event_is_valid_and_comes_back_as_it_was(
    bundle: Bundle, words: list[int], failure: Reason | None, time_s: float, sequence: int
) -> None:
    held = () if failure else tuple((words[i], words[i + 1]) for i in range(0, 10, 2))
    record = Pipeline(bundle).run(Frame("amplifier", time_s, held, failure))
    origin = dataclasses.replace(ORIGIN, classes=bundle.classes)
    payload = wire.event_payload(record, origin, sequence)
    valid_event(payload)
    event = wire.parse_event(payload)
    assert (event.sequence, event.label, event.class_name, event.confidence, event.quality, event.reasons) == (
        sequence,
        record.label,
        record.class_name,
        record.confidence,
        record.quality,
        record.reasons,
    )
    assert abs(event.time_s - time_s) <= 0.001
    assert event.values == {value.name: (value.value, value.unit, value.quality) for value in record.values}


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_a_good_reading(event: Callable[..., dict[str, Any]]) -> None:
    found = event()
    assert (found["label"], found["class"], found["quality"], found["reasons"]) == ("healthy", "healthy", "good", [])


@pytest.mark.parametrize("failure", [Reason.NO_COMMUNICATION, Reason.DEVICE_FAILURE, Reason.CONFIGURATION_ERROR])
def test_a_failed_read(event: Callable[..., dict[str, Any]], failure: Reason) -> None:
    found = event(failure=failure)
    assert (found["label"], found["class"], found["reasons"]) == ("unknown", None, [failure])


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (float("nan"), Reason.NOT_A_NUMBER),
        (float("-inf"), Reason.INFINITE),
        (1e-40, Reason.DENORMAL),
        (1e30, Reason.OUTSIDE_TRAINING),
    ],
)
def test_a_value_that_is_not_believed(event: Callable[..., dict[str, Any]], value: float, reason: Reason) -> None:
    found = event(plate_voltage=value)
    assert found["label"] == "unknown"
    assert found["values"]["plate_voltage"]["reason"] == reason
    assert found["reasons"] == [f"plate_voltage: {reason}"]


def test_low_confidence(event: Callable[..., dict[str, Any]]) -> None:
    found = event(min_confidence=1)
    assert (found["label"], found["class"], found["reasons"]) == ("unknown", "healthy", ["low_confidence"])


def test_a_changed_event_does_not_pass(event: Callable[..., dict[str, Any]]) -> None:
    good, bad = event(), event(failure=Reason.NO_COMMUNICATION)
    wrong: list[dict[str, Any]] = []
    for name in good:
        wrong.append({key: value for key, value in good.items() if key != name})
        wrong.append(good | {name: [None]})
    wrong.append(good | {"more": 1})
    wrong.append(good | {"class": None})
    wrong.append(good | {"time": "2026-11-23T00:00:00+00:00"})
    wrong.append(good | {"label": "unknown"})
    wrong.append(bad | {"label": "healthy"})
    wrong.append(bad | {"reasons": []})
    changed = copy.deepcopy(good)
    changed["values"]["plate_voltage"]["reason"] = "bad weather"
    wrong.append(changed)
    for one in wrong:
        with pytest.raises(AssertionError):
            valid_event(json.dumps(one))


def test_every_reason_and_quality_is_in_the_schema() -> None:
    value = SCHEMA["$defs"]["value"]["properties"]
    of_the_whole = {records.Reason.LOW_CONFIDENCE, records.Reason.UNUSUAL_COMBINATION}
    assert set(value["reason"]["enum"]) == {None, *records.Reason} - of_the_whole
    assert SCHEMA["$defs"]["quality"]["enum"] == [*records.Quality]
    assert SCHEMA["properties"]["device"]["maxLength"] == max(
        limit.max_length for limit in config.Settings.model_fields["device"].metadata if hasattr(limit, "max_length")
    )


def test_nan_is_no_json() -> None:
    with pytest.raises(AssertionError, match="NaN"):
        valid_event('{"confidence": NaN}')
