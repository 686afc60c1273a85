"""From the files of the published training to a bundle, each thing that they do not say named as such."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from ampedge.config import Config
from ampedge.datamap import DataMap, laid_out
from ampedge.errors import ConfigError, ModelRefusedError, UsageError
from ampedge.files import name_as_text
from ampedge.model.bundle import WEIGHTS, Bundle, check_destination, save_bundle
from ampedge.model.network import pack_weights
from ampedge.settings import TagSection
from ampedge.table import read_table
from ampedge.training.importing import imported_golden, imported_manifest
from ampedge.training.importing.h5_network import read_network
from ampedge.training.importing.label_order import check_order, encoded_order, label_order
from ampedge.training.importing.parts import Parts
from ampedge.training.importing.published import Said, mistaken_orders
from ampedge.training.importing.published import said as what_is_said
from ampedge.training.importing.saved_scaler import SavedScaler, read_scaler
from ampedge.training.model_name import checked_name
from ampedge.training.rows.dataset import Dataset, dataset
from ampedge.training.settings import TableSettings

_HEALTHY = ("healthy", "normal", "ok", "good", "run", "running")


@dataclass(frozen=True, slots=True)
class Imported:
    """A bundle that was made of other files; `right` is the share of the table's rows that come out right."""

    bundle: Bundle
    notes: tuple[str, ...]
    rows: list[Said]
    right: float | None

    def document(self) -> dict[str, Any]:
        """The result as JSON has it."""
        made = self.bundle.manifest
        return {
            "model": {"name": made.name, "version": made.version, "path": str(self.bundle.path)},
            "classes": made.classes,
            "features": made.feature_names,
            "normal_label": made.normal_label,
            "notes": list(self.notes),
            "right": self.right,
            "golden": [{"values": row.values, "class": row.right, "otherwise": row.otherwise} for row in self.rows],
        }


def import_model(
    network_file: Path,
    scaler_file: Path,
    *,
    trust: bool,
    out: Path,
    config: Config,
    labels: Sequence[str] | None,
    data: Path | None,
    table: TableSettings,
    name: str | None = None,
) -> Imported:
    """Read both files and, where it is given, the table of the training; write the bundle to `out`.

    Without `trust` no file is opened.  Raises an error, with nothing written, where they do not fit each other.
    """
    if not trust:
        raise UsageError(
            f"{scaler_file} is a pickle, and an .h5 file can hold code: who made them can run anything here, "
            "with your rights. Nothing was opened.",
            "Where you made them yourself or trust who did, add --trust.",
        )
    check_destination(out)
    name = checked_name((data or network_file).stem if name is None else name)
    for path in (network_file, scaler_file):
        if not path.is_file():
            raise UsageError(f"There is no file {path}.", "Give the files that the training saved.")
    network, scaler = read_network(network_file), read_scaler(scaler_file)
    if network.inputs != scaler.mean.size:
        raise ModelRefusedError(
            f"{network_file} takes {network.inputs} features, {scaler_file} scales {scaler.mean.size}.",
            "Give the scaler that was saved with the network.",
        )
    rows = None if data is None else _rows(data, scaler, table, config)
    datamap = rows.datamap if rows is not None else _datamap(scaler, table, config)
    order = label_order(labels, data=rows, outputs=network.outputs)
    parts = Parts(network, scaler, order, datamap, None if rows is None else _in_order(rows, order), table.label)
    right = None if parts.data is None else check_order(parts.data, parts.runtime().probabilities(parts.data.values))
    normal_label, guesses = _normal_label(parts, config.settings.decision.normal_label)
    golden, silent = imported_golden.golden(parts)
    written = imported_manifest.manifest(
        parts,
        name=name,
        normal_label=normal_label,
        golden=golden,
        files={name_as_text(file): file for file in (network_file, scaler_file)},
    )
    try:
        bundle = save_bundle(out, written, {WEIGHTS: pack_weights(network.layers)})
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}.", "Choose another place with --out.") from error
    appearance = () if rows is None else tuple(dict.fromkeys(rows.names(np.arange(len(rows.targets)))))
    said = what_is_said(
        bundle.network, np.array([row["values"] for row in golden]), order, mistaken_orders(order, appearance)
    )
    return Imported(bundle, (*_notes(parts, right), *guesses, *silent), list(said), right)


def _in_order(rows: Dataset, classes: tuple[str, ...]) -> Dataset:
    """The same rows with the classes in another order."""
    places = np.array([classes.index(name) for name in rows.classes], dtype=np.int32)
    return replace(rows, classes=classes, targets=places[rows.targets])


def _rows(data: Path, scaler: SavedScaler, table: TableSettings, config: Config) -> Dataset:
    """The table's rows with just the features of the scaler; raises ModelRefusedError where it is of other columns."""
    if scaler.names is not None and table.features is None:
        table = replace(table, features=scaler.names, drop=())
    rows = read_table(data, sep=table.sep, decimal=table.decimal, drop_bad_rows=table.drop_bad_rows)
    found = dataset(rows, table, config.datamap, keep_wild=True)
    if len(found.features) != scaler.mean.size:
        raise ModelRefusedError(
            f"The network takes {scaler.mean.size} features, {data} has {len(found.features)}: "
            f"{', '.join(found.features)}.",
            "Say with --features A,B,C which columns it was trained on, in their order.",
        )
    _check_names(scaler, found.features)
    if misfit := scaler.misfit(found.values, found.features):
        raise ModelRefusedError(
            f"The scaler was not fitted on {', '.join(found.features)} of {data}: {misfit}.",
            "Give the table that it was trained on, and with --features A,B,C its columns in their order.",
        )
    return found


def _datamap(scaler: SavedScaler, table: TableSettings, config: Config) -> DataMap:
    """The tags of the config, else the named features, one after the other; raises UsageError without names."""
    names = table.features or scaler.names or (() if config.datamap is None else config.datamap.names)
    if len(names) != scaler.mean.size:
        raise UsageError(
            f"The network takes {scaler.mean.size} features, and {len(names) or 'none'} are named.",
            "Name them in the order of the training with --features A,B,C, or give the table with --data.",
        )
    _check_names(scaler, names)
    if config.datamap is None:
        for name in names:
            try:
                TagSection(name=name, address=0)
            except ValidationError as error:
                why = error.errors()[0]["msg"].removeprefix("Value error, ")
                raise UsageError(f"The feature {name!r} cannot be the name of a tag: {why}.", "Rename it.") from error
        return laid_out(list(names))
    if set(names) != set(config.datamap.names):
        raise UsageError(
            f"The features {', '.join(names)} are not the tags of the config: {', '.join(config.datamap.names)}.",
            "Give both the same names.",
        )
    return config.datamap.ordered(list(names))


def _check_names(scaler: SavedScaler, names: Sequence[str]) -> None:
    if scaler.names is not None and tuple(names) != scaler.names:
        raise ModelRefusedError(
            f"The scaler was fitted on {', '.join(scaler.names)}, in this order; the features are {', '.join(names)}.",
            "Leave out --features, or name them so.",
        )


def _notes(parts: Parts, right: float | None) -> Iterator[str]:
    """What the user must know of how far this can be trusted."""
    import sklearn

    if parts.scaler.version != sklearn.__version__:
        yield f"The scaler was saved by scikit-learn {parts.scaler.version} and read by {sklearn.__version__}."
    if parts.data is None or right is None:
        yield (
            "Without the table of the training nothing shows whether labels, features and scaler belong to this "
            f"network. The ranges of training are {parts.scaler.ranges}; the golden rows are drawn within them."
        )
        if parts.classes != (encoded := encoded_order(parts.classes)):
            yield f"Warning: the published training puts labels in the order {','.join(encoded)}. You gave another one."
        return
    yield from parts.data.notes
    where = f"The network is right on {right:.1%} of the rows of {parts.data.path}"
    always = np.bincount(parts.data.targets).max() / len(parts.data.targets)
    if right <= always:
        yield f"Warning: {where}, no better than always answering the commonest class. Was it trained on this table?"
    else:
        yield f"{where}. It was trained on most of them: how good it is on others is not known."


def _normal_label(parts: Parts, wanted: str | None) -> tuple[str, list[str]]:
    """(the healthy state, a note where it is a guess): the config's, else the commonest in the table."""
    if wanted is not None and wanted not in parts.classes:
        raise ConfigError(
            f"decision.normal_label: {wanted!r} is none of the classes {', '.join(parts.classes)}.",
            "Name the class of the healthy state, or leave the key away.",
        )
    if wanted is not None:
        return wanted, []
    if parts.data is not None:
        return parts.classes[int(np.bincount(parts.data.targets).argmax())], []
    known = {name.casefold(): name for name in parts.classes}
    found = next((known[name] for name in _HEALTHY if name in known), parts.classes[0])
    return found, [f"{found!r} is taken for the healthy state; decision.normal_label of the config names another."]
