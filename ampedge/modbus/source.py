"""A device as a source of frames: polled by its plan, patient with a device that is away or lacks something."""

import random
import threading
from collections.abc import Callable

from ampedge.clock import Clock
from ampedge.datamap import DataMap, Tag
from ampedge.errors import ExceptionReply, UnreachableError
from ampedge.log import about, logger
from ampedge.modbus.check import CheckRegister
from ampedge.modbus.client import Master
from ampedge.modbus.parts import BUSY, GATEWAY, PARKED_S, Part, kept, part_of, reason_of
from ampedge.modbus.plan import Block, Plan, plan_reads
from ampedge.records import Frame, Reason, Words

_IDLE_S = 5.0
"""A connection that is closed sooner was not closed for being idle."""
_AS_LONG, _SLACK_S = 1.1, 0.1
"""A silence is as long as another one up to this factor and this much."""
_HABIT = 5
"""After so many restarts in a row without a failed poll it is said that they may be none."""
_POLL_S = 25.0
"""A poll asks no further after this: it is to end before it looks like one that hangs, and to be of one moment."""
_BUSY_S = 0.1
_BUSY_RETRIES = 3
_WORST_FIRST = (Reason.DEVICE_FAILURE, Reason.CONFIGURATION_ERROR, Reason.NO_COMMUNICATION)
"""Of what is wrong with single tags; the last one is said of those that there was no time for."""


class ModbusSource:
    """Turns polls of one slave into frames; a failed poll is a frame, too, and never raises.

    The device's exceptions decide what becomes of a block:

    | exception | its tags | the block |
    | --- | --- | --- |
    | 1 | bad: configuration_error | is asked again after 5 minutes |
    | 2, 3 | bad: configuration_error, as few as possible | is read in pieces from now on; the bad ones as with 1 |
    | 5, 6 | bad: device_failure | is asked up to 3 times more, 100 ms apart, in each poll |
    | 10, 11 | all of the device bad: no_communication | |
    | any other | bad: device_failure | is asked again in the next poll, then after 1 to 30 s |

    `check` is a register and its content: while that is another, nothing that the device says is believed.
    For `reconnect_settle_s` after a device that was lost has come back, its frames say `settling`; so does a frame in
    which words from before and after a restart may meet.
    A poll that has taken 25 s, or `interval_s` where that is more, asks no further: the tags that are left are bad
    (no_communication), and the next poll begins with them.  `on_request` is called before each request.
    """

    def __init__(
        self,
        master: Master,
        datamap: DataMap,
        *,
        device: str,
        clock: Clock,
        reconnect_settle_s: float = 0.0,
        close_after_poll: bool = False,
        check: tuple[Tag, float] | None = None,
        interval_s: float = 0.0,
        on_request: Callable[[], None] = lambda: None,
    ) -> None:
        self.master = master
        self._device = device
        self._clock = clock
        self._settle_s = reconnect_settle_s
        self._close_after_poll = master.connection.hangs_up = close_after_poll
        self._check = None if check is None else CheckRegister(*check)
        self._checked = 0
        self._longest_s = max(_POLL_S, interval_s)
        self._on_request = on_request
        self.read_by(datamap)
        self._pause = threading.Condition()
        self._answered_s: float | None = None
        self._exchanged_s = float("-inf")  # when the device answered last
        self._kept_s = float("-inf")  # the longest silence after which a connection still stood
        self._polled_over: int | None = None  # the connection of this poll's first answer
        self._was_restarted = False  # in this poll
        self._is_lost = False
        self._restarts = 0
        self._settled_s = float("-inf")

    @property
    def plan(self) -> Plan:
        """The blocks as they are read now."""
        return Plan(self.datamap, tuple(part.block for part in self._parts))

    def read_by(self, datamap: DataMap) -> None:
        """Read by this data map from the next poll on; what is known of the device stays."""
        self.datamap = datamap
        self._parts = [part_of(datamap, block) for block in plan_reads(datamap).blocks]
        self._first: Part | None = None
        self._asked = self._parts[0].block

    def continue_from(self, other: "ModbusSource") -> None:
        """Take over what is known of the same slave, which goes on settling and being lost as before."""
        if (other.master.address, other.master.unit) == (self.master.address, self.master.unit):
            self._answered_s, self._is_lost = other._answered_s, other._is_lost
            self._settled_s, self._kept_s = other._settled_s, other._kept_s

    def poll(self) -> Frame:
        """One frame now."""
        time_s, now_s = self._clock.time(), self._clock.monotonic()
        self._was_restarted, self._polled_over = False, None
        try:
            if self._check is not None:
                self._verify(self._check, now_s)
            words, bad, detail = self._read(now_s)
            if self._check is not None:  # the connection may have been made anew in between
                self._verify(self._check, now_s)
        except UnreachableError as error:
            logger.warning("%s: %s", self._device, error.problem, extra=self._concerning(self._asked))
            return self._failed(time_s, now_s, _reason(error), error.problem)
        finally:
            if self._close_after_poll:
                self.master.close()
        if bad and None not in bad:
            return self._failed(time_s, now_s, next(reason for reason in _WORST_FIRST if reason in bad), detail)
        if self._answered_s is not None and (self._is_lost or self._was_restarted):
            self._settled_s = now_s + self._settle_s
        self._look_for_habit()
        self._is_lost = False
        self._answered_s = now_s
        is_mixed = self._was_restarted and self.master.connection.opened != self._polled_over
        return Frame(self._device, time_s, words, None, detail, now_s, is_mixed or now_s < self._settled_s, bad)

    def _look_for_habit(self) -> None:
        """A device that ends connection after connection and yet always answers does not restart each time."""
        self._restarts = self._restarts + 1 if self._was_restarted and not self._is_lost else 0
        if self._restarts == _HABIT:
            logger.warning(
                "%s: the device closes the connection again and again, so its readings never settle. If that is its "
                "habit, set close_after_poll = true for it.",
                self._device,
                extra=about(device=self._device, unit=self.master.unit),
            )

    def _failed(self, time_s: float, now_s: float, reason: Reason, detail: str) -> Frame:
        self._is_lost = True
        if reason is not Reason.CONFIGURATION_ERROR:  # what comes back may have changed: it is asked for everything
            for part in self._parts:
                part.retry_s = now_s
        return Frame(self._device, time_s, (), reason, detail, now_s)

    def _verify(self, check: CheckRegister, begun_s: float) -> None:
        """Look at the check register, once in each connection."""
        connection = self.master.connection
        if not connection.is_open:
            connection.open()
        if connection.opened != self._checked:
            words = self._ask(Block(check.tag.table, check.tag.address, check.tag.width, ()), begun_s)
            if problem := check.problem(words):
                raise _NotBelieved(f"{problem} (the slave at {self.master.address}, unit {self.master.unit}).")
            self._checked = connection.opened

    def _read(self, begun_s: float) -> tuple[tuple[Words, ...], tuple[Reason | None, ...], str]:
        """(words of each tag, what is wrong with each tag or nothing where all is well, a sentence about it)."""
        words: list[Words] = [()] * len(self.datamap.tags)
        start_at = 0 if self._first is None else self._parts.index(self._first)
        todo = (self._parts[start_at:] + self._parts[:start_at])[::-1]
        done: list[Part] = []
        while todo:
            part = todo.pop()
            if begun_s >= part.retry_s:
                part.is_left = not self._has_time(begun_s, self._longest_s)
                if not part.is_left:
                    held = self._held(part, begun_s)
                    for index, start, end in part.places:
                        words[index] = held[start:end]
                    if part.may_help_to_split:
                        todo += reversed(part.pieces(self.datamap))
                        continue
            done.append(part)
        self._first = next((part for part in done if part.is_left), None)
        done.sort(key=lambda part: (part.block.table, part.block.address))
        if done == self._parts and not any(part.reason or part.is_news for part in done):
            return tuple(words), (), ""
        self._learn(kept(done))
        return (tuple(words), *self._troubles())

    def _held(self, part: Part, begun_s: float) -> Words:
        """The words of a part, or none; raises UnreachableError, which an exception of a gateway is, too."""
        try:
            held = self._ask(part.block, begun_s)
        except ExceptionReply as error:
            if error.code in GATEWAY:
                raise
            part.failed(error, self._clock.monotonic())
            return ()
        part.worked()
        return held

    def _ask(self, block: Block, begun_s: float) -> Words:
        """The words of a block from a device that may be busy for a moment."""
        self._asked = block
        for _ in range(_BUSY_RETRIES):
            try:
                return self._exchange(block)
            except ExceptionReply as error:
                if error.code not in BUSY or not self._has_time(begun_s, self.master.timeout_s - _BUSY_S):
                    raise
            with self._pause:
                self._clock.wait(self._pause, _BUSY_S)
        return self._exchange(block)

    def _exchange(self, block: Block) -> Words:
        """The answer to one request; takes note of a connection that the device ended before it."""
        self._on_request()
        connection = self.master.connection
        opened = connection.opened if connection.is_open else None
        silent_s = self._clock.monotonic() - self._exchanged_s
        try:
            return self.master.read_block(block)
        finally:
            if connection.is_open:  # it answered
                if connection.opened == opened:
                    self._kept_s = max(self._kept_s, silent_s)
                elif opened is not None and not self._may_close(silent_s):
                    self._was_restarted = True
                self._polled_over = self._polled_over or connection.opened
                self._exchanged_s = self._clock.monotonic()

    def _may_close(self, silent_s: float) -> bool:
        """Whether a device that runs on may end a connection on which nothing was said for so long."""
        is_short = silent_s < _IDLE_S and not self._close_after_poll  # some do after each answer
        return not is_short and silent_s > _AS_LONG * self._kept_s + _SLACK_S

    def _has_time(self, begun_s: float, limit_s: float) -> bool:
        """Whether a poll that began then has taken less than this."""
        return self._clock.monotonic() < begun_s + limit_s

    def _learn(self, parts: list[Part]) -> None:
        """Go on with these parts, and say what is new."""
        if parts != self._parts:
            self._parts = parts
            concerns = about(device=self._device, unit=self.master.unit, registers=self.plan.describe())
            logger.warning("%s: read in other pieces from now on.", self._device, extra=concerns)
        for part in parts:
            if part.is_news:
                part.is_news = False
                self._say(part)

    def _say(self, part: Part) -> None:
        names = ", ".join(self.datamap.tags[index].name for index in part.block.tags)
        concerns = self._concerning(part.block)
        if part.code:
            again = f"; asked again after {part.wait_s:g} s" if part.wait_s >= PARKED_S else ""
            logger.warning("%s: no value for %s%s. %s", self._device, names, again, part.problem, extra=concerns)
        else:
            logger.info("%s: %s can be read again.", self._device, names, extra=concerns)

    def _concerning(self, block: Block) -> dict[str, object]:
        registers = block.describe()
        return about(device=self._device, unit=self.master.unit, function=block.read_function, registers=registers)

    def _troubles(self) -> tuple[tuple[Reason | None, ...], str]:
        """(what is wrong with each tag, the worst problem in a sentence, and another where time was short)."""
        bad: list[Reason | None] = [None] * len(self.datamap.tags)
        ill = sorted((part for part in self._parts if part.reason), key=lambda part: _WORST_FIRST.index(part.reason))
        for part in ill:
            for index in part.block.tags:
                bad[index] = part.reason
        said = [part.problem for part in ill if part.problem][:1]
        if self._first is not None:
            said.append(
                f"The slave at {self.master.address}, unit {self.master.unit}, takes longer than {self._longest_s:g} s "
                "to answer for all tags; those left out come first in the next poll, and a longer interval_s gives it "
                "the time."
            )
        return (tuple(bad) if ill else (), " ".join(said))


class Backoff:
    """How long to wait before a device is tried again: 1 to 30 s, doubling, with jitter."""

    def __init__(self, first_s: float = 1.0, longest_s: float = 30.0) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._next_s = first_s

    def next_s(self) -> float:
        """The next wait in seconds; each call after the first is longer."""
        wait_s = self._next_s
        self._next_s = min(self._longest_s, 2 * wait_s)
        return wait_s * random.uniform(0.7, 1.0)  # noqa: S311  # jitter is no secret

    def reset(self) -> None:
        """The device answered: begin anew."""
        self._next_s = self._first_s


class _NotBelieved(UnreachableError):
    """The check register holds something else."""


def _reason(error: UnreachableError) -> Reason:
    if isinstance(error, _NotBelieved):
        return Reason.CONFIGURATION_ERROR
    return reason_of(error.code) if isinstance(error, ExceptionReply) else Reason.NO_COMMUNICATION
