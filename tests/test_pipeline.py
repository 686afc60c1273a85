"""From a frame to a label: every row of the quality table, and the order of everything."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from ampedge.continuity import Continuity
from ampedge.datamap import DataMap, Tag
from ampedge.errors import ModelRefusedError
from ampedge.modbus.codec import encode_row
from ampedge.model.bundle import Bundle
from ampedge.model.manifest import ClassEnvelope
from ampedge.pipeline import Pipeline, Reader
from ampedge.records import UNKNOWN, Frame, Quality, Reason, Record
from ampedge.wire import Origin, event_payload
from tests.support.bundles import centre_layers, make_bundle, tiny_bundle, tiny_row

GOLDEN_WORDS = ((17365, 43762), (49473, 10758), (16019, 17334), (16229, 912), (16624, 4603))
HEALTHY = (427.335513967164, -12.072760045821497, 0.2876259585530916, 0.8945856193036692, 7.502195010331243)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("pipeline"))


def with_tag(datamap: DataMap, name: str, **changes: object) -> DataMap:
    """The map with one tag changed."""
    return DataMap(tuple(dataclasses.replace(t, **changes) if t.name == name else t for t in datamap.tags))


def run(bundle: Bundle, values: tuple[float, ...], datamap: DataMap | None = None, **options: float) -> Record:
    """The record of a row of values in feature order."""
    pipeline = Pipeline(bundle, datamap, **options)
    record = pipeline.run(Frame("device", 0.0, encode_row(pipeline.datamap.tags, values)))
    check_event(record, bundle)
    return record


def check_event(record: Record, bundle: Bundle) -> None:
    """Every record can become an event, which is strict JSON."""
    origin = Origin("device", "b007", "tiny", "1", bundle.classes, "healthy", 1.0)
    json.loads(event_payload(record, origin, 0), parse_constant=pytest.fail)


def test_the_published_row_is_healthy(bundle: Bundle) -> None:
    record = Pipeline(bundle).run(Frame("device", 5.0, GOLDEN_WORDS))
    assert (record.label, record.class_name, record.quality, record.reasons) == ("healthy", "healthy", "good", ())
    assert record.confidence == pytest.approx(max(record.probabilities or ()))
    assert record.confidence is not None
    assert record.confidence > 0.99
    assert [value.name for value in record.values] == list(bundle.manifest.feature_names)
    assert [value.value for value in record.values] == pytest.approx(HEALTHY, rel=2**-24)
    assert [value.unit for value in record.values] == ["V", "V", "A", "%", "ohm"]
    assert record.vector == tuple(value.value for value in record.values)
    assert record.frame.time_s == 5.0


def test_probabilities_are_in_the_order_of_the_classes(bundle: Bundle) -> None:
    for place, name in enumerate(bundle.classes):
        record = run(bundle, tiny_row(bundle, name))
        assert (record.class_name, record.label) == (name, name)
        assert record.probabilities is not None
        assert max(range(4), key=record.probabilities.__getitem__) == place


def test_features_go_by_name_whatever_the_order_of_the_sites_map(bundle: Bundle) -> None:
    ours = bundle.datamap
    site = DataMap(
        tuple(
            dataclasses.replace(tag, address=100 + 4 * i, word_order="DCBA", type="float64")
            for i, tag in enumerate(reversed(ours.tags))
        )
    )
    for name in bundle.classes:
        values = tiny_row(bundle, name)
        assert run(bundle, values, site).class_name == name
        assert run(bundle, values, site).vector == pytest.approx(values)
    # The record's values stand in the order of the model, so that words and tags cannot be mixed up.
    assert Pipeline(bundle, site).datamap.names == ours.names


FAILED_READS = [Reason.NO_COMMUNICATION, Reason.DEVICE_FAILURE, Reason.CONFIGURATION_ERROR]


@pytest.mark.parametrize("failure", FAILED_READS)
def test_a_failed_read_is_unknown(bundle: Bundle, failure: Reason) -> None:
    record = Pipeline(bundle).run(Frame("device", 0.0, failure=failure, detail="It is away."))
    assert (record.label, record.class_name, record.confidence, record.quality) == (UNKNOWN, None, None, Quality.BAD)
    assert record.reasons == (failure,)
    assert {(value.value, value.quality, value.reason) for value in record.values} == {(None, Quality.BAD, failure)}
    assert len(record.values) == 5
    check_event(record, bundle)


def test_registers_that_were_never_written_are_unknown(bundle: Bundle) -> None:
    record = Pipeline(bundle).run(Frame("device", 0.0, ((0, 0),) * 5))
    assert (record.label, record.class_name, record.quality) == (UNKNOWN, None, Quality.BAD)
    assert record.reasons == (Reason.NEVER_WRITTEN,)
    assert {value.value for value in record.values} == {None}
    check_event(record, bundle)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((0x7FC0, 0), Reason.NOT_A_NUMBER),
        ((0xFFFF, 0xFFFF), Reason.NOT_A_NUMBER),
        ((0x7F80, 1), Reason.NOT_A_NUMBER),
        ((0x7F80, 0), Reason.INFINITE),
        ((0xFF80, 0), Reason.INFINITE),
        ((0, 1), Reason.DENORMAL),
        ((0x807F, 0xFFFF), Reason.DENORMAL),
        ((0xC7C3, 0x5000), Reason.SENTINEL),  # -100000
    ],
)
@pytest.mark.parametrize("place", [0, 4])
def test_one_bad_register_pair_is_unknown_and_shows_no_number(
    bundle: Bundle, words: tuple[int, int], reason: Reason, place: int
) -> None:
    name = bundle.manifest.feature_names[place]
    datamap = with_tag(bundle.datamap, name, invalid=(0xC7C35000,))
    row = list(GOLDEN_WORDS)
    row[place] = words
    record = Pipeline(bundle, datamap).run(Frame("device", 0.0, tuple(row)))
    assert (record.label, record.class_name, record.confidence, record.quality) == (UNKNOWN, None, None, Quality.BAD)
    assert record.reasons == (f"{name}: {reason}",)
    assert (record.values[place].value, record.values[place].reason) == (None, reason)
    assert all(value.quality is Quality.GOOD for i, value in enumerate(record.values) if i != place)
    check_event(record, bundle)


@pytest.mark.parametrize("place", [0, 4])
def test_a_tag_that_could_not_be_read_leaves_the_others_their_values(bundle: Bundle, place: int) -> None:
    bad = tuple(Reason.DEVICE_FAILURE if i == place else None for i in range(5))
    words = tuple(() if i == place else held for i, held in enumerate(GOLDEN_WORDS))
    record = Pipeline(bundle).run(Frame("device", 0.0, words, bad=bad))
    name = bundle.manifest.feature_names[place]
    assert (record.label, record.class_name, record.quality) == (UNKNOWN, None, Quality.BAD)
    assert record.reasons == (f"{name}: device_failure",)
    for i, value in enumerate(record.values):
        if i == place:
            assert (value.value, value.quality, value.reason) == (None, Quality.BAD, Reason.DEVICE_FAILURE)
        else:
            assert value.value == pytest.approx(HEALTHY[i])
            assert value.quality is Quality.GOOD
    check_event(record, bundle)


def test_what_is_wrong_with_every_tag_is_said_once_and_no_torn_value_is_shown(bundle: Bundle) -> None:
    record = Pipeline(bundle).run(Frame("device", 0.0, GOLDEN_WORDS, bad=(Reason.TORN,) * 5))
    assert (record.label, record.class_name, record.quality) == (UNKNOWN, None, Quality.BAD)
    assert record.reasons == ("torn",)
    assert {(value.value, value.reason) for value in record.values} == {(None, Reason.TORN)}
    check_event(record, bundle)


def test_only_a_map_that_was_read_whole_can_be_found_never_written(bundle: Bundle) -> None:
    zeros = ((0, 0), (0, 0), (0, 0), (0, 0), ())
    record = Pipeline(bundle).run(Frame("device", 0.0, zeros, bad=(None,) * 4 + (Reason.DEVICE_FAILURE,)))
    assert "never_written" not in record.reasons
    assert record.label == UNKNOWN


def test_an_uncertain_reading_keeps_its_label(bundle: Bundle) -> None:
    datamap = with_tag(bundle.datamap, "impedance", max_step=0.5, expect_change_s=10.0)
    pipeline = Pipeline(bundle, datamap, continuity=Continuity(datamap))
    near = encode_row(datamap.tags, (*HEALTHY[:4], HEALTHY[4] + 0.6))
    for frame, reasons in [
        (Frame("device", 0.0, GOLDEN_WORDS, settling=True), ("settling",)),
        (Frame("device", 0.0, GOLDEN_WORDS, monotonic_s=9.0), ()),
        (Frame("device", 0.0, GOLDEN_WORDS, monotonic_s=10.0), ("impedance: frozen",)),
        (Frame("device", 0.0, near, monotonic_s=11.0), ("impedance: jumped",)),
        (Frame("device", 0.0, near, monotonic_s=12.0), ()),
    ]:
        record = pipeline.run(frame)
        assert record.reasons == reasons
        assert record.quality is (Quality.UNCERTAIN if reasons else Quality.GOOD)
        assert (record.label, record.class_name) == ("healthy", "healthy")
        check_event(record, bundle)


def test_far_outside_training_stays_unknown_when_it_also_jumped(bundle: Bundle) -> None:
    datamap = with_tag(bundle.datamap, "impedance", max_step=0.5)
    pipeline = Pipeline(bundle, datamap, continuity=Continuity(datamap))
    far = encode_row(datamap.tags, (*HEALTHY[:4], 50.0))
    pipeline.run(Frame("device", 0.0, GOLDEN_WORDS))
    record = pipeline.run(Frame("device", 0.0, far))
    assert (record.label, record.reasons) == (UNKNOWN, ("impedance: outside_training",))


def test_a_wrong_word_order_shows_as_such(bundle: Bundle) -> None:
    swapped = DataMap(tuple(dataclasses.replace(tag, word_order="CDAB") for tag in bundle.datamap.tags))
    record = Pipeline(bundle, swapped).run(Frame("device", 0.0, GOLDEN_WORDS))
    assert record.label == UNKNOWN
    check_event(record, bundle)


def test_outside_the_valid_range_is_unknown_and_the_value_is_kept(bundle: Bundle) -> None:
    datamap = with_tag(bundle.datamap, "plate_voltage", valid=(0.0, 427.0))
    record = run(bundle, HEALTHY, datamap)
    assert (record.label, record.class_name, record.quality) == (UNKNOWN, None, Quality.BAD)
    assert record.reasons == ("plate_voltage: out_of_range",)
    assert record.values[0].value == pytest.approx(427.3355)


@pytest.mark.parametrize(("high", "reasons"), [(0.6, ()), (0.5999999, ("heater_current: out_of_range",))])
def test_an_end_of_the_valid_range_is_valid_as_a_float_holds_it(
    bundle: Bundle, high: float, reasons: tuple[str, ...]
) -> None:
    datamap = with_tag(bundle.datamap, "heater_current", valid=(0.0, high))
    place = datamap.names.index("heater_current")
    row = [*HEALTHY[:place], 0.6, *HEALTHY[place + 1 :]]
    assert Reader(datamap).read(Frame("device", 0.0, encode_row(datamap.tags, row))).reasons == reasons


def test_the_sites_valid_range_wins_over_the_bundles(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path)
    strict = dataclasses.replace(bundle, datamap=with_tag(bundle.datamap, "impedance", valid=(100.0, 200.0)))
    assert run(strict, HEALTHY).label == UNKNOWN
    assert run(strict, HEALTHY, bundle.datamap).label == "healthy"
    wide = with_tag(bundle.datamap, "impedance", valid=(0.0, 60.0))
    assert run(strict, HEALTHY, wide).label == "healthy"


def test_far_outside_training_is_uncertain_and_unknown_though_the_model_is_asked(bundle: Bundle) -> None:
    feature = bundle.manifest.features[1]
    low, high = feature.envelope
    assert (low, high) == (feature.minimum - 3 * feature.std, feature.maximum + 3 * feature.std)
    datamap = with_tag(bundle.datamap, feature.name, type="float64", address=20)
    for value, reason in [
        (low, None),
        (high, None),
        (math.nextafter(low, -math.inf), Reason.OUTSIDE_TRAINING),
        (math.nextafter(high, math.inf), Reason.OUTSIDE_TRAINING),
    ]:
        record = run(bundle, (HEALTHY[0], value, *HEALTHY[2:]), datamap)
        assert record.class_name in bundle.classes
        if reason is None:
            assert (record.label, record.quality, record.reasons) == (record.class_name, Quality.GOOD, ())
        else:
            assert (record.label, record.quality) == (UNKNOWN, Quality.UNCERTAIN)
            assert record.reasons == (f"{feature.name}: {reason}",)


def test_values_that_never_came_together_are_uncertain_and_unknown(tmp_path: Path) -> None:
    """Two tags that rise together: along the diagonal one may go far, across it hardly."""
    along = ClassEnvelope(limit=2.0, centres=[[0.0, 0.0]], whitenings=[[0.5, -4.0, 4.0]])
    bundle = make_bundle(
        tmp_path / "model",
        classes=("low", "high"),
        mean=(0.0, 0.0),
        std=(1.0, 1.0),
        layers=centre_layers(np.array([[-1.0, -1.0], [1.0, 1.0]])),
        joint=[along, along],
    )
    together = run(bundle, (2.0, 2.0))
    assert (together.label, together.quality, together.reasons) == ("high", Quality.GOOD, ())
    odd = run(bundle, (2.0, 1.0))
    assert (odd.label, odd.class_name, odd.quality) == (UNKNOWN, "high", Quality.UNCERTAIN)
    assert odd.reasons == (Reason.UNUSUAL_COMBINATION,)
    assert [value.quality for value in odd.values] == [Quality.GOOD] * 2
    far = run(bundle, (2.0, 1e6))
    assert far.reasons == ("x1: outside_training",)  # which says it all


@pytest.mark.parametrize("value", [3.3e38, -3.3e38, 1e300, -1.7e308])
def test_a_value_beyond_the_models_arithmetic_is_unknown(bundle: Bundle, value: float) -> None:
    datamap = with_tag(bundle.datamap, "impedance", type="float64", address=20)
    record = run(bundle, (*HEALTHY[:4], value), datamap)
    assert (record.label, record.quality) == (UNKNOWN, Quality.UNCERTAIN)
    assert record.reasons == ("impedance: outside_training",)
    assert record.values[4].value == value


@pytest.mark.parametrize("valid", [None, (0.0, 60.0)])
def test_a_scale_that_carries_a_value_to_infinity_is_unknown(bundle: Bundle, valid: tuple[float, float] | None) -> None:
    datamap = with_tag(bundle.datamap, "impedance", scale=1e300, valid=valid)
    record = Pipeline(bundle, datamap).run(Frame("device", 0.0, (*GOLDEN_WORDS[:4], (0x7149, 0xF2CA))))  # 1e30
    assert (record.label, record.class_name, record.values[4].value) == (UNKNOWN, None, None)
    assert record.reasons == ("impedance: infinite",)
    check_event(record, bundle)


def test_low_confidence_is_unknown_with_good_quality(bundle: Bundle) -> None:
    middle = tuple((a + b) / 2 for a, b in zip(tiny_row(bundle, "failsoon"), tiny_row(bundle, "healthy"), strict=True))
    record = run(bundle, middle, min_confidence=0.9)
    assert (record.label, record.quality, record.reasons) == (UNKNOWN, Quality.GOOD, (Reason.LOW_CONFIDENCE,))
    assert record.class_name in ("failsoon", "healthy")
    assert record.confidence is not None
    assert record.confidence < 0.9
    assert run(bundle, middle, min_confidence=record.confidence).label == record.class_name
    above = math.nextafter(record.confidence, 1)
    assert run(bundle, middle, min_confidence=above).label == UNKNOWN


def test_scale_and_offset_of_the_site_are_undone(bundle: Bundle) -> None:
    datamap = with_tag(bundle.datamap, "plate_voltage", type="uint16", scale=0.1, offset=-5.0)
    words = ((4323,), *GOLDEN_WORDS[1:])  # 4323 x 0.1 - 5 = 427.3
    record = Pipeline(bundle, datamap).run(Frame("device", 0.0, words))
    assert record.values[0].value == pytest.approx(427.3)
    assert record.label == "healthy"


def test_other_tags_are_refused_before_anything_runs(bundle: Bundle) -> None:
    with pytest.raises(ModelRefusedError, match="needs 'impedance', which the config does not have"):
        Pipeline(bundle, DataMap(bundle.datamap.tags[:4]))


def test_the_reader_alone_knows_no_model() -> None:
    tags = (Tag("a", 0, type="int16", valid=(0.0, 10.0)), Tag("b", 1, "coil", "bit"))
    record = Reader(DataMap(tags)).read(Frame("device", 0.0, ((11,), (True,))))
    assert [(value.name, value.value, value.quality) for value in record.values] == [
        ("a", 11.0, Quality.BAD),
        ("b", 1.0, Quality.GOOD),
    ]
    assert (record.quality, record.reasons) == (Quality.BAD, ("a: out_of_range",))
