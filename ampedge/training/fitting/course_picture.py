"""The course of a training as a picture: loss and accuracy of training and validation over the epochs."""

import io
from collections.abc import Sequence
from typing import Any

from ampedge.training.fitting.fit import Epoch, Fitted

_COLOURS = {"training": "#1d4ed8", "validation": "#ea580c"}


def history_png(fitted: Fitted) -> bytes:
    """Two panels side by side as PNG; a line marks the epoch whose weights were kept, where it is not the last."""
    from matplotlib.figure import Figure

    history = fitted.history
    figure = Figure(figsize=(10, 4), dpi=120, layout="constrained")
    loss, accuracy = figure.subplots(1, 2)
    _draw(loss, "loss", history, [e.loss for e in history], [e.validation_loss for e in history])
    _draw(accuracy, "accuracy", history, [e.accuracy for e in history], [e.validation_accuracy for e in history])
    loss.set_ylim(bottom=0)
    accuracy.set_ylim(top=1.005)
    if fitted.kept_epoch < len(history):
        for axes in (loss, accuracy):
            axes.axvline(
                fitted.kept_epoch, color="#6b7280", linestyle=":", label=f"weights kept: epoch {fitted.kept_epoch}"
            )
    for axes in (loss, accuracy):
        axes.legend(frameon=False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()


def _draw(axes: Any, title: str, history: Sequence[Epoch], training: list[float], validation: list[float]) -> None:
    epochs = [epoch.number for epoch in history]
    mark = "o" if len(epochs) == 1 else ""
    axes.plot(epochs, training, color=_COLOURS["training"], marker=mark, label="training")
    axes.plot(epochs, validation, color=_COLOURS["validation"], marker=mark, label="validation")
    axes.set_title(title)
    axes.set_xlabel("epoch")
    axes.locator_params("x", integer=True)
    axes.grid(color="#e5e7eb")
    axes.spines[["top", "right"]].set_visible(False)
