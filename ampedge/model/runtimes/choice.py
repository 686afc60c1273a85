"""The runtimes by the name that `--runtime` takes; a library is imported when its runtime is chosen."""

from ampedge.model.network import DenseNetwork, Runtime
from ampedge.model.runtimes import keras_runtime, litert, onnx_runtime
from ampedge.model.runtimes.engine import EngineRuntime

ENGINES = {"litert": litert.engine, "onnx": onnx_runtime.engine, "keras": keras_runtime.engine}
RUNTIMES = (DenseNetwork.name, *ENGINES)


def runtime(name: str, network: DenseNetwork) -> Runtime:
    """The network as `name` runs it; raises the error of a missing extra."""
    return network if name == DenseNetwork.name else EngineRuntime(name, network, ENGINES[name](network))
