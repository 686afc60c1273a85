"""The network and its fit: a Keras model and optimizer, one compiled call an epoch.

For a network of this size `Model.fit` spends nearly all its time between the batches.
The arithmetic here is the same: initialisation, shuffled batches, cross-entropy, Adam.
What is kept is not the last weights but their mean over the last epochs; see `ampedge.training.fitting.kept`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ampedge.errors import UsageError
from ampedge.model.runtimes.keras_runtime import import_keras
from ampedge.quiet import quiet
from ampedge.training.fitting.kept import BestEpoch, Kept, LastEpochs
from ampedge.training.fitting.weighting import class_weights
from ampedge.training.rows.pieces import in_pieces
from ampedge.training.settings import FitSettings

Weights = list[tuple[NDArray[np.float32], NDArray[np.float32]]]


@dataclass(frozen=True, slots=True)
class Part:
    """Scaled inputs of shape (rows, features) and the place of each row's class, of shape (rows,)."""

    inputs: NDArray[np.float32]
    targets: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Epoch:
    """Means over one pass: of training while the weights moved, of validation after it."""

    number: int
    loss: float
    accuracy: float
    validation_loss: float
    validation_accuracy: float


@dataclass(frozen=True, slots=True)
class Fitted:
    """A compiled Keras model on scaled inputs, and its course.

    Its weights are the mean over the `averaged_epochs` epochs that end with `kept_epoch`.
    """

    model: Any
    history: tuple[Epoch, ...]
    kept_epoch: int
    averaged_epochs: int

    def weights(self) -> Weights:
        """Kernel and bias of each layer in order."""
        return [(layer.kernel.numpy(), layer.bias.numpy()) for layer in self.model.layers]

    def divide_scores(self, divisor: float) -> None:
        """Calibrate: what the softmax gets is divided, by dividing the weights of the layer that makes it."""
        layer = self.model.layers[-1]
        layer.kernel.assign(layer.kernel / divisor)
        layer.bias.assign(layer.bias / divisor)

    def probabilities(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """(rows, features), scaled, to (rows, classes)."""
        return in_pieces(lambda piece: self.model(piece).numpy(), inputs)


def start() -> None:
    """Import TensorFlow and let it find its devices, which takes seconds; raises the error of a missing extra."""
    import_keras("Training")
    with quiet():
        import tensorflow as tf

        tf.constant(0)
    tf.get_logger().setLevel("ERROR")  # each short fit of a sweep is a function of its own, which it warns of


def fit(
    training: Part,
    validation: Part,
    *,
    classes: Sequence[str],
    settings: FitSettings,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> Fitted:
    """Fit the network; the same seed on the same machine gives the same weights.

    Raises UsageError where the loss leaves the finite numbers.
    """
    keras = import_keras("Training")
    import tensorflow as tf

    with tf.device("CPU:0"):  # what a larger device gains on so small a network it loses on each call
        model = _network(keras, training.inputs.shape[1], len(classes), settings)
        optimizer = keras.optimizers.Adam(settings.learning_rate)
        optimizer.build(model.trainable_variables)
        weights = class_weights(training.targets, classes, settings.class_weight)
        run_epoch = _epoch_function(model, optimizer, training, validation, weights=weights, settings=settings)
        shuffle = np.random.RandomState(settings.seed)
        history: list[Epoch] = []
        kept: Kept = BestEpoch(settings.patience) if settings.patience else LastEpochs(settings.epochs)
        variables = model.trainable_variables
        for number in range(1, settings.epochs + 1):
            order = shuffle.permutation(len(training.targets)).astype(np.int32)
            epoch = Epoch(number, *(float(figure) for figure in run_epoch(tf.constant(order))))
            if not math.isfinite(epoch.loss) or not math.isfinite(epoch.validation_loss):
                raise UsageError(
                    f"The training left the finite numbers in epoch {number}.",
                    f"Give a smaller --learning-rate than {settings.learning_rate:g}.",
                )
            history.append(epoch)
            on_epoch(epoch)
            if kept.look(number, epoch.validation_loss, [variable.numpy() for variable in variables]):
                break
        for variable, weights in zip(variables, kept.weights(), strict=True):
            variable.assign(weights)
        model.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return Fitted(model, tuple(history), kept_epoch=kept.epoch, averaged_epochs=kept.averaged)


def _network(keras: Any, features: int, classes: int, settings: FitSettings) -> Any:
    model = keras.Sequential([keras.Input((features,))])
    shapes: Sequence[tuple[int, str]] = [*((units, "relu") for units in settings.layers), (classes, "softmax")]
    for at, (units, activation) in enumerate(shapes):
        start_values = keras.initializers.GlorotUniform(seed=settings.seed + at)
        model.add(keras.layers.Dense(units, activation, kernel_initializer=start_values))
    return model


def _epoch_function(
    model: Any,
    optimizer: Any,
    training: Part,
    validation: Part,
    *,
    weights: NDArray[np.float32],
    settings: FitSettings,
) -> Any:
    """A function of the order of the training rows that runs one epoch and returns its four means."""
    import tensorflow as tf
    from keras.losses import sparse_categorical_crossentropy as cross_entropy

    rows, batch = len(training.targets), settings.batch_size
    all_inputs, all_targets = tf.constant(training.inputs), tf.constant(training.targets)
    of_class = tf.constant(weights)
    held_inputs, held_targets = tf.constant(validation.inputs), tf.constant(validation.targets)
    variables, kernels = model.trainable_variables, [layer.kernel for layer in model.layers]

    def right(targets: Any, probabilities: Any) -> Any:
        return tf.cast(tf.argmax(probabilities, axis=1, output_type=tf.int32) == targets, tf.float32)

    def run_epoch(order: Any) -> Any:
        inputs, targets = tf.gather(all_inputs, order), tf.gather(all_targets, order)

        def step(at: Any, loss: Any, hits: Any) -> Any:
            of_batch, aims = inputs[at : at + batch], targets[at : at + batch]
            with tf.GradientTape() as tape:
                probabilities = model(of_batch, training=True)
                losses = cross_entropy(aims, probabilities) * tf.gather(of_class, aims)
                aim = tf.reduce_mean(losses)
                if settings.l2:
                    aim += settings.l2 * tf.add_n([tf.reduce_sum(tf.square(kernel)) for kernel in kernels])
            optimizer.apply(tape.gradient(aim, variables), variables)
            return at + batch, loss + tf.reduce_sum(losses), hits + tf.reduce_sum(right(aims, probabilities))

        _, loss, hits = tf.while_loop(lambda at, *_: at < rows, step, (0, 0.0, 0.0))
        held = model(held_inputs)
        held_loss = tf.reduce_mean(cross_entropy(held_targets, held))
        return loss / rows, hits / rows, held_loss, tf.reduce_mean(right(held_targets, held))

    return tf.function(run_epoch, autograph=False, input_signature=[tf.TensorSpec([None], tf.int32)])
