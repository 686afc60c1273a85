"""ONNX Runtime as the engine of a bundle."""

from typing import TYPE_CHECKING

import numpy as np

from ampedge.errors import missing_extra
from ampedge.model.network import DenseNetwork
from ampedge.model.runtimes.engine import Engine
from ampedge.model.runtimes.onnx_graph import INPUT, OUTPUT, onnx_graph

if TYPE_CHECKING:
    from numpy.typing import NDArray


def engine(network: DenseNetwork) -> Engine:
    """The layers as ONNX Runtime runs them; raises the error of a missing extra."""
    try:
        import onnxruntime

        content = onnx_graph(network, with_scaling=False).SerializeToString()
    except ImportError as error:
        raise missing_extra("The runtime onnx", "onnx") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # more cost more than so small a network takes
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(values: "NDArray[np.float32]") -> "NDArray[np.float32]":
        found: NDArray[np.float32] = session.run([OUTPUT], {INPUT: values})[0]
        return found

    return run
