"""`onnx`: scaling and network for ONNX Runtime; the metadata property `ampedge.json` names features and classes."""

from pathlib import Path

import numpy as np

from ampedge.errors import missing_extra
from ampedge.model.bundle import Bundle
from ampedge.model.network import Matrix
from ampedge.training.export.comparison import Run
from ampedge.training.export.facts import FACTS, facts
from ampedge.training.export.network import INPUT, OUTPUT, whole_network


def write(bundle: Bundle, place: Path) -> None:
    """An `.onnx` file with the input `values` and the output `probabilities`."""
    try:
        import onnx
        import tf2onnx  # noqa: F401
    except ImportError as error:
        raise missing_extra("Export to ONNX", "onnx") from error
    network = whole_network(bundle)
    network(np.zeros((1, len(bundle.manifest.features)), dtype=np.float32))  # Keras exports only what has run once
    network.export(place, format="onnx", verbose=False)
    model = onnx.load(place)
    (output,) = model.graph.output
    for node in model.graph.node:
        node.output[:] = [OUTPUT if name == output.name else name for name in node.output]
    output.name = OUTPUT
    onnx.helper.set_model_props(model, {FACTS: facts(bundle)})
    onnx.checker.check_model(model)
    onnx.save(model, place)


def load(place: Path) -> Run:
    """The model as ONNX Runtime runs it; raises the error of a missing extra."""
    try:
        import onnxruntime
    except ImportError as error:
        raise missing_extra("Checking an ONNX export", "onnx") from error
    session = onnxruntime.InferenceSession(place, providers=["CPUExecutionProvider"])

    def run(values: Matrix) -> Matrix:
        return np.asarray(session.run([OUTPUT], {INPUT: values.astype(np.float32)})[0], dtype=np.float64)

    return run
