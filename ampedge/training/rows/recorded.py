"""The settings of a training as its bundle records them: written here and read back here."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ampedge.errors import ModelRefusedError
from ampedge.model.bundle import Bundle
from ampedge.training.settings import FitSettings, TableSettings

_LABEL = "label"
"""The manifest has a field of its own for it."""


def record(fitting: FitSettings, table: TableSettings) -> dict[str, Any]:
    """For the settings of a manifest."""
    settings = {**asdict(fitting), **asdict(table)}
    del settings[_LABEL]
    return settings


def fit_settings(bundle: Bundle) -> FitSettings:
    """How the network was fitted; raises ModelRefusedError where the bundle does not say it."""
    recorded = bundle.manifest.training.settings
    if not {"layers", "epochs"} <= recorded.keys():
        raise _unknown(bundle)
    try:
        return TypeAdapter(FitSettings).validate_python(_known(FitSettings, recorded))
    except ValidationError as error:
        raise _unknown(bundle) from error


def table_settings(bundle: Bundle) -> TableSettings | None:
    """How the table was read and split; None where the bundle is from before that was recorded."""
    recorded = bundle.manifest.training.settings
    if "time_order" not in recorded:
        return None
    given = {**_known(TableSettings, recorded), _LABEL: bundle.manifest.training.label}
    try:
        return TypeAdapter(TableSettings).validate_python(given)
    except ValidationError as error:
        raise _unknown(bundle) from error


def _known(kind: type, recorded: Mapping[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in recorded.items() if name in names}


def _unknown(bundle: Bundle) -> ModelRefusedError:
    return ModelRefusedError(
        f"{bundle.path} does not say with which settings it was trained.",
        "Train it again with `ampedge train`, which records them.",
    )
