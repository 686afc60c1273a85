"""The loop of `monitor`: reads messages, puts them on the board, hands them to an output, knows when to end."""

import math
from collections.abc import Callable
from typing import Protocol

from ampedge.clock import Clock
from ampedge.errors import UnreachableError
from ampedge.monitor.board import Board, Kind
from ampedge.mqtt.subscriber import Message, Subscriber

TURN_S = 0.2
_PATIENCE_S = 3.0


class Output(Protocol):
    """Where the messages go: the live view, plain lines, JSON lines."""

    counted: int
    """How many labels it has shown."""

    def take(self, kind: Kind, message: Message) -> None:
        """A message that has just been put on the board."""

    def turn(self, now_s: float) -> None:
        """Time has passed; called at least every `TURN_S`."""


def watch(
    subscriber: Subscriber,
    board: Board,
    output: Output,
    *,
    clock: Clock,
    say: Callable[[str], None],
    count: int | None = None,
    timeout_s: float | None = None,
) -> None:
    """Read until `output` has shown `count` labels or `timeout_s` has passed, for ever where both are None.

    Raises UnreachableError where `timeout_s` passes before `count` is reached or without a broker.
    `say` gets what is to be said about the connection.
    """
    began_s = clock.monotonic()
    until_s = math.inf if timeout_s is None else began_s + timeout_s
    connection = _Connection(subscriber, say, began_s)
    while count is None or output.counted < count:
        now_s = clock.monotonic()
        connection.look(now_s)
        output.turn(now_s)
        if now_s >= until_s:
            _time_is_up(connection, output, count, timeout_s)
            return
        turn_until_s = min(now_s + TURN_S, until_s)
        while count is None or output.counted < count:
            message = subscriber.get(turn_until_s - clock.monotonic())
            if message is not None:
                output.take(board.take(message, time_s=clock.time()), message)
            if clock.monotonic() >= turn_until_s:
                break


def _time_is_up(connection: "_Connection", output: Output, count: int | None, timeout_s: float | None) -> None:
    if not connection.was_there:
        raise UnreachableError(
            connection.problem or "The broker did not answer.",
            "Check that the broker runs there, or name another one with --broker HOST:PORT.",
        )
    if count is not None:
        raise UnreachableError(
            f"{output.counted} of {count} labels arrived within {timeout_s:g} s.",
            "Check with `ampedge monitor` that the service runs and publishes to this topic.",
        )


class _Connection:
    """Says once that the broker is away, once that it is back."""

    def __init__(self, subscriber: Subscriber, say: Callable[[str], None], began_s: float) -> None:
        self.was_there = False
        self.problem: str | None = None
        self._subscriber = subscriber
        self._say = say
        self._began_s = began_s
        self._said_away = False

    def look(self, now_s: float) -> None:
        self.problem = self._subscriber.problem or self.problem
        if self._subscriber.connected:
            if self._said_away:
                self._say("Connected to the broker.")
            self.was_there, self._said_away = True, False
        elif not self._said_away and (self._subscriber.problem or now_s - self._began_s > _PATIENCE_S):
            self._say(f"{self._subscriber.problem or 'The broker does not answer.'} Trying again and again.")
            self._said_away = True
