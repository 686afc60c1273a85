"""Which tags are named for a label, in which order, with which numbers, and how it reads."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ampedge.causes import in_words
from ampedge.cli import live
from ampedge.modbus.codec import encode_row
from ampedge.model.bundle import Bundle, load_bundle
from ampedge.model.causes import CauseFinder, cause_finder
from ampedge.model.manifest import NormalRange
from ampedge.model.network import DenseNetwork
from ampedge.pipeline import Pipeline
from ampedge.records import Cause, Frame, Reason, Record
from ampedge.samples import BUNDLE, DATA, shipped
from ampedge.table import read_table
from ampedge.training.rows.dataset import dataset
from ampedge.training.settings import TableSettings
from ampedge.wire import Origin, event_payload, parse_event
from tests.support.event_schema import valid_event
from tests.support.one_tag_faults import one_tag_faults, rows_of

PROTOCOL_1 = Path(__file__).parent / "bundles" / "protocol_1.ampedge"
TOGETHER = np.array([[[1.0, -1.0], [0.0, 1.0]]])
"""Whitens what has the covariance [[1, 1], [1, 2]]: of two tags that rise together, the second varies more."""


@pytest.fixture(scope="module")
def amplifier() -> Bundle:
    return load_bundle(shipped(BUNDLE))


def finder(
    scores: list[list[float]],
    *,
    normal: tuple[float, float] = (-3.0, 3.0),
    whitening: np.ndarray = TOGETHER,
    mean: float = 10.0,
    std: float = 2.0,
) -> CauseFinder:
    """That of tags with a mean of 10 and a deviation of 2; the row of `scores` of each tag: class 0, class 1.

    Class 0 is the normal one, around the mean; `normal` is its range in deviations.
    """
    count = len(scores)
    layers = [(np.array(scores, dtype=np.float32), np.zeros(2, dtype=np.float32))]
    network = DenseNetwork([mean] * count, [std] * count, layers)
    low, high = (mean + end * std for end in normal)
    named = [(f"tag{at}", "V", NormalRange(low=low, centre=mean, high=high)) for at in range(count)]
    return CauseFinder(network, named, np.zeros((1, count)), whitening, 0)


def test_the_tag_is_named_without_which_the_others_fit_worked_out_by_hand() -> None:
    """Reading (2, 0) scaled.  With x1 = 0, x0 is expected at 0; with x0 = 2, x1 is expected at 2.

    Of x1 alone 0 is the very middle, of x0 alone 2 is two deviations off; the score x0 - x1 falls by 2 in both.
    """
    (cause,) = finder([[0, 1], [0, -1]]).causes((14.0, 10.0), 1)
    assert cause == Cause("tag0", 14.0, "V", 4.0, 16.0, 1.0, expected=pytest.approx(10.0))


def test_a_tag_that_the_class_does_not_depend_on_is_not_named() -> None:
    (cause,) = finder([[0, 0], [0, -1]]).causes((14.0, 10.0), 1)
    assert cause == Cause("tag1", 10.0, "V", 4.0, 16.0, 1.0, expected=pytest.approx(14.0))


def test_of_the_normal_class_it_is_the_tag_that_does_not_fit() -> None:
    assert [cause.tag for cause in finder([[0, 1], [0, -1]]).causes((14.0, 10.0), 0)] == ["tag0"]


ALONE = np.eye(5)[np.newaxis]


@pytest.mark.parametrize(
    ("reading", "shares"),
    [
        ((9, 0, 0, 0, 0), {"tag0": 1.0}),
        ((8, 2, 0, 0, 0), {"tag0": 0.8}),  # 80 % are enough
        ((7, 3, 0, 0, 0), {"tag0": 0.7, "tag1": 0.3}),
        ((-7, 3, 0, 0, 0), {"tag1": 1.0}),  # what speaks against the class is no cause
        ((4, 3, 2, 1.5, 0), {"tag0": 4 / 10.5, "tag1": 3 / 10.5, "tag2": 2 / 10.5}),  # three at most
        ((4, 3, 0.9, 0.9, 0.9), {"tag0": 4 / 7, "tag1": 3 / 7}),  # none from within its range beside others
    ],
)
def test_tags_are_named_until_they_explain_most(reading: tuple[float, ...], shares: dict[str, float]) -> None:
    """The score of class 1 is the sum of all tags, each of which is normal from -1 to 1 and knows no other."""
    made = finder([[0, 1]] * 5, normal=(-1, 1), whitening=ALONE)
    found = made.causes([10 + 2 * value for value in reading], 1)
    assert {cause.tag: cause.share for cause in found} == pytest.approx(shares)
    assert [cause.tag for cause in found] == list(shares)
    assert all(cause.expected is None for cause in found)


def test_a_tag_within_its_range_that_explains_little_gives_way() -> None:
    """Beside x0 = 6, x1 is expected at 6, so it fits least; but it has a hundredth of the score."""
    close = np.array([[[1.0, -20.0], [0.0, 20.0]]])
    steep, flat = [0.0, 1.0], [0.0, -0.005]
    found = finder([steep, flat], normal=(-1, 1), whitening=close).causes((22.0, 10.0), 1)
    assert [cause.tag for cause in found] == ["tag0"]


@pytest.mark.parametrize("whitening", [np.zeros((1, 2, 2)), np.full((1, 2, 2), 1e200), -TOGETHER])
def test_an_envelope_that_means_nothing_names_nothing(whitening: np.ndarray) -> None:
    assert finder([[0, 1], [0, -1]], whitening=whitening).causes((14.0, 10.0), 1) == ()


def test_many_tags_are_not_all_tried() -> None:
    made = finder([[0, 1]] * 200, normal=(-1, 1), whitening=np.eye(200)[np.newaxis])
    sizes: list[int] = []
    scores = made._network.scores
    made._network.scores = lambda rows: (sizes.append(len(rows)), scores(rows))[1]  # type: ignore[method-assign]
    found = made.causes([*[12.5] * 199, 30.0], 1)
    assert found[0].tag == "tag199"
    assert max(sizes) <= 33


def test_the_moved_tag_of_one_tag_faults_is_the_first_one_named(amplifier: Bundle) -> None:
    """At least 95 of 100, of the shipped model; with and without a joint envelope better than the largest stray."""
    data = dataset(read_table(shipped(DATA)), TableSettings())
    rows = rows_of([data.classes[target] for target in data.targets], data.values, "healthy", 200)
    faults = one_tag_faults(amplifier, rows, step=0.5)
    assert len(faults) > 1000
    assert {fault.tag for fault in faults} == set(amplifier.manifest.feature_names)
    hits = {}
    for joint in (amplifier.joint, None):
        made = cause_finder(amplifier.manifest, amplifier.network, joint, [""] * 5)
        assert made is not None
        named = [made.causes(fault.values, fault.said)[0].tag == fault.tag for fault in faults]
        hits[joint is None] = sum(named) / len(faults)
    assert hits[False] >= 0.95
    assert hits[True] >= 0.9


def run(bundle: Bundle, *values: float, reasons: bool = True) -> Record:
    pipeline = Pipeline(bundle, reasons=reasons)
    return pipeline.run(Frame("amp", 0.0, encode_row(pipeline.datamap.tags, values)))


HEALTHY = (427.335513967164, -12.072760045821497, 0.2876259585530916, 0.8945856193036692, 7.502195010331243)
DISTORTED = (*HEALTHY[:3], 4.8, HEALTHY[4])


def test_a_fault_says_why_and_a_normal_label_does_not(amplifier: Bundle) -> None:
    record = run(amplifier, *DISTORTED)
    assert record.class_name != "healthy"
    (cause,) = record.because
    normal = amplifier.manifest.features[3].normal
    assert normal is not None
    assert (cause.tag, cause.value, cause.unit) == ("output_thd", pytest.approx(4.8), "%")
    assert (cause.low, cause.high, cause.expected) == (normal.low, normal.high, None)
    assert run(amplifier, *HEALTHY).because == ()
    assert run(amplifier, *DISTORTED, reasons=False).because == ()
    assert run(amplifier, *HEALTHY[:4], 1e6).because == ()  # its own reason, outside_training, says it


@pytest.mark.parametrize("devices", [1, 2])
def test_the_live_line_of_serve_tells_it_last(amplifier: Bundle, devices: int) -> None:
    """Where a line does not fit the terminal its end is lost, and that must not be that the broker is away."""
    loop = SimpleNamespace(name="amp", latest=run(amplifier, *DISTORTED), age_s=lambda: 0.5, rate=lambda: 1.0)
    loop.poller = SimpleNamespace(skipped=0)
    service = SimpleNamespace(devices=[loop] * devices, normal_label="healthy")
    service.publisher = SimpleNamespace(connected=False)
    service.log = SimpleNamespace(counts=SimpleNamespace(waiting=0, dropped=0))
    shown = live.lines(service).plain.splitlines()  # type: ignore[arg-type]
    why = "output_thd 4.8 % (healthy 0.7 to 2.1)"
    if devices == 1:
        assert [line.endswith(f"good  0.5 s ago  1/s  MQTT away  {why}") for line in shown] == [True]
    else:
        assert [line.endswith(f"good  0.5 s ago  1/s  {why}") for line in shown[:2]] == [True, True]
        assert shown[2:] == ["MQTT away"]


def test_an_odd_combination_names_the_tag_that_does_not_fit(amplifier: Bundle) -> None:
    """Of readings that are called healthy but fit no healthy one."""
    drawn = np.random.RandomState(0)
    low, high = (np.array([getattr(f.normal, end) for f in amplifier.manifest.features]) for end in ("low", "high"))
    records = [run(amplifier, *drawn.uniform(low, high)) for _ in range(300)]
    odd = [r for r in records if r.class_name == "healthy" and Reason.UNUSUAL_COMBINATION in r.reasons]
    assert odd
    for record in odd:
        (cause,) = record.because
        assert cause.low <= cause.value <= cause.high
        assert cause.expected is not None
        assert cause.share == 1


def test_a_model_that_does_not_say_what_is_normal_gives_no_cause() -> None:
    old = load_bundle(PROTOCOL_1)
    labels = [run(old, *row) for row in np.array(dataset(read_table(shipped(DATA)), TableSettings()).values[:20])]
    assert any(record.label != "healthy" for record in labels)
    assert all(record.because == () for record in labels)


def test_the_event_carries_it_and_one_without_it_is_as_before(amplifier: Bundle) -> None:
    origin = Origin("amp", "0123456789abcdef", "m", "1", amplifier.classes, "healthy", 1.0)
    record = run(amplifier, *DISTORTED)
    payload = event_payload(record, origin, 0)
    valid_event(payload)
    assert parse_event(payload).because == record.because
    without = event_payload(run(amplifier, *HEALTHY), origin, 0)
    assert b"because" not in without
    assert parse_event(without).because == ()
    plain = json.loads(payload)
    for wrong in (7, [7], [{}], [plain["because"][0] | {"value": float("inf")}]):
        with pytest.raises(ValueError, match=r"not an event|is no value"):
            parse_event(json.dumps(plain | {"because": wrong}).encode())


def test_every_sample_of_another_class_has_its_causes_in_a_valid_event(amplifier: Bundle) -> None:
    origin = Origin("amp", "0123456789abcdef", "m", "1", amplifier.classes, "healthy", 1.0)
    rows = np.array(dataset(read_table(shipped(DATA)), TableSettings()).values[:150])
    for row in rows:
        record = run(amplifier, *row)
        valid_event(event_payload(record, origin, 0))
        outside = any(value.reason is Reason.OUTSIDE_TRAINING for value in record.values)
        assert outside or bool(record.because) == (
            record.class_name != "healthy" or Reason.UNUSUAL_COMBINATION in record.reasons
        )


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (Cause("THD", 4.83, "%", 0.698, 2.201, 0.7), "THD 4.8 % (ok 0.7 to 2.2)"),
        (Cause("heater", 0.2712, "A", 0.2899, 0.3101, 0.3), "heater 0.271 A (ok 0.290 to 0.310)"),
        (Cause("speed", 1382.2, "", 1300, 1380, 1.0), "speed 1382 (ok 1300 to 1380)"),
        (Cause("THD", 2.2034, "%", 0.698, 2.201, 1.0), "THD 2.203 % (ok 0.698 to 2.201)"),  # not as if within
        (Cause("bias", -0.04, "V", -12.0, 12.0, 1.0, expected=3.2), "bias 0 V (ok -12 to 12, here 3)"),
        (Cause("lux", 433.0, "lx", 0.0, 0.0, 1.0), "lux 433 lx (ok 0 to 0)"),
        (Cause("x", 0.0, "", 0.0, 0.0, 1.0), "x 0.0 (ok 0.0 to 0.0)"),
        (Cause("x", 1e308, "V", -1e308, 1e308, 1.0), "x 1e+308 V (ok -1e+308 to 1e+308)"),
        (Cause("x", 1e-320, "", 0.0, 5e-324, 1.0), "x 0.000000000000 (ok 0.000000000000 to 0.000000000000)"),
    ],
)
def test_a_cause_reads_as_a_person_would_write_it(cause: Cause, said: str) -> None:
    assert in_words([cause], "ok") == said


def test_several_causes_stand_in_one_line() -> None:
    causes = (Cause("a", 2.0, "V", 0, 1, 0.6), Cause("b", -3.0, "A", 0, 1, 0.4))
    assert in_words(causes, "healthy") == "a 2.0 V (healthy 0.0 to 1.0), b -3.0 A (healthy 0.0 to 1.0)"
    assert in_words((), "healthy") == ""
