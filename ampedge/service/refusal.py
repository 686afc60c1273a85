"""Why something new was not taken over, as a sentence; what is no error of ours is a bug, and logged as one."""

from ampedge.errors import AmpedgeError
from ampedge.log import logger


def refusal(error: Exception) -> str:
    """The problem and what to do, in one line that ends with a full stop."""
    if not isinstance(error, AmpedgeError):
        logger.error("It could not be taken over because of a bug.", exc_info=error)
        return f"It could not be taken over: {type(error).__name__}: {error}."
    problem = "; ".join(error.problem.splitlines())
    return problem if problem.endswith((".", "?")) else f"{problem}."
