"""What is learned from rows: scaling, network, calibration and envelope, the same for a training and for each fold."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ampedge.model.manifest import ClassEnvelope
from ampedge.model.network import DenseNetwork, Matrix
from ampedge.training.fitting.calibration import temperature
from ampedge.training.fitting.fit import Epoch, Fitted, Part, fit
from ampedge.training.fitting.joint import joint, widened
from ampedge.training.fitting.scaler import Scaler, fitted_scaler
from ampedge.training.rows.dataset import Dataset
from ampedge.training.rows.pieces import in_pieces
from ampedge.training.rows.split import Rows
from ampedge.training.settings import FitSettings


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A network that is fitted and calibrated; `network` is it in the edge runtime."""

    scaler: Scaler
    fitted: Fitted
    temperature: float
    network: DenseNetwork


@dataclass(frozen=True, slots=True)
class Learned(Calibrated):
    """And what the edge needs to know beside it.

    `probabilities` are the edge runtime's for every row of the table; `joint` is None for too many features.
    """

    joint: list[ClassEnvelope] | None
    probabilities: Matrix


def learned(
    data: Dataset,
    training: Rows,
    validation: Rows,
    settings: FitSettings,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> Learned:
    """`calibrated`, and the envelope of all these rows."""
    made = calibrated(data, training, validation, settings, on_epoch)
    probabilities = in_pieces(made.network.probabilities, data.values)
    rows = np.concatenate([training, validation])
    scaled = made.scaler.scaled(data.values[rows])
    groups = None if data.groups is None else np.array(data.groups[rows])
    envelope = joint(scaled, data.targets[rows], groups, len(data.classes))
    if envelope is not None:
        envelope = widened(
            envelope, scaled[len(training) :].astype(np.float64), probabilities[validation].argmax(axis=1)
        )
    return Learned(made.scaler, made.fitted, made.temperature, made.network, envelope, probabilities)


def calibrated(
    data: Dataset,
    training: Rows,
    validation: Rows,
    settings: FitSettings,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> Calibrated:
    """Fit the scaler and the network on `training`, calibrate on `validation`; `start()` has been called before."""
    scaler = fitted_scaler(data, training)
    parts = [Part(scaler.scaled(data.values[rows]), data.targets[rows]) for rows in (training, validation)]
    fitted = fit(*parts, classes=data.classes, settings=settings, on_epoch=on_epoch)
    divisor = temperature(
        in_pieces(_network(scaler, fitted).probabilities, data.values[validation]),
        data.targets[validation],
        None if data.groups is None else data.groups[validation],
    )
    fitted.divide_scores(divisor)
    return Calibrated(scaler, fitted, divisor, _network(scaler, fitted))


def _network(scaler: Scaler, fitted: Fitted) -> DenseNetwork:
    return DenseNetwork(scaler.mean.tolist(), scaler.std.tolist(), fitted.weights())
