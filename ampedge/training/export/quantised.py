"""A smaller LiteRT file, which may say something else: kept only where it judges held-out rows nearly as well."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ampedge.errors import DataError, GateError, missing_extra
from ampedge.model.bundle import Bundle
from ampedge.model.network import Matrix
from ampedge.quiet import quiet
from ampedge.training.destination import new_file
from ampedge.training.export import tflite
from ampedge.training.export.comparison import Comparison, compare
from ampedge.training.export.exporter import check_ending
from ampedge.training.export.quantised_graph import Precision, float16_graph, int8_graph
from ampedge.training.fitting.thresholds import said_by
from ampedge.training.metrics import confusion, macro_f1
from ampedge.training.registers import through_registers
from ampedge.training.rows.labelled import held_out_rows, representative_rows

_TRAIN_AGAIN = "Give the directory that `ampedge train` of this version wrote; of an older one, train it again."


@dataclass(frozen=True, slots=True)
class QuantisedExport:
    """What a quantised file says of the held-out rows, beside what the bundle says of them.

    `float32_bytes` is the size that the file would have unquantised.
    """

    path: Path
    precision: Precision
    size_bytes: int
    float32_bytes: int
    calibrated_on: int
    comparison: Comparison
    before: float
    after: float
    max_loss: float

    @property
    def passed(self) -> bool:
        return self.before - self.after <= self.max_loss

    def describe(self) -> str:
        """The comparison in lines, for people."""
        lines = [
            f"{self.precision}: {self.size_bytes / 1000:.1f} kB, as float32 {self.float32_bytes / 1000:.1f} kB",
            f"Compared with the bundle on {self.comparison.rows} held-out rows: "
            f"macro-F1 {self.before:.4f} before, {self.after:.4f} after; {self.comparison.different} classes differ, "
            f"probabilities by at most {self.comparison.largest:.1e}.",
        ]
        if self.calibrated_on:
            lines.insert(1, f"Calibrated on {self.calibrated_on} rows of the training.")
        return "\n".join(lines)

    def document(self) -> dict[str, Any]:
        """The comparison as JSON has it; `path` is null where nothing was written."""
        return {
            "path": str(self.path) if self.passed else None,
            "format": "tflite",
            "quantized": self.precision,
            "bytes": self.size_bytes,
            "bytes_float32": self.float32_bytes,
            "compared_on": "held-out rows",
            "rows": self.comparison.rows,
            "calibrated_on": self.calibrated_on,
            "classes_different": self.comparison.different,
            "largest_difference": self.comparison.largest,
            "macro_f1": {"before": self.before, "after": self.after},
            "max_loss": self.max_loss,
            "passed": self.passed,
        }

    def refusal(self) -> GateError:
        """The error of a file that lost too much."""
        return GateError(
            f"{self.path} was not written: as {self.precision} macro-F1 falls by {self.before - self.after:.4f}, "
            f"more than --max-loss {self.max_loss:g}.",
            "Export it without --quantize"
            + (", with --quantize float16," if self.precision == "int8" else "")
            + " or allow more with --max-loss.",
        )


def export_quantised(bundle: Bundle, precision: Precision, out: Path, *, max_loss: float) -> QuantisedExport:
    """Judge the quantised model and, where it passes, write it to `out`; else whatever was there stays.

    Raises DataError where the bundle has no rows to judge it by, UsageError where `out` is no place for it.
    """
    check_ending("tflite", out)
    held_out = held_out_rows(bundle)
    if held_out is None:
        raise DataError(f"{bundle.path} has no held-out rows, by which a quantised model is judged.", _TRAIN_AGAIN)
    values = through_registers(bundle.datamap, [row.values for row in held_out.rows])
    truth = [row.label for row in held_out.rows]
    content, calibrated_on = quantised(bundle, precision)
    with quiet():
        run = tflite.running(content)
        comparison, found = compare(bundle, run, values), run(values)
    before, after = said_by(bundle, bundle.probabilities(values)), said_by(bundle, found)
    result = QuantisedExport(
        path=out,
        precision=precision,
        size_bytes=len(content),
        float32_bytes=len(tflite.content(bundle)),
        calibrated_on=calibrated_on,
        comparison=replace(comparison, different=int(np.count_nonzero(before != after))),
        before=_macro_f1(bundle, truth, before),
        after=_macro_f1(bundle, truth, after),
        max_loss=max_loss,
    )
    if result.passed:
        with new_file(out) as made:
            made.write_bytes(content)
    return result


def quantised(bundle: Bundle, precision: Precision) -> tuple[bytes, int]:
    """(the whole file, unjudged; the rows of the training that it was calibrated on, for int8 alone).

    Raises DataError where the bundle has no such rows, and the error of a missing extra.
    """
    try:
        if precision == "float16":
            return tflite.with_facts(float16_graph(bundle.network), bundle), 0
        rows = _calibration(bundle)
        return tflite.with_facts(int8_graph(bundle.network, rows), bundle), len(rows)
    except ImportError as error:
        raise missing_extra("Export to tflite", "litert") from error


def _calibration(bundle: Bundle) -> Matrix:
    """Rows of the training as they come through the registers: those that judge the result must not shape it."""
    found = representative_rows(bundle)
    if found is None:
        raise DataError(f"{bundle.path} has no rows of its training, to which int8 is calibrated.", _TRAIN_AGAIN)
    return through_registers(bundle.datamap, [row.values for row in found.rows])


def _macro_f1(bundle: Bundle, truth: list[str], places: NDArray[np.intp]) -> float:
    said = [bundle.classes[place] for place in places]
    return macro_f1(confusion(truth, said, bundle.classes))
