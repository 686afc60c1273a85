"""`onnx`: scaling and network for ONNX Runtime; the metadata property `ampedge.json` names features and classes."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ampedge.errors import missing_extra

if TYPE_CHECKING:
    from ampedge.model.bundle import Bundle
    from ampedge.model.network import Matrix
    from ampedge.training.export.comparison import Run

INPUT = "values"
OUTPUT = "probabilities"


def write(bundle: "Bundle", place: Path) -> None:
    """An `.onnx` file with the input `values` and the output `probabilities`."""
    from ampedge.model.runtimes.onnx_graph import onnx_graph
    from ampedge.training.export.facts import FACTS, facts

    try:
        import onnx

        model = onnx_graph(bundle.network, with_scaling=True)
    except ImportError as error:
        raise missing_extra("Export to ONNX", "onnx") from error
    onnx.helper.set_model_props(model, {FACTS: facts(bundle)})
    onnx.checker.check_model(model, full_check=True)
    place.write_bytes(model.SerializeToString())


def load(place: Path) -> "Run":
    """The model as ONNX Runtime runs it; raises the error of a missing extra."""
    try:
        import onnxruntime
    except ImportError as error:
        raise missing_extra("Checking an ONNX export", "onnx") from error
    session = onnxruntime.InferenceSession(place, providers=["CPUExecutionProvider"])

    def run(values: "Matrix") -> "Matrix":
        return np.asarray(session.run([OUTPUT], {INPUT: values.astype(np.float32)})[0], dtype=np.float64)

    return run
