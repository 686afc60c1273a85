"""The formats of `ampedge export`, by the name that `--format` takes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ampedge.model.bundle import SUFFIX, Bundle
from ampedge.training.export import c_header, edge_file, h5, keras_file, onnx_file, saved_model, tflite
from ampedge.training.export.comparison import Run


@dataclass(frozen=True, slots=True)
class Format:
    """How a format is written, and loaded again.

    `ending` follows the bundle's name.  `contents` are the names inside where it is a directory, else None.
    """

    ending: str
    write: Callable[[Bundle, Path], None]
    load: Callable[[Path], Run]
    contents: frozenset[str] | None = None


FORMATS = {
    "ampedge": Format(SUFFIX, edge_file.write, edge_file.load),
    "keras": Format(".keras", keras_file.write, keras_file.load),
    "h5": Format("-h5", h5.write, h5.load, h5.CONTENTS),
    "tflite": Format(".tflite", tflite.write, tflite.load),
    "onnx": Format(".onnx", onnx_file.write, onnx_file.load),
    "saved-model": Format("-saved-model", saved_model.write, saved_model.load, saved_model.CONTENTS),
    "c": Format(".h", c_header.write, c_header.load),
}
