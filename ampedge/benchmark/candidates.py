"""What there is to measure: the bundle in each runtime, and each exported file with its own library."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ampedge.benchmark import c_program
from ampedge.errors import missing_extra
from ampedge.model.bundle import Bundle
from ampedge.training.export import exporter
from ampedge.training.export.quantised import quantised
from ampedge.training.export.quantised_graph import Precision

Make = Callable[[Bundle, Path], Path]
"""Writes the file that is measured into an empty directory; raises AmpedgeError."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """`needs` are the modules of the extra without which it cannot be measured.

    `command` are the first arguments of the process that runs the file which `make` wrote.
    """

    name: str
    make: Make
    loader: str
    needs: tuple[str, ...] = ()
    extra: str = ""

    @property
    def is_python(self) -> bool:
        return self.loader != c_program.LOADER

    def missing(self) -> str | None:
        """How to install what it needs, None where that is here."""
        if all(map(find_spec, self.needs)):
            return None
        return missing_extra(self.name, self.extra).remedy

    def command(self, made: Path) -> list[str | Path]:
        """What to start, but for the rows."""
        return [sys.executable, "-m", "ampedge.benchmark.child", self.loader, made] if self.is_python else [made]


def _exported(name: str) -> Make:
    def make(bundle: Bundle, directory: Path) -> Path:
        return exporter.export(bundle, name, directory / exporter.default_place(bundle, name)).path

    return make


def _quantised(precision: Precision) -> Make:
    def make(bundle: Bundle, directory: Path) -> Path:
        place = directory / f"{precision}.tflite"
        place.write_bytes(quantised(bundle, precision)[0])
        return place

    return make


_LITERT = (("ai_edge_litert",), "litert")
_KERAS = (("tensorflow", "keras"), "train")

CANDIDATES = (
    Candidate("ampedge/numpy", _exported("ampedge"), "bundle:numpy"),
    Candidate("ampedge/litert", _exported("ampedge"), "bundle:litert", *_LITERT),
    Candidate("ampedge/onnx", _exported("ampedge"), "bundle:onnx", ("onnxruntime", "onnx"), "onnx"),
    Candidate("ampedge/keras", _exported("ampedge"), "bundle:keras", *_KERAS),
    Candidate("tflite", _exported("tflite"), "tflite", *_LITERT),
    Candidate("tflite/float16", _quantised("float16"), "tflite", *_LITERT),
    Candidate("tflite/int8", _quantised("int8"), "tflite", *_LITERT),
    Candidate("onnx", _exported("onnx"), "onnx_file", ("onnxruntime", "onnx"), "onnx"),
    Candidate("keras", _exported("keras"), "keras_file", *_KERAS),
    Candidate("h5", _exported("h5"), "h5", ("tensorflow", "keras", "joblib", "sklearn"), "train"),
    Candidate("saved-model", _exported("saved-model"), "saved_model", *_KERAS),
    Candidate("c", c_program.make, c_program.LOADER),
)
