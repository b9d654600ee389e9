"""Sequential: layers one after the other, fitted by mini-batches. Names and manners are Keras's."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import TrainingError
from . import losses, optimizers, schedules
from .activations import Softmax
from .arguments import positive, whole
from .layers import ActivatedLayer, Dense, Dropout, Layer
from .losses import Loss
from .optimizers import AdamW, Optimizer
from .schedules import Schedule

Array = NDArray[Any]
Labels = NDArray[np.int64]

PREDICTED_ROWS = 1024
"""Rows answered at once: enough for fast products, few enough to stay in the cache."""

SHOWN_WEIGHTS = 64
"""A summary shows every weight of a network with at most so many."""


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training rows came to.

    Attributes:
        number: from 1.
        loss: mean over the epoch's rows, each as it was before its batch's step.
        validation_loss: after the epoch; None without validation rows.
        validation_accuracy: the same.
        learning_rate: at its last step.
        seconds: how long it took, validation included.
    """

    number: int
    loss: float
    validation_loss: float | None
    validation_accuracy: float | None
    learning_rate: float
    seconds: float


Callback = Callable[[Epoch], bool]
"""Told of each epoch; true stops the fit."""


class Sequential:
    """A stack of layers.

    ``Sequential([Dense(3, input_shape=(2,), activation="relu"), Dense(2, activation="softmax")])``

    Args:
        layers: of no other network; the first one says its ``input_shape``.
        dtype: float32; float64 is for checking gradients.

    Attributes:
        layers: as given, each with views of its part of the vectors below.
        inputs: columns of a row.
        units: outputs of the last layer.
        parameters: every trained value, one flat vector.
        gradients: dL/dparameters, a vector of the same length.
        statistics: what layers learn without gradients, one flat vector.
        validation_outputs: in `fit`, for the validation rows after the latest epoch, (rows, units).

    Raises:
        TypeError: for what is no layer, or another dtype.
        ValueError: for layers that don't fit together.
    """

    def __init__(self, layers: Sequence[Layer], dtype: Any = np.float32) -> None:
        self.layers = list(layers)
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.float32, np.float64):
            raise TypeError(f"dtype is {self.dtype}, expected float32 or float64")
        self.inputs, self.units = self._connect()
        self.parameters, self.gradients = self._vector("parameter"), self._vector("parameter")
        self.statistics = self._vector("statistic")
        for part, layer, name, shape in self._places("parameter"):
            layer.parameters[name] = self.parameters[part].reshape(shape)
            layer.gradients[name] = self.gradients[part].reshape(shape)
        for part, layer, name, shape in self._places("statistic"):
            layer.statistics[name] = self.statistics[part].reshape(shape)
        self.validation_outputs: Array = np.empty((0, self.units), self.dtype)
        self._built = False
        self._room = 0

    def build(self, rng: np.random.Generator) -> None:
        """Give every parameter its first value, by chance from ``rng``."""
        for layer in self.layers:
            layer.initialize(rng)
        self._built = True

    def compile(
        self,
        optimizer: str | Optimizer = "adam",
        loss: str | Loss = "categorical_crossentropy",
        schedule: str | Schedule = "constant",
        regularization: str | Schedule = "constant",
    ) -> None:
        """Say how it is fitted. What the optimizer remembered is forgotten.

        Args:
            optimizer: by name, with its usual settings, or as an object.
            loss: the same.
            schedule: of the learning rate over one `fit`; a name or a function.
            regularization: the same of weight decay and of dropout's rate.

        Raises:
            ValueError: for a name that is none, or a loss of another number of classes.
        """
        self.optimizer = optimizers.named(optimizer)
        self.loss = losses.named(loss)
        self.loss.check(self.units)
        self.schedule = schedules.named("schedule", schedule)
        self.regularization = schedules.named("regularization", regularization)
        decay_mask = np.zeros(len(self.parameters), dtype=bool)
        rates = np.ones(len(self.parameters), dtype=self.dtype)
        for part, layer, name, _ in self._places("parameter"):
            decay_mask[part] = name in layer.decay_mask
            rates[part] = layer.rates.get(name, 1)
        self.optimizer.bind(self.parameters, decay_mask, rates)

    def fit(
        self,
        x: ArrayLike,
        y: ArrayLike,
        *,
        epochs: int,
        batch_size: int,
        rng: np.random.Generator,
        rows: NDArray[np.int64] | None = None,
        validation_data: tuple[ArrayLike, ArrayLike] | None = None,
        callbacks: Sequence[Callback] = (),
        on_batch: Callable[[int], None] | None = None,
    ) -> list[Epoch]:
        """Fit to rows in shuffled mini-batches; every row is seen once an epoch.

        A second fit goes on from the weights and moments of the first; the schedule starts anew.

        Args:
            x: finite numbers, (rows, inputs), at least one row.
            y: class indices, (rows,).
            epochs: passes at most.
            batch_size: rows in a step; the last step of an epoch may have fewer.
            rng: shuffles, after it has built the network if that was not done.
            rows: places of the rows to fit to, at least one; all where None. It saves a copy.
            validation_data: rows to measure by after each epoch, like ``x`` and ``y``.
            callbacks: told of each epoch, in order; any may stop the fit.
            on_batch: told after each step how many rows it took.

        Returns:
            The epochs that were finished.

        Raises:
            TrainingError: as soon as a loss is no finite number.
            TypeError: for numbers that should be whole and are not.
            ValueError: for arrays of other shapes or contents.
        """
        self._need_compiled()
        whole("epochs", epochs, 1)
        data = self._examples("", x, y)
        validation = validation_data and self._examples("validation ", *validation_data)
        places = np.arange(len(data[0])) if rows is None else _checked(rows, len(data[0]))
        batch_size = min(whole("batch_size", batch_size, 1), len(places))
        steps = -(-len(places) // batch_size)
        batch = np.empty((batch_size, self.inputs), self.dtype), np.empty(batch_size, np.int64)
        history: list[Epoch] = []
        if not self._built:
            self.build(rng)
        for number in range(1, epochs + 1):
            started = time.perf_counter()
            total, rate = 0.0, 0.0
            order = rng.permutation(places)
            for step in range(steps):
                picked = order[step * batch_size : (step + 1) * batch_size]
                batch_x, batch_y = (
                    # With mode="raise" take would fill a copy of its output first.
                    np.take(source, picked, axis=0, out=target[: len(picked)], mode="clip")
                    for source, target in zip(data, batch, strict=True)
                )
                progress = (number - 1 + step / steps) / epochs
                rate = self.optimizer.learning_rate * self.schedule(progress)
                self._regularize(self.regularization(progress))
                value = self._step(batch_x, batch_y, rate)
                self._refuse_divergence(value, "loss", number)
                total += value * len(picked)
                if on_batch:
                    on_batch(len(picked))
            loss, accuracy = None, None
            if validation:
                self.validation_outputs = self._outputs(validation[0])
                loss, accuracy = self._measured(self.validation_outputs, validation[1])
                self._refuse_divergence(loss, "validation loss", number)
            # What the last step did, no loss may have seen yet.
            largest = float(np.abs(self.parameters).max(initial=0))
            self._refuse_divergence(largest, "largest weight", number)
            seconds = time.perf_counter() - started
            history.append(Epoch(number, total / len(places), loss, accuracy, rate, seconds))
            answers = [callback(history[-1]) for callback in callbacks]  # each is told
            if any(answers):
                break
        return history

    def train_on_batch(
        self, x: ArrayLike, y: ArrayLike, learning_rate: float | None = None
    ) -> float:
        """One step on these rows, as one batch.

        Args:
            x: (rows, inputs).
            y: class indices, (rows,).
            learning_rate: the optimizer's where None.

        Returns:
            Their mean loss before the step.

        Raises:
            ValueError: for arrays of other shapes or contents.
        """
        self._need_compiled()
        self._need_built()
        rate = self.optimizer.learning_rate if learning_rate is None else learning_rate
        return self._step(*self._examples("", x, y), rate)

    def evaluate(
        self, x: ArrayLike, y: ArrayLike, batch_size: int = PREDICTED_ROWS
    ) -> tuple[float, float]:
        """Mean loss, and share of rows whose largest output is their class's.

        Args:
            x: (rows, inputs), at least one row.
            y: class indices, (rows,).
            batch_size: rows at once; changes speed alone.

        Raises:
            ValueError: for arrays of other shapes or contents.
        """
        self._need_compiled()
        self._need_built()
        rows, labels = self._examples("", x, y)
        return self._measured(self._outputs(rows, batch_size), labels)

    def predict(self, x: ArrayLike, batch_size: int = PREDICTED_ROWS) -> Array:
        """The outputs, a new array (rows, units) for (rows, inputs); zero rows give zero rows.

        Args:
            x: (rows, inputs).
            batch_size: rows at once; changes speed alone.

        Raises:
            ValueError: for an array of another shape.
        """
        self._need_built()
        return self._outputs(self._rows("x", x), batch_size)

    def apply_temperature(self, temperature: float) -> None:
        """Divide what goes into the last layer's softmax, for good: p becomes p^(1 / temperature).

        Up to the factor that makes a row sum to one. The order of a row's probabilities stays
        (Guo et al. 2017, arXiv:1706.04599).

        Raises:
            ValueError: for a temperature that is not above 0, or a last layer other than a dense
                one that ends in softmax.
        """
        last = self.layers[-1]
        if not isinstance(last, Dense) or last.activation.name != Softmax.name:
            raise ValueError(f"the last layer is {last.kind}, expected Dense, softmax")
        positive("temperature", temperature)
        for values in last.parameters.values():
            np.divide(values, temperature, out=values)

    def get_weights(self) -> list[Array]:
        """A copy of each layer's parameters, then of its statistics, layer by layer."""
        return [values.copy() for values in self._weights()]

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Take over the values of `get_weights`, from this or another network of the same layers.

        Raises:
            ValueError: for other shapes; nothing is changed then.
        """
        own = self._weights()
        if [np.shape(values) for values in weights] != [values.shape for values in own]:
            raise ValueError(
                f"weights has shapes {[np.shape(values) for values in weights]}, "
                f"expected {[values.shape for values in own]}"
            )
        for values, given in zip(own, weights, strict=True):
            values[...] = given
        self._built = True

    def summary(self, weights: bool | None = None) -> str:
        """The layers with their shapes and numbers of weights, as a text to be printed.

        Args:
            weights: whether the weights themselves are shown; where None, for a small network.
        """
        rows = [("layer", "kind", "output shape", "weights")]
        for layer in self.layers:
            count = sum(values.size for values in layer.values.values())
            rows.append((layer.name, layer.kind, f"(None, {layer.units})", f"{count:,}"))
        total = len(self.parameters) + len(self.statistics)
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        widths[-1] = max(widths[-1], len(f"{total:,}"))
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        head, *table = (
            "  ".join([*map(str.ljust, row[:-1], widths), row[-1].rjust(widths[-1])])
            for row in rows
        )
        kilobytes = total * self.dtype.itemsize / 1000
        lines = [
            f"Sequential: {self.inputs} inputs, {self.units} outputs, {self.dtype}",
            *(rule, head, rule, *table, rule),
            f"{total:,} weights ({kilobytes:,.1f} kB), {len(self.parameters):,} of them trained",
        ]
        if weights or (weights is None and total <= SHOWN_WEIGHTS):
            lines += self._weight_lines()
        return "\n".join(lines)

    def _weight_lines(self) -> list[str]:
        lines = []
        for layer in self.layers:
            for name, values in layer.values.items():
                lines.append(f"\n{layer.name} {name} {values.shape}")
                lines += ["".join(f"{v:11.4g}" for v in row) for row in np.atleast_2d(values)]
        return lines

    def _connect(self) -> tuple[int, int]:
        """Build the layers one upon the other; the network's inputs and units."""
        for layer in self.layers:
            if not isinstance(layer, Layer):
                raise TypeError(f"layers holds {layer!r}, expected layers alone")
        if not self.layers or self.layers[0].input_shape is None:
            raise ValueError("layers must start with one that has an input_shape, as (inputs,)")
        size = self.layers[0].input_shape[0]
        numbers: Counter[str] = Counter()
        for layer in self.layers:
            if layer.input_shape not in (None, (size,)):
                raise ValueError(
                    f"input_shape is {layer.input_shape}, but ({size},) come from below"
                )
            name = type(layer).__name__.lower()
            numbers[name] += 1
            layer.build(size, f"{name}_{numbers[name]}")
            size = layer.units
        return self.layers[0].inputs, size

    def _places(self, which: str) -> Iterator[tuple[slice, Layer, str, tuple[int, ...]]]:
        """Where in its flat vector each "parameter" or "statistic" of each layer lies."""
        start = 0
        for layer in self.layers:
            shapes = layer.parameter_shapes() if which == "parameter" else layer.statistic_shapes()
            for name, shape in shapes.items():
                stop = start + math.prod(shape)
                yield slice(start, stop), layer, name, shape
                start = stop

    def _vector(self, which: str) -> Array:
        return np.zeros(sum(math.prod(shape) for *_, shape in self._places(which)), self.dtype)

    def _weights(self) -> list[Array]:
        return [values for layer in self.layers for values in layer.values.values()]

    def _regularize(self, strength: float) -> None:
        for layer in self.layers:
            if isinstance(layer, Dropout):
                layer.strength = strength
        if isinstance(self.optimizer, AdamW):
            self.optimizer.strength = strength

    def _step(self, x: Array, y: Labels, learning_rate: float) -> float:
        # A diverging fit overflows before its loss shows it; the loss is what is reported.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            outputs = self._forward(x, training=True)
            value = self.loss.value(outputs, y)
            self._backward(outputs, y)
            self.optimizer.step(self.parameters, self.gradients, learning_rate)
        return value

    def _outputs(self, x: Array, batch_size: int = PREDICTED_ROWS) -> Array:
        outputs = np.empty((len(x), self.units), self.dtype)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for part in _parts(len(x), whole("batch_size", batch_size, 1)):
                outputs[part] = self._forward(x[part], training=False)
        return outputs

    def _measured(self, outputs: Array, labels: Labels) -> tuple[float, float]:
        """Mean loss and accuracy."""
        right = int(np.count_nonzero(outputs.argmax(axis=1) == labels))
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return self.loss.value(outputs, labels), right / len(labels)

    def _forward(self, x: Array, training: bool) -> Array:
        """Outputs (rows, units), a view of the last layer's buffer."""
        if len(x) > self._room:
            for layer in self.layers:
                layer.allocate(len(x), self.dtype)
            self._output_gradient = np.empty((len(x), self.units), self.dtype)
            self._room = len(x)
        for layer in self.layers:
            x = layer.forward(x, training)
        return x

    def _backward(self, outputs: Array, y: Labels) -> None:
        """Write dL/dparameters to ``gradients``, after a forward in training."""
        gradient = self._output_gradient[: len(y)]
        first, last = self.layers[0], self.layers[-1]
        if isinstance(last, ActivatedLayer) and last.activation.name == self.loss.fused_with:
            self.loss.fused_gradient(outputs, y, gradient)
            gradient = last.backward_from_logits(gradient, needs_input=last is not first)
        else:
            self.loss.gradient(outputs, y, gradient)
            gradient = last.backward(gradient, needs_input=last is not first)
        for layer in reversed(self.layers[:-1]):
            gradient = layer.backward(gradient, needs_input=layer is not first)

    def _refuse_divergence(self, value: float, what: str, epoch: int) -> None:
        if not math.isfinite(value):
            raise TrainingError(
                f"the {what} is {value:g} in epoch {epoch}; "
                f"lower the learning rate, which is {self.optimizer.learning_rate:g}"
            )

    def _rows(self, name: str, x: ArrayLike) -> Array:
        with np.errstate(over="ignore"):  # an infinity that this makes is found where it matters
            rows = np.ascontiguousarray(x, dtype=self.dtype)
        if np.ndim(x) != 2 or rows.shape[1] != self.inputs:  # noqa: PLR2004 - rows and columns
            raise ValueError(f"{name} has shape {np.shape(x)}, expected (rows, {self.inputs})")
        return rows

    def _examples(self, which: str, x: ArrayLike, y: ArrayLike) -> tuple[Array, Labels]:
        """Rows and labels that can be learnt from or measured by; ``which`` is for messages."""
        rows, labels = self._rows(f"{which}x", x), np.asarray(y)
        if not len(rows):
            raise ValueError(f"{which}x has no rows, expected at least one")
        if not np.isfinite(rows).all():
            raise ValueError(
                f"{which}x holds NaN or infinity, expected finite {self.dtype} numbers"
            )
        if labels.shape != (len(rows),):
            raise ValueError(f"{which}y has shape {labels.shape}, expected ({len(rows)},)")
        if not np.issubdtype(labels.dtype, np.integer):
            raise TypeError(f"{which}y holds {labels.dtype}, expected class indices, as int64")
        if labels.min() < 0 or labels.max() >= self.units:
            raise ValueError(
                f"{which}y holds {labels.min()} to {labels.max()}, expected 0 to {self.units - 1}"
            )
        return rows, labels.astype(np.int64, copy=False)

    def _need_compiled(self) -> None:
        if not hasattr(self, "optimizer"):
            raise RuntimeError("the network has no optimizer and loss yet: call compile first")

    def _need_built(self) -> None:
        if not self._built:
            raise RuntimeError("the network has no weights yet: call build, fit or set_weights")


def _checked(places: NDArray[np.int64], rows: int) -> NDArray[np.int64]:
    """Places of rows that can be fitted to."""
    if not len(places):
        raise ValueError("rows is empty, expected at least one place")
    if places.min() < 0 or places.max() >= rows:
        raise ValueError(f"rows holds {places.min()} to {places.max()}, expected 0 to {rows - 1}")
    return places


def _parts(rows: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, rows, size))
