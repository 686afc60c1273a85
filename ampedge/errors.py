"""Every error that a user can cause or meet, with the exit code that it ends a command with.

    AmpedgeError            1   a bug, if it is ever shown as such
    ├── UsageError          2   options that do not go together, a missing extra, a missing right
    │   └── ConfigError     2   one or more problems of the configuration, all at once
    ├── DataError           3   a table that cannot be used
    ├── UnreachableError    4   a device or broker that does not answer
    │   └── ExceptionReply  4   a device that answers with a Modbus exception
    ├── ModelRefusedError   5   a bundle or an export that is not to be trusted
    ├── GateError           6   an acceptance gate that was not met
    └── InUseError          7   a port, file or directory that something else holds

One place prints them (`ampedge.cli.app.main`): the problem, then the remedy.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class AmpedgeError(Exception):
    """What went wrong and where (`problem`), and what to do about it (`remedy`)."""

    exit_code = 1

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy


class UsageError(AmpedgeError):
    """The command cannot be carried out as it was given."""

    exit_code = 2


class ConfigError(UsageError):
    """The configuration has problems; `problem` lists all of them."""


class DataError(AmpedgeError):
    """A table cannot be read or used without guessing."""

    exit_code = 3


class UnreachableError(AmpedgeError):
    """A device or broker cannot be reached; trying again may help."""

    exit_code = 4


class ExceptionReply(UnreachableError):
    """The device answered a request with a Modbus exception; `code` is its number."""

    def __init__(self, code: int, problem: str, remedy: str = "") -> None:
        super().__init__(problem, remedy)
        self.code = code


class ModelRefusedError(AmpedgeError):
    """A bundle or an exported model is damaged, mismatched or too new."""

    exit_code = 5


class GateError(AmpedgeError):
    """A result is worse than the limit that the user set."""

    exit_code = 6


class InUseError(AmpedgeError):
    """A port, file or directory is taken."""

    exit_code = 7


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """`did you mean 'x'?` for the nearest of `known`, or an empty string."""
    near = get_close_matches(wrong, list(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else ""


def missing_extra(what: str, extra: str) -> UsageError:
    """The one wording for a library that the base install leaves out."""
    return UsageError(
        f"{what} needs a library that this install does not have.",
        f'Install it with: pip install "ampedge[{extra}]"',
    )
