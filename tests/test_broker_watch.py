"""What `serve` says of its broker: each attempt that fails, so that the log can count them."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from ampedge.cli import serve_watch
from ampedge.cli.serve_watch import REFRESH_S, BrokerWatch

PATIENCE = round(serve_watch._PATIENCE_S / REFRESH_S)
AWAY, REFUSED = "nothing listens there", "it refuses the password"


@dataclass
class Stand:
    """A stand-in for a service; what the watch logs of it."""

    connected: bool = False
    healthy: bool = True
    problem: str | None = None
    troubles: int = 0
    said: list[str] = field(default_factory=list)
    watch: BrokerWatch = field(default_factory=BrokerWatch)

    def look(self, times: int = 1) -> None:
        mqtt = SimpleNamespace(topic="amp")
        service: Any = SimpleNamespace(publisher=self, broker="plc:1883", config=SimpleNamespace(mqtt=mqtt))
        for _ in range(times):
            self.watch.look(service)

    def fails(self, problem: str, *, healthy: bool = True) -> None:
        self.connected, self.healthy, self.problem = False, healthy, problem
        self.troubles += 1


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Stand:
    stand = Stand()
    for level in ("info", "warning"):
        monkeypatch.setattr(serve_watch.logger, level, lambda text, *given: stand.said.append(text % given))
    return stand


def test_it_has_patience_at_first_and_then_says_each_failed_attempt(stand: Stand) -> None:
    stand.fails(AWAY)
    stand.look(PATIENCE - 1)
    assert stand.said == []
    for _ in range(3):
        stand.look(5)
        stand.fails(AWAY)
    stand.look(5)
    assert len(stand.said) == 4
    assert len(set(stand.said)) == 1
    assert stand.said[0].startswith(f"No MQTT broker at plc:1883: {AWAY}")


def test_another_reason_is_said_at_once(stand: Stand) -> None:
    stand.fails(AWAY)
    stand.look(PATIENCE)
    stand.fails(REFUSED, healthy=False)
    stand.look()
    assert stand.said[1].startswith(f"Not every event can be delivered: {REFUSED}")


def test_a_broker_that_is_back_is_said_once_and_its_loss_at_once(stand: Stand) -> None:
    stand.connected = True
    stand.look(3)
    assert stand.said == ["Publishing to plc:1883, topic amp."]
    stand.fails(AWAY)
    stand.look(1)
    assert len(stand.said) == 2
    stand.connected, stand.problem = True, None
    stand.look(3)
    assert stand.said[2:] == ["Publishing to plc:1883, topic amp."]
