"""Network, scaler, labels and tags that fit together, and the rows of the training where they are known."""

from dataclasses import dataclass

from ampedge.datamap import DataMap
from ampedge.model.network import DenseNetwork
from ampedge.training.importing.h5_network import H5Network
from ampedge.training.importing.saved_scaler import SavedScaler
from ampedge.training.rows.dataset import Dataset


@dataclass(frozen=True, slots=True)
class Parts:
    """What a bundle is made of; `classes` are in the order of the outputs, in `data`, too."""

    network: H5Network
    scaler: SavedScaler
    classes: tuple[str, ...]
    datamap: DataMap
    data: Dataset | None
    label: str

    def runtime(self) -> DenseNetwork:
        """What runs it."""
        return DenseNetwork(self.scaler.mean.tolist(), self.scaler.std.tolist(), self.network.layers)
