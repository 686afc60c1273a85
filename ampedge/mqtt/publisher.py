"""What `serve` tells the broker: bare labels, events, what was dropped, and whether service and devices live."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import paho.mqtt.client as paho
from paho.mqtt.reasoncodes import ReasonCode

from ampedge.log import logger
from ampedge.mqtt.client import Client, packet_bytes
from ampedge.mqtt.connection import VERSIONS, Connection, Hooks
from ampedge.mqtt.receipts import Receipts
from ampedge.mqtt.refusals import Refusals
from ampedge.mqtt.retries import End
from ampedge.mqtt.suspects import Sent, Suspects
from ampedge.mqtt.topics import device_topic, dropped_topic, event_topic, label_topic, service_topic
from ampedge.records import DROPPED, Stored
from ampedge.settings import MqttSection
from ampedge.wire import as_replayed

REPLAYS_IN_FLIGHT = 10
"""How many of the rows in flight may be replays, so that live events always find room."""
PROMPT_S = 5.0
"""A broker that cannot take a row ends the connection at once, not later than this."""

TOO_LARGE = "too_large"
REFUSED_BY_BROKER = "refused_by_broker"
ONLINE = b"online"
OFFLINE = b"offline"

_TOO_LARGE_SAID = "too large"
_ASIDE_SAID = "aside "
_QUOTA_EXCEEDED = 0x97
_OBJECTIONS = 3
"""So many times in a row the connection ends over the subscription until it is done without."""


@dataclass(frozen=True, slots=True)
class _Topics:
    """The topics of one device."""

    label: str
    event: str
    dropped: str


class Publisher:
    """Publishes over one connection that is kept up in the background; no method waits for the broker but `stop`.

    It queues nothing: what cannot be sent now stays with the caller's log, and so does what was sent but not
    acknowledged when the connection was lost.
    Only rows that the broker may not be able to take are kept here for a while, at most ten of them; what is like
    them the log holds until they have been tried.
    `acknowledged_s` is the monotonic time of the last acknowledgement of a row.
    `on_change` is called where it may be worth trying again: after a connection or its loss, and after
    acknowledgements while rows are replayed or were turned away; it must return at once.
    Raises ConfigError for files of TLS that cannot be used.
    """

    def __init__(
        self, mqtt: MqttSection, *, password: str | None, client_id: str, devices: Sequence[str], receipts: Receipts
    ) -> None:
        self.acknowledged_s: float | None = None
        self.on_change: Callable[[], None] = lambda: None
        self._mqtt = mqtt
        self._receipts = receipts
        self._status_topic = service_topic(mqtt)
        self._topics = {device: _topics(mqtt, device) for device in devices}
        self._states: dict[str, bytes] = {}
        self._out: dict[int, Sent] = {}
        self._rows = 0
        self._replays: set[int] = set()
        self._returning: list[int] = []
        self._suspects = Suspects()
        self._held: set[str] = set()
        self._trial: int | None = None
        self._making_room = False
        self._tried_s = float("-inf")
        self._accused: int | None = None
        self._blamable: list[Sent] = []
        self._refusals = Refusals()
        self._taken_s: dict[str, float] = {}
        self._taken_here = False
        self._turned_away = False
        self._stopping = False
        self._asked_s: float | None = None  # since when the broker owes an answer to the subscription
        self._objects = False
        self._objections = 0
        self._careful = False
        self._echo_due = False
        self._contradicted = False
        self._changed = False
        self._connection = Connection(
            mqtt,
            Hooks(
                up=self._up,
                down=self._down,
                message=self._heard,
                acknowledged=self._acknowledged,
                subscribed=self._subscribed,
                refused=lambda sentence: logger.error("%s", sentence),
                turn=self._try_suspects,
                turned=self._tell,
                oldest_s=lambda: next((sent.at_s for sent in self._out.values()), None),
                unexplained=self._unexplained,
            ),
            password=password,
            client_id=client_id,
            versions=VERSIONS[mqtt.protocol],
            will=(self._status_topic, OFFLINE),
        )
        self._settled = self._connection.condition()

    @property
    def troubles(self) -> int:
        """How often a connection failed, was lost or was refused."""
        return self._connection.troubles

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the connection and it has not been lost since."""
        return self._connection.client is not None

    @property
    def in_flight(self) -> int:
        """How many rows were sent and are not yet acknowledged."""
        return self._rows

    @property
    def healthy(self) -> bool:
        """False where somebody has to mend something before the broker takes every event."""
        return not (self._connection.refused or self._refusals.sentences)

    @property
    def problem(self) -> str | None:
        """The latest trouble with the broker in a sentence, None while all is well."""
        return self._connection.problem or next(iter(self._refusals.sentences.values()), None)

    @property
    def alive(self) -> bool:
        """Whether the thread of the connection runs."""
        return self._connection.alive

    @property
    def progress_s(self) -> float:
        """The monotonic time of the latest turn of that thread; some 15 s ago at most."""
        return self._connection.progress_s

    def start(self) -> None:
        """Begin connecting in the background; a broker that is away is tried again and again."""
        self._connection.start()

    def publish(self, device: str, label: str, event: bytes, row_id: int) -> bool:
        """Send a live event (QoS 1) and its bare label (QoS 0), neither retained.

        False where the event was not sent and waits; its label is sent even so where that is possible at once.
        An event that the broker can never take is rejected.
        """
        with self._connection.lock:
            topics = self._of(device)
            suspect = self._suspects.is_one(row_id, topics.event, packet_bytes(topics.event, event))
            client = None if suspect else self._room(topics.event)
            if client is None:
                self._send_label(topics.label, label)
                return False
            client.hold(True)
            try:
                client.publish(topics.label, label)
                sent = self._send(client, topics.event, event, row_id)
            finally:
                client.hold(False)
            self._write_on(client)
        return sent

    def replay(self, stored: Stored) -> bool:
        """Send a row of the log again (QoS 1), an event marked as replayed; False where there is no room now.

        A row that is not to be sent now is kept aside or held, so that the next may be.
        """
        with self._connection.lock:
            if self._connection.client is None or self._stopping:
                return False
            topic, payload = self._message(stored)
            suspect = self._suspects.is_one(stored.id, topic, packet_bytes(topic, payload))
            if suspect or self._refusals.pause(topic):
                self._put_aside(stored, topic, suspect=suspect)
                return True
            client = self._room(topic, replayed=True)
            if client is None:
                return False
            sent = self._send(client, topic, payload, stored.id, replayed=True)
            self._write_on(client)
        return sent

    def announce(self, device: str, online: bool) -> None:
        """Say whether the device is online (retained); said again at every new connection."""
        with self._connection.lock:
            self._states[device] = ONLINE if online else OFFLINE
            client = self._connection.client
            if client is not None and not self._stopping:
                self._say(client, device_topic(self._status_topic, device), self._states[device])
                self._write_on(client)

    def stop(self, timeout_s: float = 1.0) -> None:
        """Wait for what is in flight, leave `offline` behind for service and devices, and disconnect.

        Where the broker does not acknowledge that in time the connection is cut, so that it sends the will.
        """
        until_s = time.monotonic() + timeout_s
        with self._connection.lock:
            if self._stopping:
                return
            self._stopping = True
            client = self._connection.client
            if client is not None:
                for device in self._states:
                    self._say(client, device_topic(self._status_topic, device), OFFLINE)
                self._say(client, self._status_topic, OFFLINE)
                self._connection.wake()
            settled = self._settled.wait_for(lambda: not (self._out or self._echo_due), timeout_s * 0.8)
        self._connection.close(max(0.05, until_s - time.monotonic()), goodbye=settled)
        with self._connection.lock:
            aside, self._suspects.aside = self._suspects.aside, {}
            self._return(list(aside))
            self._release(*self._held)

    def _of(self, device: str) -> _Topics:
        """The topics of a device; one that waits in the log may no longer be in the config."""
        return self._topics.get(device) or _topics(self._mqtt, device)

    def _message(self, stored: Stored) -> tuple[str, bytes]:
        topics = self._of(stored.device)
        if stored.kind == DROPPED:
            return topics.dropped, stored.payload
        return topics.event, as_replayed(stored.payload)

    def _room(self, topic: str, *, replayed: bool = False) -> Client | None:
        """The client to send one more row with; None where that must wait."""
        client = self._connection.client
        if client is None or self._stopping:
            return None
        most = min(REPLAYS_IN_FLIGHT, max(1, client.window // 2)) if replayed else client.window
        if (len(self._replays) if replayed else self._rows) >= most // 2:
            known = self._changed
            self._connection.read(client)
            if self._changed and not known:
                self._connection.wake()  # the other thread tells it
        if self._careful and self._asked_s is not None and time.monotonic() - self._asked_s < PROMPT_S:
            return None
        free = self._rows < client.window and (not replayed or len(self._replays) < most)
        if free and not self._making_room and self._trial is None and not self._refusals.pause(topic):
            return self._connection.client
        self._turned_away = True
        return None

    def _send_label(self, topic: str, label: str) -> None:
        """Only the label, where nothing else waits to be written."""
        client = self._connection.client
        if client is not None and not (self._stopping or self._trial is not None or client.want_write()):
            client.publish(topic, label)
            self._write_on(client)

    def _retained(self) -> dict[str, bytes]:
        """What stands on the topics of the status while all is well."""
        devices = {device_topic(self._status_topic, device): state for device, state in self._states.items()}
        return {self._status_topic: ONLINE, **devices}

    def _write_on(self, client: Client) -> None:
        if client.want_write():
            self._connection.wake()

    def _send(self, client: Client, topic: str, payload: bytes, row_id: int, *, replayed: bool = False) -> bool:
        if not client.fits(topic, payload):
            said = f"The broker takes {client.largest} bytes; what is larger for {topic} is dropped."
            self._refusals.complain(_TOO_LARGE_SAID, said)
            self._reject(row_id, TOO_LARGE)
            return True
        self._receipts.sent(row_id)
        if not self._hand_over(client, topic, payload, row_id):
            self._return([row_id])
            return False
        if replayed:
            self._replays.add(row_id)
            self._connection.hurried = True
        return True

    def _hand_over(self, client: Client, topic: str, payload: bytes, row_id: int) -> bool:
        self._refusals.tried(topic)
        mid = self._publish(client, topic, payload, retain=False)
        if mid is None:
            return False
        self._out[mid] = Sent(row_id, topic, packet_bytes(topic, payload), time.monotonic())
        self._rows += 1
        return True

    def _say(self, client: Client, topic: str, state: bytes) -> None:
        if self._refusals.pause(topic):
            return
        self._refusals.tried(topic)
        mid = self._publish(client, topic, state, retain=True)
        if mid is not None:
            self._out[mid] = Sent(None, topic, 0, time.monotonic())

    def _publish(self, client: Client, topic: str, payload: bytes, *, retain: bool) -> int | None:
        """The message id; None where this very write found the connection lost."""
        try:
            mid = client.publish(topic, payload, qos=1, retain=retain).mid
        except Exception as error:
            self._connection.broke(error)
            return None
        return mid if self._connection.client is client else None

    def _up(self, client: Client) -> None:
        if self._out:
            self._down(End.SILENT)  # it failed when it was due
        self._careful = at_once = self._connection.retries.at_once
        if at_once:
            self._blame()
        else:
            self._objections = 0
        cleared = self._suspects.connected(at_once=at_once)
        if cleared is not None:
            self._return(cleared)
            self._release(*self._held)
        self._return([])
        self._refusals.withdraw(_TOO_LARGE_SAID)
        self._taken_here = False
        for topic, state in self._retained().items():
            self._say(client, topic, state)
        if self._objections < _OBJECTIONS:
            client.subscribe(self._status_topic, qos=1)
            self._asked_s = time.monotonic()
        self._changed = True

    def _down(self, end: End) -> None:
        sent = list(self._out.values())
        rows = [each.row_id for each in sent if each.row_id is not None]
        self._out.clear()
        self._rows = 0
        self._replays.clear()
        self._connection.hurried = self._making_room = self._echo_due = self._contradicted = False
        self._accused, self._trial = self._trial, None
        now_s = time.monotonic()
        known = now_s - self._refusals.latest_s <= PROMPT_S  # Mosquitto 2.0.11 ends the connection after a refusal
        in_time = self._accused is None or (self._taken_here and now_s - self._tried_s <= PROMPT_S)
        over_ours = not known and end in (End.CLOSED, End.BLAMED)
        asked_s, self._asked_s = self._asked_s, None
        self._objects = over_ours and asked_s is not None and all(each.at_s > asked_s for each in sent)
        self._blamable = sent if over_ours and in_time and asked_s is None else []
        self._return([row_id for row_id in rows if row_id not in self._suspects.aside])
        if end is End.BLAMED:
            self._blame()
        self._changed = True
        self._settled.notify_all()

    def _return(self, rows: list[int]) -> None:
        """Give rows back, and those that could not be given back before."""
        self._returning += rows
        if self._returning:
            self._receipts.returned(self._returning)
            self._returning = []

    def _tell(self) -> None:
        """After a turn of the connection's thread, without its lock."""
        if self._changed:
            self._changed = False
            self.on_change()

    def _subscribed(self, codes: Sequence[ReasonCode]) -> None:
        self._echo_due = not any(code.is_failure for code in codes)
        self._asked_s = None
        self._objections = 0
        self._changed = True

    def _heard(self, message: paho.MQTTMessage) -> None:
        """What the status topic says.

        An `offline` that is not ours is the will of an earlier start whose connection timed out late: take it back.
        Our own tells that the broker has passed on all that came before: amqtt acknowledges messages that it
        forgets when the client then disconnects.
        Whoever says it again and again gets one answer at a time.
        """
        client = self._connection.client
        if message.payload != OFFLINE or client is None:
            return
        if self._stopping:
            self._echo_due = False
            self._settled.notify_all()
        else:
            self._contradicted = True
            self._contradict(client)

    def _contradict(self, client: Client) -> None:
        """Say that the service is online, unless that is on its way; then it is said again after that."""
        on_its_way = any(sent.topic == self._status_topic for sent in self._out.values())
        if self._contradicted and not on_its_way:
            self._contradicted = False
            self._say(client, self._status_topic, ONLINE)

    def _acknowledged(self, mid: int, code: ReasonCode) -> None:
        sent = self._out.get(mid)
        if sent is None:
            return
        if sent.row_id is not None:
            self._verdict(sent.row_id, sent, code)
        elif code.is_failure:
            self._refusals.refused(sent.topic, code)
        elif self._refusals.sentences:
            self._relieve(sent.topic)
        del self._out[mid]  # only now: whatever fails before this is given back when the connection is made anew
        if self._stopping:
            self._settled.notify_all()
        elif self._contradicted and (client := self._connection.client) is not None:
            self._contradict(client)

    def _verdict(self, row_id: int, sent: Sent, code: ReasonCode) -> None:
        if code.is_failure:
            self._refuse(row_id, sent.topic, code)
        else:
            self._take(row_id, sent)
        self._rows -= 1
        if row_id in self._replays or self._turned_away:
            self._replays.discard(row_id)
            self._connection.hurried = bool(self._replays)
            self._turned_away = False
            self._changed = True

    def _take(self, row_id: int, sent: Sent) -> None:
        self._receipts.acknowledged(row_id)
        self.acknowledged_s = self._taken_s[sent.topic] = time.monotonic()
        self._taken_here = True
        was_aside = row_id in self._suspects.aside
        if self._suspects.taken(row_id, sent.topic, sent.size):
            self._release(sent.topic)
        if self._refusals.sentences:
            self._relieve(sent.topic)
        if was_aside:
            self._end_trial(row_id, sent.topic)

    def _relieve(self, topic: str) -> None:
        if self._refusals.taken(topic):
            self._release(topic)
            self._changed = True

    def _refuse(self, row_id: int, topic: str, code: ReasonCode) -> None:
        """A row that the broker refused by its message id."""
        self._refusals.refused(topic, code)
        if code.value != _QUOTA_EXCEEDED and self._suspects.refused(row_id, self._taken_s.get(topic)):
            self._reject(row_id, REFUSED_BY_BROKER)
        elif row_id not in self._suspects.aside:
            self._return([row_id])
        self._end_trial(row_id, topic)

    def _reject(self, row_id: int, reason: str) -> None:
        self._receipts.rejected(row_id, reason)
        self._suspects.given_up(row_id)

    def _unexplained(self) -> bool:
        asked = self._out or self._asked_s is not None
        return not asked and time.monotonic() - self._refusals.latest_s > PROMPT_S

    def _object(self) -> None:
        """The connection was lost over the subscription, which stands for little: it can be done without."""
        self._objections += 1
        if self._objections == _OBJECTIONS:
            logger.warning(
                "The broker ends the connection when this user reads %s: serve does without, and cannot take back "
                "an `offline` of an earlier start there. Allow it to read that topic.",
                self._status_topic,
            )

    def _blame(self) -> None:
        """The connection was lost over what was on its way, for the broker itself was and is well."""
        if self._objects:
            self._object()
        accused = None if self._accused is None else self._suspects.aside.get(self._accused)
        if accused is None:
            self._suspects.lost(self._blamable)
        else:
            if self._suspects.lost_alone(accused.id, proof=bool(self._blamable)):
                self._reject(accused.id, REFUSED_BY_BROKER)
            self._note_aside(self._message(accused)[0])
        self._accused, self._blamable, self._objects = None, [], False

    def _put_aside(self, stored: Stored, topic: str, *, suspect: bool) -> None:
        """Keep a suspect to be tried alone, one of a topic; whatever else waits for its verdict is held in the log."""
        if suspect and self._suspects.keep(stored, topic):
            self._receipts.sent(stored.id)
        else:
            self._receipts.held(stored.id, topic)
            self._held.add(topic)
            self._changed = True
            self._connection.wake()  # there may be more behind it
        self._note_aside(topic)

    def _release(self, *topics: str) -> None:
        """Have the log hand out all that it holds for these topics."""
        for topic in topics:
            self._receipts.released(topic, all_of_it=True)
            self._held.discard(topic)
            self._note_aside(topic)
            self._changed = True

    def _release_next(self) -> None:
        """The next one of each topic on which something may be tried."""
        for topic in list(self._held):
            if self._suspects.has_room(topic) and not self._refusals.pause(topic):
                if not self._receipts.released(topic, all_of_it=False):
                    self._held.discard(topic)
                    self._note_aside(topic)
                self._changed = True

    def _note_aside(self, topic: str) -> None:
        size = self._suspects.doubt(topic)
        if not self._suspects.has(topic) and (size is None or topic not in self._held):
            self._refusals.withdraw(_ASIDE_SAID + topic)
        elif size is None:
            said = f"The broker does not take some of the events for {topic}; they are tried again, one at a time."
            self._refusals.note(_ASIDE_SAID + topic, said)
        else:
            said = f"The broker ends the connection over packets of {size} bytes or more for {topic}"
            self._refusals.note(_ASIDE_SAID + topic, f"{said}; they wait and are tried one at a time, each alone.")

    def _try_suspects(self, client: Client) -> None:
        """In each turn: send what was refused or put aside and may be tried now."""
        self._making_room = False
        if steady := self._connection.retries.steady():
            self._suspects.steady()
        self._release_next()
        for topic in self._refusals.over():
            self._changed = True
            if (state := self._retained().get(topic)) is not None:
                self._say(client, topic, state)
        if not self._suspects.aside or self._trial is not None or self._stopping:
            return
        refused = self._suspects.due(alone=False)
        if refused is not None and self._rows < client.window and not self._refusals.pause(self._message(refused)[0]):
            self._send_aside(client, refused)
        alone = self._suspects.due(alone=True) if steady else None
        self._making_room = alone is not None and self._rows > 0
        if alone is not None and not self._making_room:
            self._trial, self._tried_s = alone.id, time.monotonic()
            self._send_aside(client, alone)

    def _send_aside(self, client: Client, stored: Stored) -> None:
        self._suspects.tried(stored.id)
        topic, payload = self._message(stored)
        if client.fits(topic, payload):
            self._hand_over(client, topic, payload, stored.id)
        else:
            self._reject(stored.id, TOO_LARGE)
            self._end_trial(stored.id, topic)

    def _end_trial(self, row_id: int, topic: str) -> None:
        if row_id == self._trial:
            self._trial = None
            self._changed = True
        self._note_aside(topic)


def _topics(mqtt: MqttSection, device: str) -> _Topics:
    label = label_topic(mqtt, device)
    return _Topics(label, event_topic(label), dropped_topic(label))
