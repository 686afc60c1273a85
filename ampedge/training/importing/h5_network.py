"""The dense layers in a Keras `.h5` file, read as data: its description and its arrays; nothing in it is run."""

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ampedge.errors import ModelRefusedError, UsageError, missing_extra
from ampedge.model.archive import LARGEST_BYTES

Layers = list[tuple[NDArray[np.float32], NDArray[np.float32]]]

_MODELS = ("Sequential", "Functional", "Model")
_WITHOUT_EFFECT = ("InputLayer", "Dropout")
"""Layers that leave what flows through them as it is, once the training is over."""

_SAVE_ANEW = "Save it as the published script does: model.save('amp_model.h5')."
_OTHER_NETWORK = (
    "A bundle holds dense layers with ReLU and a softmax at their end; train such a one with `ampedge train`."
)


@dataclass(frozen=True, slots=True)
class H5Network:
    """Kernel and bias of each layer, and the version of Keras that wrote them."""

    layers: Layers
    keras_version: str

    @property
    def inputs(self) -> int:
        return int(self.layers[0][0].shape[0])

    @property
    def outputs(self) -> int:
        return int(self.layers[-1][1].size)


def read_network(path: Path) -> H5Network:
    """The network in the file; raises ModelRefusedError with what is wrong with it or with what it is."""
    try:
        import h5py
    except ImportError as error:
        raise missing_extra("Import of an h5 file", "train") from error
    try:
        if not h5py.is_hdf5(path):
            raise ModelRefusedError(f"{path} is no HDF5 file.", _SAVE_ANEW)
        with h5py.File(path, "r") as file:
            return _network(path, file)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.", "Check its path.") from error
    except (KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:  # h5py raises each of them
        raise ModelRefusedError(f"{path} is no network that Keras saved ({error}).", _SAVE_ANEW) from error


def _network(path: Path, file: Any) -> H5Network:
    if "model_config" not in file.attrs or "model_weights" not in file:
        raise ModelRefusedError(
            f"{path} holds no network with its description, only weights or other data.", _SAVE_ANEW
        )
    config = json.loads(file.attrs["model_config"])
    if config["class_name"] not in _MODELS:
        raise ModelRefusedError(f"{path} holds a {config['class_name']}, not a sequence of layers.", _OTHER_NETWORK)
    described = config["config"]["layers"]
    _check_chain(path, config)
    dense = [layer for layer in described if layer["class_name"] not in _WITHOUT_EFFECT]
    for layer in dense:
        wanted = "softmax" if layer is dense[-1] else "relu"
        name, kind, activation = layer["config"]["name"], layer["class_name"], layer["config"].get("activation")
        if kind != "Dense" or activation != wanted:
            found = f"{kind} with the activation {activation!r}" if kind == "Dense" else f"of the kind {kind}"
            raise ModelRefusedError(f"{path}: the layer {name!r} is {found}, not Dense with {wanted}.", _OTHER_NETWORK)
    if not dense:
        raise ModelRefusedError(f"{path} has no layer with weights.", _OTHER_NETWORK)
    layers = [_weights(path, layer["config"], file["model_weights"][layer["config"]["name"]]) for layer in dense]
    if any(one[1].size != other[0].shape[0] for one, other in pairwise(layers)):
        raise ModelRefusedError(f"{path}: its layers do not fit each other.", _SAVE_ANEW)
    if layers[-1][1].size < 2:
        raise ModelRefusedError(f"{path} has a single output; a classifier has one for each class.", _OTHER_NETWORK)
    version = file.attrs.get("keras_version", "unknown")
    return H5Network(layers, version.decode() if isinstance(version, bytes) else str(version))


def _check_chain(path: Path, config: dict[str, Any]) -> None:
    """Raise ModelRefusedError where each layer is not fed by the one before it and by nothing else."""
    if config["class_name"] == "Sequential":
        return
    layers = config["config"]["layers"]
    for before, layer in pairwise(layers):
        nodes = layer["inbound_nodes"]
        sources = {other["name"] for other in layers if f'"{other["name"]}"' in json.dumps(nodes)}
        if len(nodes) != 1 or sources != {before["name"]}:
            raise ModelRefusedError(f"{path}: its layers do not form one line.", _OTHER_NETWORK)


def _weights(path: Path, layer: dict[str, Any], group: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    held = [group[name] for name in group.attrs["weight_names"]]
    if sum(one.size for one in held) * np.dtype(np.float32).itemsize > LARGEST_BYTES:  # before it fills the memory
        raise ModelRefusedError(f"{path}: the weights of {layer['name']!r} are too large for a bundle.", _OTHER_NETWORK)
    arrays = [np.asarray(one, dtype=np.float32) for one in held]
    if len(arrays) == 1 and not layer["use_bias"]:
        arrays.append(np.zeros(arrays[0].shape[-1], np.float32))
    kernel, bias = arrays
    if kernel.ndim != 2 or bias.shape != (layer["units"],) or kernel.shape[1] != layer["units"]:
        raise ModelRefusedError(f"{path}: the weights of {layer['name']!r} do not have its shape.", _SAVE_ANEW)
    if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
        raise ModelRefusedError(
            f"{path}: the layer {layer['name']!r} has weights that are no numbers.", "Train it anew."
        )
    return kernel, bias
