"""`tflite`: scaling and network for LiteRT; `ampedge.json` in a zip behind the model names features and classes."""

import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ampedge.errors import missing_extra

if TYPE_CHECKING:
    from ampedge.model.bundle import Bundle
    from ampedge.model.network import Matrix
    from ampedge.training.export.comparison import Run


def write(bundle: "Bundle", place: Path) -> None:
    """A float32 `.tflite` file."""
    place.write_bytes(content(bundle))


def content(bundle: "Bundle") -> bytes:
    """What is in it; raises the error of a missing extra."""
    from ampedge.model.runtimes.tflite_graph import tflite_graph

    try:
        model = tflite_graph(bundle.network, with_scaling=True)
    except ImportError as error:
        raise missing_extra("Export to tflite", "litert") from error
    return with_facts(model, bundle)


def with_facts(model: bytes, bundle: "Bundle") -> bytes:
    """The whole file: LiteRT reads up to the end of the model, `unzip` what follows."""
    from ampedge.training.export.facts import FACTS, facts

    file = io.BytesIO(model)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(FACTS, facts(bundle))
    return file.getvalue()


def load(place: Path) -> "Run":
    """The model as LiteRT runs it; raises the error of a missing extra."""
    return running(place.read_bytes())


def running(content: bytes) -> "Run":
    """The same of a file's content."""
    from ampedge.model.runtimes.litert import interpreter_engine

    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise missing_extra("Checking a tflite export", "litert") from error
    engine = interpreter_engine(Interpreter(model_content=content))

    def run(values: "Matrix") -> "Matrix":
        return engine(values.astype(np.float32)).astype(np.float64)

    return run
