"""The table that decides whether a reading may be trusted, row by row, and the decision after it."""

import math

import pytest

from ampedge.datamap import Tag
from ampedge.decision import decide
from ampedge.features import selector
from ampedge.quality import judge_raw, judge_value, never_written, worst
from ampedge.records import UNKNOWN, Quality, Reason, TagValue

FLOAT32_NORMAL = 2.0**-126
VALID = Tag("x", 0, unit="V", valid=(-10.0, 800.0))
ANY = Tag("x", 0, unit="V")


@pytest.mark.parametrize(
    ("raw", "is_sentinel", "reason"),
    [
        (math.nan, False, Reason.NOT_A_NUMBER),
        (-math.nan, False, Reason.NOT_A_NUMBER),
        (math.inf, False, Reason.INFINITE),
        (-math.inf, False, Reason.INFINITE),
        (2.0**-149, False, Reason.DENORMAL),
        (-(2.0**-127), False, Reason.DENORMAL),
        (math.nextafter(FLOAT32_NORMAL, 0), False, Reason.DENORMAL),
        (FLOAT32_NORMAL, False, None),
        (-FLOAT32_NORMAL, False, None),
        (0.0, False, None),
        (-0.0, False, None),
        (1.0, False, None),
        (32767.0, True, Reason.SENTINEL),
        (0.0, True, Reason.SENTINEL),
        (math.nan, True, Reason.SENTINEL),
    ],
)
def test_raw_numbers(raw: float, is_sentinel: bool, reason: Reason | None) -> None:
    assert judge_raw(raw, smallest_normal=FLOAT32_NORMAL, is_sentinel=is_sentinel) == reason


def test_whole_numbers_have_no_denormals() -> None:
    assert judge_raw(1.0, smallest_normal=0.0, is_sentinel=False) is None


BELOW, ABOVE = math.nextafter(-10.0, -math.inf), math.nextafter(800.0, math.inf)


@pytest.mark.parametrize(
    ("value", "quality", "reason"),
    [
        (-10.0, Quality.GOOD, None),
        (800.0, Quality.GOOD, None),
        (0.0, Quality.GOOD, None),
        (BELOW, Quality.BAD, Reason.OUT_OF_RANGE),
        (ABOVE, Quality.BAD, Reason.OUT_OF_RANGE),
        (-1e300, Quality.BAD, Reason.OUT_OF_RANGE),
    ],
)
def test_the_valid_range_is_closed_and_a_value_outside_is_kept(
    value: float, quality: Quality, reason: Reason | None
) -> None:
    assert judge_value(VALID, value, None) == TagValue("x", value, "V", quality, reason)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (1.0, None),
        (2.0, None),
        (math.nextafter(1.0, 0), Reason.OUTSIDE_TRAINING),
        (math.nextafter(2.0, 3), Reason.OUTSIDE_TRAINING),
    ],
)
def test_outside_training_is_uncertain(value: float, reason: Reason | None) -> None:
    quality = Quality.GOOD if reason is None else Quality.UNCERTAIN
    assert judge_value(ANY, value, (1.0, 2.0)) == TagValue("x", value, "V", quality, reason)


def test_the_valid_range_is_judged_before_the_training_range() -> None:
    assert judge_value(VALID, 801.0, (0.0, 10.0)).reason is Reason.OUT_OF_RANGE


@pytest.mark.parametrize("tag", [ANY, VALID])
@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_a_scale_that_carries_a_value_to_infinity_leaves_no_value(tag: Tag, value: float) -> None:
    # An event is JSON, which has no infinity.
    assert judge_value(tag, value, (0.0, 1.0)) == TagValue("x", None, "V", Quality.BAD, Reason.INFINITE)


def test_never_written_means_every_register_zero() -> None:
    assert never_written([(0, 0), (0, 0)])
    assert never_written([(False,), (0, 0, 0, 0)])
    assert not never_written([(0, 0), (0, 1)])
    assert not never_written([(0x8000, 0), (0, 0)])  # a negative zero was written by somebody
    assert not never_written([(True,)])


def test_the_worst_value_decides() -> None:
    good, uncertain, bad = (TagValue("x", 1.0, "", quality) for quality in Quality)
    assert worst([good, good]) is Quality.GOOD
    assert worst([good, uncertain, good]) is Quality.UNCERTAIN
    assert worst([uncertain, bad, good]) is Quality.BAD
    assert worst([]) is Quality.GOOD


@pytest.mark.parametrize(
    ("confidence", "quality", "outside", "expected"),
    [
        (0.9, Quality.GOOD, False, ("healthy", None)),
        (0.5, Quality.GOOD, False, ("healthy", None)),
        (math.nextafter(0.5, 0), Quality.GOOD, False, (UNKNOWN, Reason.LOW_CONFIDENCE)),
        (0.9, Quality.UNCERTAIN, False, ("healthy", None)),
        (0.9, Quality.UNCERTAIN, True, (UNKNOWN, None)),
        (0.9, Quality.BAD, False, (UNKNOWN, None)),
    ],
)
def test_decision(confidence: float, quality: Quality, outside: bool, expected: tuple[str, Reason | None]) -> None:
    assert decide("healthy", confidence, quality=quality, outside_training=outside, min_confidence=0.5) == expected


def test_features_are_picked_by_name() -> None:
    select = selector(["a", "b", "c"], ["c", "a"])
    assert select([TagValue("a", 1.0, ""), TagValue("b", 2.0, ""), TagValue("c", 3.0, "")]) == (3.0, 1.0)
    with pytest.raises(KeyError):
        selector(["a", "b"], ["a", "x"])
