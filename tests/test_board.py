"""The monitor's board: what messages add up to, and when a label no longer stands for now."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ampedge.clock import FakeClock
from ampedge.errors import UsageError
from ampedge.monitor.board import Board, Kind
from ampedge.monitor.readings import HISTORY
from ampedge.monitor.view import Tone, View, in_words, printable
from ampedge.mqtt.subscriber import Message
from ampedge.records import Quality

TOPIC, EVENT, STATUS = "amp/inference", "amp/inference/event", "amp/status"


class Feed:
    """A board, a clock and a service with a sequence number."""

    def __init__(self, normal_label: str | None = None) -> None:
        self.clock = FakeClock()
        self.board = Board(TOPIC, STATUS, normal_label=normal_label)
        self.sequence = 0

    def send(self, topic: str, payload: bytes | str, *, retained: bool = False) -> Kind:
        data = payload.encode() if isinstance(payload, str) else payload
        return self.board.take(Message(topic, data, retained, self.clock.monotonic()), time_s=self.clock.time())

    def event(self, label: str = "healthy", *, retained: bool = False, **changed: Any) -> Kind:
        return self.send(EVENT, json.dumps(self.plain(label, **changed)), retained=retained)

    def plain(self, label: str, **changed: Any) -> dict[str, Any]:
        plain = {
            "schema": 1,
            "device": "amp1",
            "boot": "b1",
            "sequence": self.sequence,
            "time": "2026-11-23T00:00:00.000Z",
            "label": label,
            "class": label,
            "confidence": 0.75,
            "probabilities": None,
            "quality": "good",
            "reasons": [],
            "values": {"volts": {"value": float(self.sequence), "unit": "V", "quality": "good", "reason": None}},
            "model": {"name": "tiny", "version": "2"},
            "normal_label": "healthy",
            "interval_s": 1.0,
            "replayed": False,
        }
        self.sequence += 1
        return plain | changed

    def reading(self, label: str = "healthy", **changed: Any) -> None:
        """As serve sends it: the bare label, then the event."""
        self.send(TOPIC, label)
        self.clock.advance(0.01)
        self.event(label, **changed)

    def view(self, problem: str | None = None) -> View:
        return self.board.view(self.clock.monotonic(), problem=problem)


def test_an_empty_board_shows_nothing_and_is_not_stale() -> None:
    view = Feed().view()
    assert (view.label, view.stale, view.age_s, view.rate, view.readings) == (None, None, None, 0.0, 0)


def test_a_reading_counts_once_though_label_and_event_tell_it() -> None:
    feed = Feed()
    for _ in range(3):
        feed.reading()
        feed.clock.advance(0.99)
    view = feed.view()
    assert (view.label, view.readings, view.stale) == ("healthy", 3, None)
    assert view.age_s == pytest.approx(0.99, abs=0.02)
    assert view.rate == pytest.approx(1.0, rel=0.02)
    assert (view.confidence, view.quality, view.device, view.model) == (0.75, Quality.GOOD, "amp1", "tiny 2")


def test_values_come_with_their_history_and_gaps() -> None:
    feed = Feed()
    for i in range(HISTORY + 5):
        broken = {"volts": {"value": None, "unit": "V", "quality": "bad", "reason": "sentinel"}}
        feed.event(**({"values": broken} if i == HISTORY + 3 else {}))
    (row,) = feed.view().values
    assert (row.name, row.value, row.unit, row.quality) == ("volts", HISTORY + 4.0, "V", Quality.GOOD)
    assert row.history == (*map(float, range(5, HISTORY + 3)), None, HISTORY + 4.0)


def test_a_tag_that_is_gone_is_forgotten() -> None:
    feed = Feed()
    feed.event()
    feed.event(values={"amps": {"value": 1, "unit": "A", "quality": "good", "reason": None}})
    assert [row.name for row in feed.view().values] == ["amps"]


def test_changes_keep_the_last_five_with_their_time() -> None:
    feed = Feed()
    labels = ["healthy", "healthy", "a", "b", "a", "a", "healthy", "unknown"]
    times = []
    for label in labels:
        times.append(feed.clock.time())
        feed.event(label)
        feed.clock.advance(1)
    assert feed.view().changes == (
        (times[2], "a"),
        (times[3], "b"),
        (times[4], "a"),
        (times[6], "healthy"),
        (times[7], "unknown"),
    )


@pytest.mark.parametrize(
    ("label", "tone"), [("healthy", Tone.NORMAL), ("unknown", Tone.UNKNOWN), ("failsoon", Tone.FAULT)]
)
def test_the_tone_follows_the_normal_label_of_the_event(label: str, tone: Tone) -> None:
    feed = Feed(normal_label="failsoon")
    feed.event(label)
    assert feed.view().tone is tone


@pytest.mark.parametrize(
    ("normal", "label", "tone"),
    [
        (None, "healthy", Tone.UNTOLD),
        ("fine", "fine", Tone.NORMAL),
        ("fine", "x", Tone.FAULT),
        (None, "unknown", Tone.UNKNOWN),
    ],
)
def test_the_tone_of_bare_labels_follows_the_config(normal: str | None, label: str, tone: Tone) -> None:
    feed = Feed(normal_label=normal)
    feed.send(TOPIC, label)
    assert feed.view().tone is tone


def test_stale_after_three_intervals_and_a_second() -> None:
    feed = Feed()
    feed.reading(interval_s=2.0)
    feed.clock.advance(6.9)
    assert feed.view().stale is None
    feed.clock.advance(0.2)
    assert feed.view().stale == "nothing new"
    feed.reading(interval_s=2.0)
    assert feed.view().stale is None


@pytest.mark.parametrize(("gap_s", "limit_s"), [(1.0, 5.0), (10.0, 30.0)])
def test_bare_labels_are_stale_after_five_seconds_or_three_of_their_gaps(gap_s: float, limit_s: float) -> None:
    feed = Feed()
    for _ in range(4):
        feed.clock.advance(gap_s)
        assert feed.send(TOPIC, "healthy") is Kind.LABEL
    feed.clock.advance(limit_s - 0.1)
    assert feed.view().stale is None
    feed.clock.advance(0.2)
    assert feed.view().stale == "nothing new"
    feed.send(TOPIC, "healthy")
    feed.clock.advance(limit_s - 0.1)
    assert feed.view().stale is None, "the silence has not changed what is usual"


def test_stale_when_the_service_goes_offline_until_the_next_reading() -> None:
    feed = Feed()
    feed.reading()
    assert feed.send(STATUS, "offline") is Kind.STATUS
    assert (feed.view().stale, feed.view().service) == ("service offline", "offline")
    feed.send(STATUS, "online")
    assert feed.view().stale is None
    feed.send(STATUS, "offline")
    feed.clock.advance(0.1)
    feed.reading()
    assert feed.view().stale is None


def test_an_offline_that_the_broker_kept_says_nothing_of_a_service_that_publishes_labels_only() -> None:
    feed = Feed()
    feed.send(STATUS, "offline", retained=True)
    feed.clock.advance(1)
    feed.send(TOPIC, "healthy")
    assert feed.view().stale is None


def test_stale_while_the_device_is_offline_but_not_for_another_one() -> None:
    feed = Feed()
    feed.send(f"{STATUS}/other", "offline")
    feed.send(f"{STATUS}/amp1", "offline")
    feed.reading("unknown")
    assert feed.view().stale == "device offline"
    assert feed.view().devices == (("amp1", "offline"), ("other", "offline"))
    feed.send(f"{STATUS}/amp1", "online")
    assert feed.view().stale is None


def test_nobody_says_that_a_device_is_online_once_its_service_is_gone() -> None:
    feed = Feed()
    feed.send(f"{STATUS}/amp1", "online")
    feed.send(f"{STATUS}/amp2", "offline")
    feed.reading()
    feed.clock.advance(0.1)
    feed.send(STATUS, "offline")
    assert feed.view().devices == (("amp1", "unknown"), ("amp2", "offline"))
    feed.send(STATUS, "online")
    feed.reading()
    assert feed.view().devices == (("amp1", "online"), ("amp2", "offline"))


def test_stale_without_the_broker() -> None:
    feed = Feed()
    feed.send(STATUS, "online")
    feed.send(f"{STATUS}/amp1", "online")
    feed.reading()
    view = feed.view(problem="It is away.")
    assert view.stale == "no connection to the broker"
    assert (view.service, view.devices) == ("unknown", (("amp1", "unknown"),))
    assert feed.view().service == "online"


def test_a_stale_label_has_no_rate() -> None:
    feed = Feed()
    for _ in range(3):
        feed.reading()
        feed.clock.advance(0.99)
    assert feed.view().rate > 0
    feed.clock.advance(60)
    assert feed.view().stale is not None
    assert feed.view().rate == 0


def test_what_was_kept_replayed_or_delivered_before_is_not_of_now() -> None:
    feed = Feed()
    assert feed.event(retained=True) is Kind.PASSED
    assert feed.event(replayed=True) is Kind.PASSED
    assert feed.send(TOPIC, "healthy", retained=True) is Kind.PASSED
    assert feed.view().label is None
    assert feed.event("a", sequence=7) is Kind.EVENT
    assert feed.event("b", sequence=7) is Kind.PASSED
    assert feed.event("b", sequence=6) is Kind.PASSED
    assert feed.view().label == "a"
    assert feed.event("c", sequence=0, boot="b2") is Kind.EVENT, "the service was started anew"


def test_what_is_no_event_is_reported_and_changes_nothing() -> None:
    feed = Feed()
    feed.reading()
    before = feed.view()
    for payload in ("", "healthy", "{}", "[1]", b"\xff\xfe\x00"):
        assert feed.send(EVENT, payload) is Kind.INVALID
    assert feed.view() == before


def test_when_events_stop_bare_labels_are_shown_again() -> None:
    feed = Feed()
    feed.reading("a")
    feed.send(TOPIC, "b")
    assert feed.view().label == "a", "its event is on its way"
    feed.clock.advance(10)
    feed.send(TOPIC, "b")
    view = feed.view()
    assert (view.label, view.stale, view.quality, view.values) == ("b", None, None, ())


def test_text_from_the_wire_cannot_steer_a_terminal() -> None:
    feed = Feed()
    evil = "a\x1b[2J\x07\x9b\u202eb\nc\ud800"
    feed.event(evil, device=evil, reasons=[f"{evil}: denormal"], model={"name": evil, "version": evil})
    feed.event(evil, values={evil: {"value": 1, "unit": evil, "quality": "good", "reason": None}})
    feed.send(STATUS, b"\x1b[31m")
    feed.send(f"{STATUS}/\x1b", b"\xff" * 1000)
    view = feed.view()
    text = repr([view.label, view.device, view.model, view.reasons, view.service, view.devices, view.changes])
    assert "\\x1b" not in text
    assert all(
        part.isprintable()
        for part in [view.label or "", view.device or "", view.service or "", *view.devices[0], view.values[0].name]
    )
    assert len(view.devices[0][1]) <= 200


@given(st.binary(max_size=300))
def test_any_payload_becomes_printable_text(payload: bytes) -> None:
    assert printable(payload).isprintable() or payload == b""


def test_reasons_in_words() -> None:
    assert in_words(("no_communication",)) == "no communication"
    assert in_words(("plate_voltage: out_of_range", "low_confidence")) == "plate_voltage out of range, low confidence"


def test_devices_are_bounded() -> None:
    feed = Feed()
    for i in range(1000):
        feed.send(f"{STATUS}/{i}", "online")
    assert len(feed.view().devices) == 50


TOPICS = st.sampled_from([TOPIC, EVENT, f"{TOPIC}/dropped", STATUS, f"{STATUS}/x", "else"])


@given(st.lists(st.tuples(TOPICS, st.binary(max_size=40), st.booleans())))
def test_no_message_breaks_the_board(messages: list[tuple[str, bytes, bool]]) -> None:
    feed = Feed()
    for topic, payload, retained in messages:
        feed.send(topic, payload, retained=retained)
        feed.view()


TEMPLATE = "amp/{device}/inference"


def dropped(count: int = 12, **changed: Any) -> str:
    plain = {"schema": 1, "device": "pump1", "boot": "b1", "first": 0, "last": 11, "count": count}
    return json.dumps(plain | {"reason": "store_full", "time": "2026-11-23T00:00:00.000Z"} | changed)


@pytest.mark.parametrize(
    ("topic", "devices", "filters"),
    [
        ("t", (), ["t", "t/event", "t/dropped"]),
        ("t", ("pump1",), ["t", "t/event", "t/dropped"]),
        ("amp/{device}/inf", (), ["amp/+/inf", "amp/+/inf/event", "amp/+/inf/dropped"]),
        ("amp/{device}/inf", ("pump1", "pump2"), ["amp/+/inf", "amp/+/inf/event", "amp/+/inf/dropped"]),
        ("amp/{device}/inf", ("pump1",), ["amp/pump1/inf", "amp/pump1/inf/event", "amp/pump1/inf/dropped"]),
        ("{device}/a/{device}", (), ["+/a/+", "+/a/+/event", "+/a/+/dropped"]),
        (
            "x-{device}",
            ("b", "a"),
            ["x-a", "x-b", "x-a/event", "x-b/event", "x-a/dropped", "x-b/dropped"],
        ),
    ],
)
def test_what_is_subscribed_to(topic: str, devices: tuple[str, ...], filters: list[str]) -> None:
    assert [*Board(topic, "s", devices=devices).topics] == [*filters, "s", "s/+"]


@pytest.mark.parametrize("topic", ["line-{device}/inference", "{device}/line-{device}"])
def test_a_name_inside_a_level_needs_known_devices(topic: str) -> None:
    with pytest.raises(UsageError, match="the devices must be known"):
        Board(topic, "s")


class Fleet(Feed):
    """Several devices on one board."""

    def __init__(self, *devices: str, topic: str = TEMPLATE) -> None:
        super().__init__()
        self._topic = topic
        self.board = Board(topic, STATUS, devices=devices)

    def of(self, device: str, label: str = "healthy", **changed: Any) -> Kind:
        place = self._topic.replace("{device}", device)
        self.send(place, label)
        plain = self.plain(label, device=device, **changed)
        return self.send(f"{place}/event", json.dumps(plain))

    def stale(self) -> dict[str | None, str | None]:
        return {view.device: view.stale for view in self.board.views(self.clock.monotonic())}


def test_each_device_has_a_board_of_its_own() -> None:
    fleet = Fleet()
    fleet.of("pump2", "failsoon", confidence=0.5)
    fleet.clock.advance(3)
    assert fleet.of("pump1") is Kind.EVENT
    fleet.clock.advance(2)
    first, second = fleet.board.views(fleet.clock.monotonic())
    assert (first.device, first.label, first.confidence, first.tone, first.stale) == (
        "pump1",
        "healthy",
        0.75,
        Tone.NORMAL,
        None,
    )
    assert (second.device, second.label, second.confidence, second.tone, second.stale) == (
        "pump2",
        "failsoon",
        0.5,
        Tone.FAULT,
        "nothing new",
    )
    assert fleet.board.several


def test_one_device_that_is_offline_says_nothing_of_the_others_and_the_service_of_all() -> None:
    fleet = Fleet()
    for device in ("pump1", "pump2"):
        fleet.send(f"{STATUS}/{device}", "online")
        fleet.of(device)
    fleet.send(f"{STATUS}/pump1", "offline")
    assert fleet.stale() == {"pump1": "device offline", "pump2": None}
    fleet.send(STATUS, "offline")
    assert fleet.stale() == {"pump1": "service offline", "pump2": "service offline"}


def test_devices_are_there_before_their_first_label() -> None:
    fleet = Fleet()
    fleet.send(f"{STATUS}/pump1", "offline")
    assert fleet.stale() == {"pump1": None}
    assert Fleet("a", "b").stale() == {"a": None, "b": None}


def test_only_named_devices_are_on_the_board() -> None:
    fleet = Fleet("pump1", "pump2")
    assert fleet.of("pump3") is Kind.PASSED
    fleet.send(f"{STATUS}/pump3", "online")
    assert [*fleet.stale()] == ["pump1", "pump2"]


def test_bare_labels_of_several_devices() -> None:
    fleet = Fleet()
    fleet.send("amp/pump1/inference", "healthy")
    fleet.send("amp/pump2/inference", "failsoon")
    assert [(view.device, view.label) for view in fleet.board.views(0.0)] == [
        ("pump1", "healthy"),
        ("pump2", "failsoon"),
    ]
    assert not fleet.board.view(0.0).quality


def test_what_matches_the_wildcard_and_is_the_status_is_the_status() -> None:
    fleet = Fleet(topic="amp/{device}")
    assert fleet.send("amp/status", "online") is Kind.STATUS
    assert fleet.send("amp/status/event", "online") is Kind.STATUS
    assert fleet.board.status == "online"
    assert [*fleet.stale()] == ["event"]


def test_a_topic_whose_names_differ_is_none_of_ours() -> None:
    fleet = Fleet(topic="{device}/to/{device}")
    assert fleet.send("a/to/b", "healthy") is Kind.PASSED
    assert fleet.send("a/to/a", "healthy") is Kind.LABEL


def test_devices_with_labels_are_bounded() -> None:
    fleet = Fleet()
    for i in range(1000):
        fleet.of(f"pump{i}")
    assert len(fleet.stale()) == 50


def test_dropped_events_are_told_once_and_counted() -> None:
    feed = Feed()
    assert feed.send(f"{TOPIC}/dropped", dropped()) is Kind.DROPPED
    assert feed.board.announcement == "12 events were dropped: store_full"
    assert feed.send(f"{TOPIC}/dropped", dropped()) is Kind.PASSED, "delivered twice"
    assert feed.send(f"{TOPIC}/dropped", dropped(1, first=None, last=None, reason="a\x1bb")) is Kind.DROPPED
    assert feed.board.announcement == "1 event was dropped: a\N{REPLACEMENT CHARACTER}b"
    assert feed.send(f"{TOPIC}/dropped", dropped(2, device=None, boot=None)) is Kind.DROPPED
    assert feed.send(f"{TOPIC}/dropped", dropped(first=13), retained=True) is Kind.PASSED
    assert (feed.view().dropped, feed.view().label) == (15, None)


@pytest.mark.parametrize("payload", ["", "12", "[]", dropped(0), dropped(-1), dropped(10**15), dropped(schema=2)])
def test_what_is_no_announcement_is_invalid(payload: str) -> None:
    feed = Feed()
    assert feed.send(f"{TOPIC}/dropped", payload) is Kind.INVALID
    assert feed.view().dropped == 0


def test_dropped_events_are_those_of_their_device() -> None:
    fleet = Fleet()
    fleet.of("pump1")
    fleet.send("amp/pump2/inference/dropped", dropped())
    assert fleet.board.announcement == "pump2: 12 events were dropped: store_full"
    assert [view.dropped for view in fleet.board.views(0.0)] == [0, 12]


def test_late_events_are_counted_and_never_live() -> None:
    feed = Feed()
    feed.event("healthy", sequence=9)
    for sequence in (3, 4):
        assert feed.event("failsoon", sequence=sequence, replayed=True) is Kind.PASSED
    assert (feed.view().late, feed.view().label, feed.view().readings) == (2, "healthy", 1)
