"""A device as a source of frames: polled by its plan, patient with a device that is away."""

import random

from ampedge.clock import Clock
from ampedge.datamap import DataMap
from ampedge.errors import ExceptionReply, UnreachableError
from ampedge.modbus.client import Master
from ampedge.modbus.plan import plan_reads
from ampedge.records import Frame, Reason

_ILLEGAL_ADDRESS = 2
_CONFIGURATION = (1, 2, 3)
_GATEWAY = (10, 11)


class ModbusSource:
    """Turns polls of one slave into frames; a failed poll is a frame, too, and never raises."""

    def __init__(self, master: Master, datamap: DataMap, *, device: str, clock: Clock) -> None:
        self.master = master
        self.plan = plan_reads(datamap)
        self._device = device
        self._clock = clock

    def poll(self) -> Frame:
        """One frame now."""
        time_s = self._clock.time()
        try:
            try:
                words = self.master.read(self.plan)
            except ExceptionReply as error:
                bare = plan_reads(self.plan.datamap, gap=0)
                if error.code != _ILLEGAL_ADDRESS or bare == self.plan:
                    raise
                # The registers between the tags may not exist: from now on they are left alone.
                self.plan = bare
                words = self.master.read(self.plan)
        except UnreachableError as error:
            return Frame(self._device, time_s, failure=_reason(error), detail=error.problem)
        return Frame(self._device, time_s, words)


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


def _reason(error: UnreachableError) -> Reason:
    if not isinstance(error, ExceptionReply) or error.code in _GATEWAY:
        return Reason.NO_COMMUNICATION
    return Reason.CONFIGURATION_ERROR if error.code in _CONFIGURATION else Reason.DEVICE_FAILURE
