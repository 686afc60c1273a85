"""LiteRT as the engine of a bundle."""

from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from ampedge.errors import missing_extra
from ampedge.model.network import DenseNetwork
from ampedge.model.runtimes.engine import Engine
from ampedge.model.runtimes.tflite_graph import tflite_graph

if TYPE_CHECKING:
    from numpy.typing import NDArray


def engine(network: DenseNetwork) -> Engine:
    """The layers as LiteRT runs them; raises the error of a missing extra."""
    try:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        content = tflite_graph(network, with_scaling=False)
    except ImportError as error:
        raise missing_extra("The runtime litert", "litert") from error
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES  # a delegate says on stderr that it is there
    return interpreter_engine(Interpreter(model_content=content, experimental_op_resolver_type=plain))


def interpreter_engine(interpreter: Any) -> Engine:
    """An interpreter as a function of any number of rows; it has one state, so one thread at a time."""
    source, target = (
        details[0]["index"] for details in (interpreter.get_input_details(), interpreter.get_output_details())
    )
    lock = Lock()
    shape: tuple[int, ...] = ()

    def run(values: "NDArray[np.float32]") -> "NDArray[np.float32]":
        nonlocal shape
        with lock:
            if values.shape != shape:
                interpreter.resize_tensor_input(source, values.shape)
                interpreter.allocate_tensors()
                shape = values.shape
            interpreter.set_tensor(source, values)
            interpreter.invoke()
            found: NDArray[np.float32] = interpreter.get_tensor(target)
            return found

    return run
