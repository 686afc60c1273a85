"""What a check has found, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum

from ampedge.errors import AmpedgeError


class State(StrEnum):
    """How bad it is: a problem keeps labels from their readers, a warning may one day."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's; `exit_code` is that of a problem, 0 else."""

    check: str
    state: State
    found: str
    remedy: str = ""
    exit_code: int = 0


def ok(check: str, found: str) -> Finding:
    """All is well, and this is how it stands."""
    return Finding(check, State.OK, found)


def warning(check: str, found: str, remedy: str) -> Finding:
    """It works, but somebody should know."""
    return Finding(check, State.WARNING, found, remedy)


def problem(check: str, error: AmpedgeError) -> Finding:
    """It does not work, as an error says that a command would end with."""
    return Finding(check, State.PROBLEM, error.problem, error.remedy, error.exit_code)
