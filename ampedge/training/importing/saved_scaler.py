"""The scaler in a joblib file, as mean and deviation of each feature; reading it can run what its maker wants."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ampedge.errors import ModelRefusedError, missing_extra
from ampedge.model.network import Matrix

_OTHER = "Give a StandardScaler or MinMaxScaler of scikit-learn, as joblib.dump(scaler, 'scaler.save') saves it."
_ASSUMED_DEVIATIONS = 3.0


@dataclass(frozen=True, slots=True)
class SavedScaler:
    """scaled = (value - mean) / std.

    `names` are the columns that it was fitted on, where it was fitted on a table with names.
    `version` is that of the scikit-learn that saved it.
    `low` and `high` are the ends of what it was fitted on where it knows them, else so far from the mean as
    `ranges` says.
    """

    kind: str
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    names: tuple[str, ...] | None
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    ranges: str
    version: str

    def misfit(self, values: Matrix, names: Sequence[str]) -> str | None:
        """Why it was not fitted on such columns, naming the first that shows it; None where it may have been."""
        for name, column in zip(names, ((values - self.mean) / self.std).T, strict=True):
            if self.kind == "StandardScaler":
                fits = abs(column.mean()) < 0.5 and 0.5 < column.std() < 2
            else:
                fits = column.min() > -0.5 and column.max() < 1.5 and np.ptp(column) > 0.5
            if not fits:
                return f"scaled by it, {name} has the mean {column.mean():.3g} and the deviation {column.std():.3g}"
        return None


def read_scaler(path: Path) -> SavedScaler:
    """The scaler in the file; raises ModelRefusedError with what is wrong with it or with what it is."""
    try:
        import joblib
        import sklearn
        from sklearn.exceptions import InconsistentVersionWarning
        from sklearn.preprocessing import MinMaxScaler, StandardScaler
    except ImportError as error:
        raise missing_extra("Import of a scaler", "train") from error
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = joblib.load(path)
        except (Exception, SystemExit) as error:  # a pickle can raise anything
            raise ModelRefusedError(f"{path} is nothing that joblib can read here ({error}).", _OTHER) from error
    versions = [w.message.original_sklearn_version for w in caught if isinstance(w.message, InconsistentVersionWarning)]
    if type(found) not in (StandardScaler, MinMaxScaler):
        raise ModelRefusedError(f"{path} holds a {type(found).__name__}.", _OTHER)
    if not hasattr(found, "n_features_in_"):
        raise ModelRefusedError(f"{path} holds a {type(found).__name__} that was never fitted.", _OTHER)
    try:
        return _scaler(path, found, versions[0] if versions else sklearn.__version__)
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelRefusedError(f"{path}: its numbers are not those of a fitted scaler ({error}).", _OTHER) from error


def _scaler(path: Path, found: Any, version: str) -> SavedScaler:
    kind, count = type(found).__name__, int(found.n_features_in_)
    if kind == "StandardScaler":
        mean = np.zeros(count) if found.mean_ is None else np.array(found.mean_, dtype=np.float64)
        std = np.ones(count) if found.scale_ is None else np.array(found.scale_, dtype=np.float64)
        low, high = mean - _ASSUMED_DEVIATIONS * std, mean + _ASSUMED_DEVIATIONS * std
        ranges = f"not known: taken to be {_ASSUMED_DEVIATIONS:g} deviations to either side of the scaler's mean"
    elif found.clip:
        raise ModelRefusedError(f"{path} clips what it scales, which a bundle cannot.", "Fit one without clip=True.")
    else:
        scale = np.array(found.scale_, dtype=np.float64)
        mean, std = -np.array(found.min_, dtype=np.float64) / scale, 1 / scale
        low, high = (np.array(end, dtype=np.float64) for end in (found.data_min_, found.data_max_))
        ranges = "of the rows that the scaler was fitted on"
    numbers = np.array([mean, std, low, high])
    if numbers.shape != (4, count) or not np.isfinite(numbers).all() or not (std > 0).all():
        raise ModelRefusedError(f"{path}: its numbers are not those of a fitted scaler.", _OTHER)
    names = getattr(found, "feature_names_in_", None)
    return SavedScaler(
        kind=kind,
        mean=mean,
        std=std,
        names=None if names is None else tuple(map(str, names)),
        low=low,
        high=high,
        ranges=ranges,
        version=version,
    )
