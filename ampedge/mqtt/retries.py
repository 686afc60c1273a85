"""When to try the broker again: at once after a loss, later after each failure, much later where that is in vain."""

import random
import time
from collections import deque
from collections.abc import Callable
from enum import Enum, auto

BACKOFF_S = (1.0, 30.0)
REFUSED_S = 300.0
"""The longest wait where the broker refuses us."""
CONTESTED_S = 300.0
"""The wait after another client has taken our client id again and again."""
STEADY_S = 10.0
"""A connection that lasted this long is not a failed attempt."""
MINUTE_S = 60.0

YOUNG_S = 20.0
"""A connection that is closed in the midst of traffic before this age may have been ended by another client."""
QUIET_S = 2.0
"""How long a connection says nothing after one that was closed young."""

_TAKEOVERS = 3
_AT_ONCE = 10


class End(Enum):
    """How an attempt ended."""

    FAILED = auto()
    OTHER_VERSION = auto()  # the broker does not speak this version, or does not answer in it
    REFUSED = auto()  # it does not want this user, this client id or this certificate
    SILENT = auto()  # it stood, and the broker no longer answered
    CLOSED = auto()  # it stood, and the broker's side closed it without a word
    DISMISSED = auto()  # it stood, and the broker ended it with a reason of its own
    BLAMED = auto()  # it stood, and the broker ended it because of what we sent
    TAKEN_OVER = auto()  # it stood, and another client came with our client id


class Retries:
    """The pauses between attempts; `at_once` says that the present attempt follows a loss without any.

    Two clients with one id end each other's connection for ever.
    MQTT 5 may say so; else the sign is that a young connection is closed while the broker stays, so that the
    attempt right after it stands, and while nothing was on its way that the broker could have objected to.
    Young is what has not stood for 10 s, or for 20 s where it was not idle: proxies close what is idle.
    So that this is ever so, the attempt says nothing for `quiet_s`.
    `contested` is set while we keep out of such a quarrel; after it one more takeover is enough to stop again,
    until a connection has stood for a minute.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.at_once = False
        self.contested = False
        self.quiet_s = 0.0
        self._monotonic = monotonic
        self._wary = False
        self._failures = 0
        self._since_s: float | None = None
        self._closed_young: bool | None = None
        self._takeovers: deque[tuple[float, bool]] = deque(maxlen=_TAKEOVERS)
        self._at_once_s: deque[float] = deque(maxlen=_AT_ONCE)

    def stands(self) -> None:
        """The broker has accepted the connection."""
        self._since_s = self._monotonic()
        self.contested = False
        self.quiet_s = 0.0
        if self.at_once and self._closed_young is not None:
            self._takeovers.append((self._since_s, self._closed_young))
            self.quiet_s = QUIET_S
        self._closed_young = None

    def steady(self) -> bool:
        """Whether the present connection has stood for a while."""
        return self._since_s is not None and self._monotonic() - self._since_s >= STEADY_S

    def ended(self, end: End, *, unexplained: bool, idle: bool = True) -> float:
        """The seconds to wait now; `unexplained` says that nothing but another client can be why it was closed."""
        now_s = self._monotonic()
        stood_s = 0.0 if self._since_s is None else now_s - self._since_s
        young = self._since_s is not None and stood_s < (STEADY_S if idle else YOUNG_S)
        self._since_s = None
        if stood_s >= MINUTE_S:
            self._wary = False
        if end is End.TAKEN_OVER:
            self._takeovers.append((now_s, True))
        if (end is End.TAKEN_OVER or (end is End.CLOSED and young)) and self._is_contested(now_s):
            self.contested = self._wary = True
            self.at_once = False
            self._failures = 0
            self._takeovers.clear()
            return CONTESTED_S
        self._closed_young = unexplained if end is End.CLOSED and young else None
        self._failures = 0 if stood_s >= STEADY_S else min(self._failures + 1, 16)
        self.at_once = end in (End.CLOSED, End.BLAMED) and self._may_at_once(now_s)
        if self.at_once:
            self._at_once_s.append(now_s)
            return 0.0
        longest_s = REFUSED_S if end is End.REFUSED else BACKOFF_S[1]
        delay_s: float = min(longest_s, BACKOFF_S[0] * 2 ** max(0, self._failures - 1))
        return delay_s * random.uniform(0.75, 1.0)  # noqa: S311 (jitter)

    def _is_contested(self, now_s: float) -> bool:
        lately = [unexplained for at_s, unexplained in self._takeovers if now_s - at_s <= MINUTE_S]
        return len(lately) >= (1 if self._wary else _TAKEOVERS) and all(lately)

    def _may_at_once(self, now_s: float) -> bool:
        return len(self._at_once_s) < _AT_ONCE or now_s - self._at_once_s[0] > MINUTE_S
