"""A network as a LiteRT model, put together with the format's own schema: no converter and no TensorFlow."""

from typing import TYPE_CHECKING, Any

import numpy as np

from ampedge.model.network import DenseNetwork

if TYPE_CHECKING:
    from numpy.typing import NDArray

INPUT = "values"
OUTPUT = "probabilities"
_VERSION = 3
_IDENTIFIER = b"TFL3"
_ALIGNMENT = 16


class Graph:
    """A model of one subgraph, tensor by tensor and operator by operator; raises ImportError without LiteRT.

    A tensor is known by its number.  `quantization` is (scale, zero point) of an integer tensor.
    """

    def __init__(self) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema: Any = schema
        self._buffers = [schema.BufferT()]  # the first one is that of all tensors that hold no constant
        self._tensors: list[Any] = []
        self._codes: dict[tuple[int, int], int] = {}
        self._operators: list[Any] = []

    def constant(self, name: str, data: "NDArray[Any]", quantization: tuple[float, int] | None = None) -> int:
        """A tensor that holds `data`."""
        self._buffers.append(self.schema.BufferT(data=np.frombuffer(data.tobytes(), dtype=np.uint8)))
        return self.tensor(name, data.shape, data.dtype, quantization, buffer=len(self._buffers) - 1)

    def tensor(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: Any,
        quantization: tuple[float, int] | None = None,
        *,
        buffer: int = 0,
    ) -> int:
        """A tensor that an operator fills in, or the constant in one of the buffers."""
        kind = getattr(self.schema.TensorType, np.dtype(dtype).name.upper())
        made = self.schema.TensorT(list(shape), kind, buffer, name)
        made.hasRank = True
        if quantization is not None:
            scale, zero_point = quantization
            made.quantization = self.schema.QuantizationParametersT(
                scale=np.array([scale], np.float32), zeroPoint=np.array([zero_point], np.int64)
            )
        self._tensors.append(made)
        return len(self._tensors) - 1

    def rows(self, name: str, columns: int, dtype: Any, quantization: tuple[float, int] | None = None) -> int:
        """A tensor of so many columns and of as many rows as the input is given."""
        found = self.tensor(name, (1, columns), dtype, quantization)
        self._tensors[found].shapeSignature = [-1, columns]
        return found

    def operator(self, name: str, inputs: list[int], output: int, options: Any = None, version: int = 1) -> int:
        """One operation of the format's own name for it, such as FULLY_CONNECTED; returns `output`."""
        schema = self.schema
        code = self._codes.setdefault((getattr(schema.BuiltinOperator, name), version), len(self._codes))
        made = schema.OperatorT(opcodeIndex=code, inputs=inputs, outputs=[output])
        if options is not None:
            made.builtinOptions = options
            made.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        self._operators.append(made)
        return output

    def dense(self, parts: list[int], output: int, *, is_hidden: bool, version: int = 1) -> int:
        """A dense layer of [input, kernel as (units, inputs), bias], with ReLU where it is hidden."""
        kinds = self.schema.ActivationFunctionType
        options = self.schema.FullyConnectedOptionsT(fusedActivationFunction=kinds.RELU if is_hidden else kinds.NONE)
        return self.operator("FULLY_CONNECTED", parts, output, options, version)

    def softmax(self, scores: int, classes: int) -> int:
        """The output: float32 probabilities."""
        output = self.rows(OUTPUT, classes, np.float32)
        return self.operator("SOFTMAX", [scores], output, self.schema.SoftmaxOptionsT(beta=1.0))

    def scaled(self, values: int, network: DenseNetwork) -> int:
        """The standard scaling of `values` in float32."""
        coarse, fine, scale = network.float32_scaling()
        flow = values
        for name, kind, number in (("centre", "SUB", coarse), ("centre_rest", "SUB", fine), ("scale", "MUL", scale)):
            options = self.schema.SubOptionsT() if kind == "SUB" else self.schema.MulOptionsT()
            parts = [flow, self.constant(f"{name}_by", number)]
            flow = self.operator(kind, parts, self.rows(name, number.size, np.float32), options)
        return flow

    def packed(self, source: int, target: int) -> bytes:
        """The finished file, with the signature `serving_default` from `source` to `target`."""
        import flatbuffers

        class Builder(flatbuffers.Builder):  # type: ignore[misc]
            """Python's builder does not know that the format wants constants to be aligned."""

            def StartVector(self, size: int, count: int, alignment: int) -> Any:  # noqa: N802
                return super().StartVector(size, count, max(alignment, _ALIGNMENT))

        schema = self.schema
        maps = [schema.TensorMapT(name, place) for name, place in ((INPUT, source), (OUTPUT, target))]
        model = schema.ModelT(
            version=_VERSION,
            description="ampedge",
            operatorCodes=[
                schema.OperatorCodeT(deprecatedBuiltinCode=min(code, 127), builtinCode=code, version=version)
                for code, version in self._codes
            ],
            subgraphs=[schema.SubGraphT(self._tensors, [source], [target], self._operators, "main")],
            buffers=self._buffers,
            signatureDefs=[schema.SignatureDefT(maps[:1], maps[1:], "serving_default", 0)],
        )
        builder = Builder(1024)
        builder.Finish(model.Pack(builder), file_identifier=_IDENTIFIER)
        return bytes(builder.Output())


def tflite_graph(network: DenseNetwork, *, with_scaling: bool) -> bytes:
    """The network in float32, on scaled values or, with its scaling, on values in engineering units."""
    graph = Graph()
    flow = values = graph.rows(INPUT, network.layers[0][0].shape[0], np.float32)
    if with_scaling:
        flow = graph.scaled(values, network)
    for at, (kernel, bias) in enumerate(network.layers, start=1):
        parts = [flow, graph.constant(f"kernel_{at}", kernel.T), graph.constant(f"bias_{at}", bias)]
        output = graph.rows(f"layer_{at}", bias.size, np.float32)
        flow = graph.dense(parts, output, is_hidden=at < len(network.layers))
    return graph.packed(values, graph.softmax(flow, network.layers[-1][1].size))
