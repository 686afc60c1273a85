"""`tflite`: scaling and network for LiteRT; `ampedge.json` in a zip behind the model names features and classes."""

import zipfile
from pathlib import Path

import numpy as np

from ampedge.errors import missing_extra
from ampedge.model.bundle import Bundle
from ampedge.model.network import Matrix
from ampedge.training.export.comparison import Run
from ampedge.training.export.facts import FACTS, facts
from ampedge.training.export.network import whole_network


def write(bundle: Bundle, place: Path) -> None:
    """A float32 `.tflite` file; LiteRT reads up to the end of the model, `unzip` what follows."""
    whole_network(bundle).export(place, format="litert", verbose=False)
    with zipfile.ZipFile(place, "a") as archive:
        archive.writestr(FACTS, facts(bundle))


def load(place: Path) -> Run:
    """The model as LiteRT runs it; raises the error of a missing extra."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise missing_extra("Checking a tflite export", "litert") from error
    interpreter = Interpreter(str(place))

    def run(values: Matrix) -> Matrix:
        source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        interpreter.resize_tensor_input(source["index"], values.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(source["index"], values.astype(np.float32))
        interpreter.invoke()
        return np.asarray(interpreter.get_tensor(target["index"]), dtype=np.float64)

    return run
