"""The edge's own runtime against numbers worked by hand."""

import ast
import inspect

import numpy as np
import pytest

from ampedge.errors import ModelRefusedError
from ampedge.model import network
from ampedge.model.network import DenseNetwork, pack_weights, unpack_weights


def f4(*rows: object) -> np.ndarray:
    return np.array(rows, dtype=np.float32)


# Scaling: (12 - 10) / 2 = 1 and (3 - 5) / 4 = -0.5.
# Hidden: relu([1, -0.5] @ [[1, -1, 2], [2, 4, 0]] + [0.5, 0, -3]) = relu([0.5, -3, -1]) = [0.5, 0, 0].
# Output: [0.5, 0, 0] @ [[2, 0], [9, 9], [9, 9]] + [0, 1] = [1, 1], then softmax.
KERNELS = [(f4([1, -1, 2], [2, 4, 0]), f4(0.5, 0, -3)), (f4([2, 0], [9, 9], [9, 9]), f4(0, 1))]


def test_two_layers_worked_by_hand() -> None:
    found = DenseNetwork([10, 5], [2, 4], KERNELS).probabilities(np.array([[12.0, 3.0]]))
    assert found == pytest.approx(np.array([[0.5, 0.5]]), abs=1e-12)


def test_rows_do_not_touch_each_other() -> None:
    # The second row: scaled [3, 1], hidden relu([5.5, 1, 3]), output [11 + 9 + 27, 9 + 27 + 1] = [47, 37].
    found = DenseNetwork([10, 5], [2, 4], KERNELS).probabilities(np.array([[12.0, 3.0], [16.0, 9.0]]))
    assert found[0] == pytest.approx([0.5, 0.5])
    assert found[1] == pytest.approx([1 / (1 + np.exp(-10)), 1 / (1 + np.exp(10))], rel=1e-9)


def test_one_layer_is_a_softmax_of_the_scaled_values() -> None:
    found = DenseNetwork([0, 0], [1, 1], [(f4([1, 0], [0, 1]), f4(0, 0))]).probabilities(np.log([[3.0, 1.0]]))
    assert found[0] == pytest.approx([0.75, 0.25], rel=1e-6)


@pytest.mark.parametrize("size", [1e3, 1e5, 1e30])
def test_large_scores_do_not_overflow(size: float) -> None:
    runtime = DenseNetwork([0.0], [1.0], [(f4([1, -1, 0]), f4(0, 0, 0))])
    assert runtime.probabilities(np.array([[size]])).tolist() == [[1, 0, 0]]
    assert runtime.probabilities(np.array([[-size]])).tolist() == [[0, 1, 0]]


def test_values_beyond_float32_give_no_number_and_no_warning() -> None:
    # The suite turns warnings into errors.
    found = DenseNetwork([0.0], [1.0], [(f4([1, -1]), f4(0, 0))]).probabilities(np.array([[1e300], [3e38], [1.0]]))
    assert np.isnan(found[0]).any()
    assert np.isfinite(found[2]).all()


def test_scaling_is_done_in_double_precision() -> None:
    runtime = DenseNetwork([1e9], [1e-3], [(f4([1, -1]), f4(0, 0))])
    assert runtime.probabilities(np.array([[1e9 + 0.001]]))[0, 0] == pytest.approx(1 / (1 + np.exp(-2)), rel=1e-3)


def test_the_values_given_are_left_alone() -> None:
    values = np.array([[12.0, 3.0]])
    DenseNetwork([10, 5], [2, 4], KERNELS).probabilities(values)
    assert values.tolist() == [[12.0, 3.0]]


def test_weights_are_little_endian_float32_kernel_then_bias() -> None:
    data = pack_weights([(f4([1, 2]), f4(3, -1))])
    assert data == bytes.fromhex("0000803f 00000040 00004040 000080bf")
    ((kernel, bias),) = unpack_weights(data, 1, [2])
    assert (kernel.tolist(), bias.tolist()) == ([[1, 2]], [3, -1])


def test_weights_come_back() -> None:
    layers = unpack_weights(pack_weights(KERNELS), 2, [3, 2])
    for (kernel, bias), (found, offset) in zip(KERNELS, layers, strict=True):
        assert np.array_equal(kernel, found)
        assert np.array_equal(bias, offset)


@pytest.mark.parametrize("sizes", [(2, [3, 3]), (1, [3, 2]), (2, [2, 3]), (3, [65536, 65536])])
def test_weights_of_another_size_are_refused(sizes: tuple[int, list[int]]) -> None:
    with pytest.raises(ModelRefusedError, match=r"have \d+ bytes, the network needs \d+"):
        unpack_weights(pack_weights(KERNELS), *sizes)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(number: float) -> None:
    with pytest.raises(ModelRefusedError, match="not finite"):
        unpack_weights(pack_weights([(f4([1, number]), f4(0, 0))]), 1, [2])


def test_only_what_numpy_1_24_has_is_used() -> None:
    # Debian's own python3-numpy is what a 32-bit Raspberry Pi has.
    tree = ast.parse(inspect.getsource(network))
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "np"
    }
    old = {
        "asarray", "ascontiguousarray", "array", "errstate", "exp", "float32", "float64", "frombuffer", "isfinite",
        "maximum",
    }  # fmt: skip
    assert used <= old
