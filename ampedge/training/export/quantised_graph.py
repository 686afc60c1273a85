"""A network for LiteRT whose weights are float16, or whose layers are int8, between float32 values and probabilities.

Linear quantisation as LiteRT defines it: real = scale x (integer - zero point); weights are symmetric, what flows
between layers is not, and biases are int32 of the product of both scales.
See https://ai.google.dev/edge/litert/models/quantization_spec.
"""

from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ampedge.errors import ModelRefusedError
from ampedge.model.network import DenseNetwork, Matrix
from ampedge.model.runtimes.tflite_graph import INPUT, Graph

Precision = Literal["float16", "int8"]

_DENSE_INT8 = 4
_DEQUANTIZE_INT8 = 2
_DEQUANTIZE_FLOAT16 = 3
"""The versions of the operators that first took these types."""


def float16_graph(network: DenseNetwork) -> bytes:
    """Every weight rounded to float16, all arithmetic in float32; raises ImportError without LiteRT."""
    graph = Graph()
    values = graph.rows(INPUT, _inputs(network), np.float32)
    flow = graph.scaled(values, network)
    for at, (kernel, bias) in enumerate(network.layers, start=1):
        parts = [flow]
        for name, part in ((f"kernel_{at}", kernel.T), (f"bias_{at}", bias)):
            with np.errstate(over="ignore"):  # what is too large for it shows where the file is judged
                half = graph.constant(f"{name}_float16", part.astype(np.float16))
            whole = graph.tensor(name, part.shape, np.float32)
            parts.append(graph.operator("DEQUANTIZE", [half], whole, version=_DEQUANTIZE_FLOAT16))
        output = graph.rows(f"layer_{at}", bias.size, np.float32)
        flow = graph.dense(parts, output, is_hidden=at < len(network.layers))
    return graph.packed(values, graph.softmax(flow, network.layers[-1][1].size))


def int8_graph(network: DenseNetwork, representative: Matrix) -> bytes:
    """Layers of int8 between a float32 scaling and a float32 softmax; raises ImportError without LiteRT.

    `representative` are rows in engineering units: what flows between the layers is quantised to the range it has
    on them, and beyond that it saturates.
    """
    graph = Graph()
    values = graph.rows(INPUT, _inputs(network), np.float32)
    scaled = graph.scaled(values, network)
    flows = [_asymmetric(flow) for flow in _flows(network, representative)]
    flow = graph.operator("QUANTIZE", [scaled], graph.rows("scaled_int8", _inputs(network), np.int8, flows[0]))
    for at, ((before, after), (kernel, bias)) in enumerate(zip(pairwise(flows), network.layers, strict=True), start=1):
        step = _symmetric(kernel)
        parts = [
            flow,
            graph.constant(f"kernel_{at}", _rounded(kernel.T / step, np.int8), (step, 0)),
            graph.constant(f"bias_{at}", _rounded(bias / (before[0] * step), np.int32), (before[0] * step, 0)),
        ]
        output = graph.rows(f"layer_{at}", bias.size, np.int8, after)
        flow = graph.dense(parts, output, is_hidden=at < len(network.layers), version=_DENSE_INT8)
    classes = network.layers[-1][1].size
    scores = graph.operator("DEQUANTIZE", [flow], graph.rows("scores", classes, np.float32), version=_DEQUANTIZE_INT8)
    return graph.packed(values, graph.softmax(scores, classes))


def _inputs(network: DenseNetwork) -> int:
    return int(network.layers[0][0].shape[0])


def _flows(network: DenseNetwork, values: Matrix) -> list[NDArray[np.float32]]:
    """The scaled values and the scores of each layer; raises ModelRefusedError where one is infinite."""
    flows = [network.inputs(values)]
    with np.errstate(over="ignore", invalid="ignore"):
        for at, (kernel, bias) in enumerate(network.layers, start=1):
            flow = flows[-1] @ kernel + bias
            flows.append(np.maximum(flow, 0) if at < len(network.layers) else flow)
    if not all(np.isfinite(flow).all() for flow in flows):
        raise ModelRefusedError(
            "On rows of its training, numbers flow through this network that float32 cannot hold.",
            "Export it without --quantize.",
        )
    return flows


def _asymmetric(flow: NDArray[np.float32]) -> tuple[float, int]:
    """(scale, zero point) for all numbers from the least to the greatest, and 0, which must be exact."""
    low, high = min(float(flow.min()), 0.0), max(float(flow.max()), 0.0)
    scale = ((high - low) or 1.0) / 255
    return scale, int(np.clip(np.round(-128 - low / scale), -128, 127))


def _symmetric(kernel: NDArray[np.float32]) -> float:
    return (float(np.abs(kernel).max()) or 1.0) / 127


def _rounded(numbers: NDArray[np.floating], kind: type[np.signedinteger]) -> NDArray[np.signedinteger]:
    limits = np.iinfo(kind)
    return np.clip(np.round(numbers.astype(np.float64)), limits.min, limits.max).astype(kind)
