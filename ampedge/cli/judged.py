"""What `evaluate` is given: models and a table in any order, told apart by what they are."""

from collections.abc import Sequence
from pathlib import Path

from ampedge.errors import UsageError
from ampedge.model.archive import is_archive
from ampedge.model.bundle import SUFFIX


def told_apart(given: Sequence[Path], model: str | None) -> tuple[list[Path], Path | None]:
    """(models, table) of the arguments; `model` is that of --model; raises UsageError for too many of either."""
    models = [path for path in given if _is_model(path)]
    tables = [path for path in given if path not in models]
    if len(tables) > 1:
        raise UsageError(
            f"{tables[0]} and {tables[1]} are two tables.", "Give one, as in `ampedge evaluate MODEL OTHER DATA.csv`."
        )
    if len(models) > 2:
        raise UsageError(f"{len(models)} models are given.", "Compare two at a time.")
    if models and model is not None:
        raise UsageError(f"--model {model} and {models[0]} both name the model.", "Give one of them.")
    return models, tables[0] if tables else None


def _is_model(path: Path) -> bool:
    try:
        return path.is_dir() or path.suffix == SUFFIX or (path.is_file() and is_archive(path))
    except OSError:
        return False  # the table reader says what is wrong with it
