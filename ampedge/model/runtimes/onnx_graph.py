"""A network as an ONNX model of the plainest operators, in an old version that every runtime reads."""

from typing import Any

from ampedge.model.network import DenseNetwork

INPUT = "values"
OUTPUT = "probabilities"
_OPSET = 13
_IR_VERSION = 7


def onnx_graph(network: DenseNetwork, *, with_scaling: bool) -> Any:
    """The ModelProto: float32 (rows, features), scaled or in engineering units, to float32 (rows, classes).

    Raises ImportError without the library.
    """
    from onnx import TensorProto, helper, numpy_helper

    nodes: list[Any] = []
    constants: list[Any] = []

    def node(kind: str, flow: str, *parts: Any, name: str, **settings: Any) -> str:
        names = [f"{name}_{at}" for at in range(1, len(parts) + 1)]
        constants.extend(map(numpy_helper.from_array, parts, names))
        nodes.append(helper.make_node(kind, [flow, *names], [name], name, **settings))
        return name

    flow = INPUT
    if with_scaling:
        coarse, fine, scale = network.float32_scaling()
        flow = node("Sub", flow, coarse, name="centre")
        flow = node("Sub", flow, fine, name="centre_rest")
        flow = node("Mul", flow, scale, name="scale")
    for at, (kernel, bias) in enumerate(network.layers, start=1):
        flow = node("Gemm", flow, kernel, bias, name=f"dense_{at}")
        if at < len(network.layers):
            flow = node("Relu", flow, name=f"relu_{at}")
    node("Softmax", flow, name=OUTPUT, axis=1)
    ends = ((INPUT, network.layers[0][0].shape[0]), (OUTPUT, network.layers[-1][1].size))
    source, target = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", size]) for name, size in ends)
    graph = helper.make_graph(nodes, "ampedge", [source], [target], constants)
    return helper.make_model(
        graph, producer_name="ampedge", opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION
    )
