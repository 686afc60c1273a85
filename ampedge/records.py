"""What travels through the pipeline: plain, frozen, and importing nothing of ours."""

from dataclasses import dataclass
from enum import StrEnum

UNKNOWN = "unknown"
"""The label of a reading that no class may be given to; never a training label."""


class Quality(StrEnum):
    """How far a value or a label can be trusted, in the terms of OPC UA."""

    GOOD = "good"
    UNCERTAIN = "uncertain"
    BAD = "bad"


class Reason(StrEnum):
    """Why a quality is not good or a label is `unknown`; the words that events carry."""

    NO_COMMUNICATION = "no_communication"  # the device cannot be reached or does not answer
    DEVICE_FAILURE = "device_failure"  # the device answers with a Modbus exception
    CONFIGURATION_ERROR = "configuration_error"  # the device does not have what the data map asks for
    NEVER_WRITTEN = "never_written"  # every register of the map is zero
    NOT_A_NUMBER = "not_a_number"
    INFINITE = "infinite"
    DENORMAL = "denormal"  # the mark of a wrong word order
    SENTINEL = "sentinel"  # a raw word that the device uses for "no value"
    TORN = "torn"  # masters kept writing, so it may be half of one row and half of another
    OUT_OF_RANGE = "out_of_range"  # outside the tag's valid range
    OUTSIDE_TRAINING = "outside_training"  # far from anything that the model was trained on
    UNUSUAL_COMBINATION = "unusual_combination"  # each value may be, but not all of them together in this class
    FROZEN = "frozen"  # the same bits for longer than the tag's expect_change_s
    JUMPED = "jumped"  # further from the reading before than the tag's max_step
    SETTLING = "settling"  # the device has just come back
    LOW_CONFIDENCE = "low_confidence"  # the model is not sure enough


Words = tuple[int, ...]
"""Raw 16-bit registers as they came, each 0 to 65535 (0 or 1 for coils and discrete inputs)."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One poll of one device: the raw words of every tag, in the order of the data map.

    `time_s` is the wall clock at acquisition (seconds since the epoch, UTC), `monotonic_s` the clock that never jumps.
    Where the whole read failed, `words` is empty and `failure` says why, `detail` in a sentence.
    Where it failed for some tags, `bad` says why for each tag, None for those that were read; else it is empty.
    `settling` says that the device has come back a moment ago.
    """

    device: str
    time_s: float
    words: tuple[Words, ...] = ()
    failure: Reason | None = None
    detail: str = ""
    monotonic_s: float = 0.0
    settling: bool = False
    bad: tuple[Reason | None, ...] = ()


@dataclass(frozen=True, slots=True)
class TagValue:
    """One decoded tag in engineering units; `value` is None where there is no number to show."""

    name: str
    value: float | None
    unit: str
    quality: Quality = Quality.GOOD
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Cause:
    """A tag that speaks for what the model says: its value and the range of the normal state, in `unit`.

    `share` is how much of it the tag explains.  A value within the range speaks by not fitting the other tags;
    `expected` is then what they let expect.
    """

    tag: str
    value: float
    unit: str
    low: float
    high: float
    share: float
    expected: float | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A frame on its way through the stages; each stage fills in its part.

    `class_name` is what the model says, None when it was not asked.
    `label` is what is published after the decision, `because` what speaks for it, the most suspect first.
    """

    frame: Frame
    values: tuple[TagValue, ...] = ()
    quality: Quality = Quality.GOOD
    reasons: tuple[str, ...] = ()
    vector: tuple[float, ...] | None = None
    probabilities: tuple[float, ...] | None = None
    class_name: str | None = None
    confidence: float | None = None
    label: str = UNKNOWN
    because: tuple[Cause, ...] = ()


EVENT, DROPPED = 0, 1
"""The kinds of rows in the event log: an event, and the announcement that events were dropped."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A row of the event log that waits for the broker; `payload` is what it was given, byte for byte."""

    id: int
    kind: int
    device: str
    payload: bytes
