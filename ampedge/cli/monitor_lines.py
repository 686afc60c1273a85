"""What `monitor` prints for other programs: one line a label, or one JSON document a line."""

import json
import re
import sys
from collections import deque
from collections.abc import Callable

from ampedge.monitor.board import Board, Kind
from ampedge.monitor.view import printable
from ampedge.mqtt.subscriber import Message

_EVENT_DUE_S = 1.0
_STEERING = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class PlainLines:
    """The lines of the tutorial's monitor, `[INFERENCE] healthy`, one for each bare label and nothing else.

    Of several devices the name stands before the label: `[INFERENCE] pump1 healthy`.
    """

    def __init__(self, board: Board, say: Callable[[str], None]) -> None:
        self.counted = 0
        self._board = board
        self._status = Status(board, say)

    def take(self, kind: Kind, message: Message) -> None:
        if kind is Kind.LABEL:
            device = f"{self._board.device_of(message.topic)} " if self._board.several else ""
            _print(f"[INFERENCE] {device}{printable(message.payload)}")
            self.counted += 1
        self._status.take(kind)

    def turn(self, now_s: float) -> None:
        pass


class JsonLines:
    """Each event as it came, a line each; `{"label": ...}` for a label that no event follows within a second.

    Of several devices such a label has its `device` beside it, as every event has.
    """

    def __init__(self, board: Board, say: Callable[[str], None], *, most: int | None = None) -> None:
        self.counted = 0
        self._board = board
        self._say = say
        self._most = most
        self._status = Status(board, say)
        self._alone: deque[Message] = deque()
        self._said_invalid = False

    def take(self, kind: Kind, message: Message) -> None:
        if kind is Kind.EVENT:
            device = self._board.device_of(message.topic)
            for label in [label for label in self._alone if self._board.device_of(label.topic) == device]:
                self._alone.remove(label)
            self._line(_one_line(message.payload))
        elif kind is Kind.LABEL:
            self._alone.append(message)
        elif kind is Kind.INVALID and not self._said_invalid:
            self._say(f"What comes on {message.topic} is not all events of ampedge; the rest is left out.")
            self._said_invalid = True
        self._status.take(kind)

    def turn(self, now_s: float) -> None:
        while self._alone and now_s - self._alone[0].received_s >= _EVENT_DUE_S and self.counted != self._most:
            message = self._alone.popleft()
            device = {"device": self._board.device_of(message.topic)} if self._board.several else {}
            self._line(json.dumps({**device, "label": printable(message.payload)}, ensure_ascii=False))

    def _line(self, text: str) -> None:
        _print(text)
        self.counted += 1


class Status:
    """Says on stderr when the service comes and goes, and what it has dropped."""

    def __init__(self, board: Board, say: Callable[[str], None]) -> None:
        self._board = board
        self._say = say
        self._said: str | None = None

    def take(self, kind: Kind) -> None:
        """Look at the board after a message of this kind."""
        if kind is Kind.DROPPED:
            self._say(self._board.announcement)
        status = self._board.status
        if kind is Kind.STATUS and status != self._said:
            if status == "offline" or self._said is not None:
                self._say(f"service {status}")
            self._said = status


def _one_line(payload: bytes) -> str:
    """A JSON document as it came, but for line breaks between its parts and characters that could steer a terminal."""
    text = payload.decode(json.detect_encoding(payload), "surrogatepass")
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", re.sub(r"[\r\n\t]", " ", text))


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
