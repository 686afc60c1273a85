"""The decision from a class to a label, and how sure it says it is."""

import pytest

from ampedge.decision import decide, in_percent
from ampedge.records import Quality, Reason


@pytest.mark.parametrize(
    ("confidence", "shown"), [(1.0, "100.0%"), (0.99999, "99.9%"), (0.5, "50.0%"), (0.0, "0.0%"), (0.6667, "66.6%")]
)
def test_only_certainty_is_shown_as_certain(confidence: float, shown: str) -> None:
    assert in_percent(confidence) == shown


@pytest.mark.parametrize(
    ("confidence", "quality", "outside", "expected"),
    [
        (0.9, Quality.GOOD, False, ("worn", None)),
        (0.5, Quality.GOOD, False, ("worn", None)),
        (0.4999, Quality.GOOD, False, ("unknown", Reason.LOW_CONFIDENCE)),
        (0.9, Quality.UNCERTAIN, False, ("worn", None)),
        (0.9, Quality.UNCERTAIN, True, ("unknown", None)),
        (0.9, Quality.BAD, False, ("unknown", None)),
    ],
)
def test_a_class_becomes_a_label_only_where_it_can_be_trusted(
    confidence: float, quality: Quality, outside: bool, expected: tuple[str, Reason | None]
) -> None:
    found = decide("worn", confidence, quality=quality, outside_training=outside, min_confidence=0.5)
    assert found == expected
