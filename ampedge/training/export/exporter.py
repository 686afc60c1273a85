"""One export: written beside its place, loaded again, compared with the bundle, and only then kept."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ampedge.errors import ModelRefusedError, UsageError
from ampedge.model.bundle import Bundle
from ampedge.model.network import Matrix
from ampedge.quiet import quiet
from ampedge.training.destination import new_directory, new_file
from ampedge.training.export.comparison import LARGEST_DIFFERENCE, Comparison, compare
from ampedge.training.export.facts import file_stem
from ampedge.training.export.formats import FORMATS, Format
from ampedge.training.registers import through_registers
from ampedge.training.rows.labelled import held_out_rows

RANDOM_ROWS = 1000
_SEED = 42


@dataclass(frozen=True, slots=True)
class Export:
    """What was written, of how many bytes, and how it compared on which rows."""

    path: Path
    format: str
    size_bytes: int
    compared_on: str
    comparison: Comparison

    def describe(self) -> str:
        """The export in two lines, for people."""
        return (
            f"{self.path} ({self.size_bytes / 1000:.1f} kB)\n"
            f"Compared with the bundle on {self.comparison.rows} {self.compared_on}: "
            f"{self.comparison.different} classes differ, probabilities by at most {self.comparison.largest:.1e}."
        )

    def document(self) -> dict[str, Any]:
        """The export as JSON has it."""
        return {
            "path": str(self.path),
            "format": self.format,
            "bytes": self.size_bytes,
            "compared_on": self.compared_on,
            "rows": self.comparison.rows,
            "classes_different": self.comparison.different,
            "largest_difference": self.comparison.largest,
        }


def default_place(bundle: Bundle, name: str, precision: str | None = None) -> Path:
    """Here, named after the bundle and what it is quantised to, with the ending of the format `name`."""
    return Path(file_stem(bundle) + (f"-{precision}" if precision else "") + FORMATS[name].ending)


def export(bundle: Bundle, name: str, out: Path) -> Export:
    """Write `bundle` in the format `name` to `out`.

    Raises ModelRefusedError, leaving whatever was there, where it does not say what the bundle says;
    UsageError or InUseError where `out` is no place for it.
    """
    kind = FORMATS[name]
    check_ending(name, out)
    values, compared_on = comparison_rows(bundle)
    with _place(kind, out) as made:
        with quiet():
            kind.write(bundle, made)
            comparison = compare(bundle, kind.load(made), values)
        if not comparison.passed:
            raise _refused(bundle, out, name, values, comparison)
        size_bytes = sum(file.stat().st_size for file in [made, *made.rglob("*")] if file.is_file())
    return Export(out, name, size_bytes, compared_on, comparison)


def check_ending(name: str, out: Path) -> None:
    """Raise UsageError where a file in the format `name` does not end so."""
    kind = FORMATS[name]
    if kind.contents is None and out.suffix != kind.ending:
        better = out.with_suffix(kind.ending) if out.name else out / f"NAME{kind.ending}"
        raise UsageError(f"--out {out}: a file in this format ends in {kind.ending}.", f"Give --out {better}")


def comparison_rows(bundle: Bundle) -> tuple[Matrix, str]:
    """(rows as they come through the registers, what they are): held-out ones where the bundle has them."""
    held_out = held_out_rows(bundle)
    if held_out is not None:
        return through_registers(bundle.datamap, [row.values for row in held_out.rows]), "held-out rows"
    features = bundle.manifest.features
    low, high = (np.array([getattr(feature, end) for feature in features]) for end in ("minimum", "maximum"))
    drawn = np.random.RandomState(_SEED).uniform(low, high, (RANDOM_ROWS, len(features)))
    rows = [*(row.values for row in bundle.manifest.golden), *drawn.tolist()]
    return through_registers(bundle.datamap, rows), "golden rows and random rows within the training ranges"


def _place(kind: Format, out: Path) -> AbstractContextManager[Path]:
    return new_file(out) if kind.contents is None else new_directory(out, kind.contents)


def _refused(bundle: Bundle, out: Path, name: str, values: Matrix, comparison: Comparison) -> ModelRefusedError:
    rounded = compare(bundle, lambda raw: bundle.probabilities(raw.astype(np.float32).astype(np.float64)), values)
    return ModelRefusedError(
        f"{out} was not written: as {name} the model gives another class on {comparison.different} of "
        f"{comparison.rows} rows and probabilities that differ by up to {comparison.largest:.2g} "
        f"(at most {LARGEST_DIFFERENCE:g}).",
        "This model's values need more digits than the float32 of this format holds; use --format ampedge."
        if name != "ampedge" and not rounded.passed
        else "Use --format ampedge, and report this with the bundle.",
    )
