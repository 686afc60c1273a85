"""The service's snapshot: each trouble is told in its own sentence, and nothing else is."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ampedge.service.snapshot import (
    DeviceState,
    LogState,
    LoopState,
    ModelState,
    MqttState,
    ReloadState,
    Snapshot,
    in_words,
    problems,
)

DEVICE = DeviceState("pump1", "10.0.0.5:502", 1, 2.0, online=True, label="healthy", quality="good", good_age_s=1.0)
MQTT = MqttState("here:1883", connected=True, healthy=True, acknowledged_age_s=1.0)
LOG = LogState("/var/lib/ampedge/events.db", produced=12, delivered=10, dropped=1, waiting=1, oldest_age_s=0.1)
MODEL = ModelState("tiny", "1", "model", signed=False, runtime="numpy", loaded="2026-11-23T00:00:00Z")
WELL = Snapshot(
    version="1.0",
    pid=42,
    boot="b1",
    started="2026-11-23T00:00:00Z",
    uptime_s=100.0,
    time_synced=True,
    config="ampedge.toml",
    state_dir="/var/lib/ampedge",
    devices=(replace(DEVICE, name="pump2"), DEVICE),
    mqtt=MQTT,
    log=LOG,
    model=MODEL,
    loops=(LoopState("poller pump1", 0.5, 60.0),),
)


def with_device(**changed: Any) -> Snapshot:
    return replace(WELL, devices=(WELL.devices[0], replace(DEVICE, **changed)))


def test_where_all_is_well_nothing_is_told() -> None:
    assert problems(WELL) == []


@pytest.mark.parametrize(
    ("snapshot", "sentence"),
    [
        (
            with_device(online=False, detail="Nothing accepts connections.", retry_s=8.0),
            "pump1 is offline: Nothing accepts connections.",
        ),
        (with_device(online=False, good_age_s=None), "pump1 is offline."),
        (with_device(good_age_s=7.1), "pump1 has given no good reading for 7 s."),
        (
            with_device(good_age_s=None, reasons=("never_written",)),
            "pump1 has given no good reading since the start: never written",
        ),
        (
            with_device(good_age_s=300.0, quality="bad", reasons=("volts: not_a_number",)),
            "pump1 has given no good reading for 5 min: volts: not a number",
        ),
        (replace(WELL, mqtt=replace(MQTT, connected=False, problem="It is away.")), "It is away."),
        (replace(WELL, mqtt=replace(MQTT, healthy=False)), "The broker at here:1883 is not connected."),
        (replace(WELL, mqtt=replace(MQTT, connected=False)), "The broker at here:1883 is not connected."),
        (
            replace(WELL, mqtt=replace(MQTT, acknowledged_age_s=45.0), log=replace(LOG, waiting=9, oldest_age_s=31.0)),
            "The broker at here:1883 has acknowledged nothing for 45 s, and 9 events wait.",
        ),
        (
            replace(WELL, mqtt=replace(MQTT, acknowledged_age_s=None), log=replace(LOG, oldest_age_s=31.0)),
            "The broker at here:1883 has acknowledged nothing, and 1 events wait.",
        ),
        (replace(WELL, log=replace(LOG, problem="The disk is full.")), "The disk is full."),
        (
            replace(WELL, time_synced=False, started="1970-01-01T00:00:09.000Z"),
            "The clock of this machine is years behind, so the times of events are wrong.",
        ),
        (replace(WELL, model=replace(MODEL, problem="It is damaged.")), "It is damaged."),
        (
            replace(WELL, reload=ReloadState(2, "state_dir cannot change.")),
            "The config was read again and refused, the one before goes on: state_dir cannot change.",
        ),
        (
            replace(WELL, loops=(LoopState("mqtt", 61.0, 60.0), LoopState("log", 1.0, 60.0))),
            "The loop mqtt has stood still for 61 s.",
        ),
    ],
)
def test_each_trouble_is_one_sentence(snapshot: Snapshot, sentence: str) -> None:
    assert problems(snapshot) == [sentence]
    document = snapshot.as_dict()
    assert (document["healthy"], document["problems"]) == (False, [sentence])


@pytest.mark.parametrize(
    "snapshot",
    [
        with_device(good_age_s=6.9),
        replace(with_device(online=None, good_age_s=None), uptime_s=6.9),  # it has just begun
        replace(WELL, mqtt=replace(MQTT, acknowledged_age_s=3600.0)),  # there was nothing to acknowledge
        replace(WELL, log=replace(LOG, waiting=600_000, oldest_age_s=604800.0)),  # a backlog that drains
        replace(WELL, log=replace(LOG, dropped=1000)),  # counted and announced
        replace(WELL, time_synced=None),
        replace(WELL, time_synced=False),
        replace(WELL, model=replace(MODEL, rolled_back=True)),
        replace(WELL, reload=ReloadState(2)),
    ],
)
def test_what_is_no_trouble_is_not_told(snapshot: Snapshot) -> None:
    assert problems(snapshot) == []


def test_the_document_is_json_with_every_field() -> None:
    document = json.loads(json.dumps(WELL.as_dict(), allow_nan=False))
    assert list(document) == [
        "schema",
        "healthy",
        "problems",
        "version",
        "pid",
        "boot",
        "started",
        "uptime_s",
        "time_synced",
        "config",
        "state_dir",
        "devices",
        "mqtt",
        "log",
        "model",
        "reload",
        "loops",
    ]
    assert (document["schema"], document["healthy"], document["problems"]) == (1, True, [])
    assert document["devices"][1] == {
        "name": "pump1",
        "address": "10.0.0.5:502",
        "unit": 1,
        "interval_s": 2.0,
        "online": True,
        "label": "healthy",
        "quality": "good",
        "reasons": [],
        "good_age_s": 1.0,
        "event_age_s": None,
        "polls": 0,
        "failures": 0,
        "skipped": 0,
        "detail": "",
        "retry_s": None,
    }
    assert document["loops"] == {"poller pump1": 0.5}


@pytest.mark.parametrize(
    ("age_s", "said"),
    [(0.4, "0 s"), (119.0, "119 s"), (120.0, "2 min"), (7199.0, "120 min"), (7200.0, "2 h"), (200000.0, "2 days")],
)
def test_time_spans_in_words(age_s: float, said: str) -> None:
    assert in_words(age_s) == said


def test_every_field_is_described() -> None:
    page = (Path(__file__).resolve().parents[1] / "docs" / "doctor.md").read_text("utf-8")
    document = WELL.as_dict()
    parts = [document, document["devices"][0], document["mqtt"], document["log"], document["model"], document["reload"]]
    assert [name for part in parts for name in part if f"`{name}`" not in page] == []
