"""Sequential: a stack of layers, fitted by mini-batches, with the interface of Keras."""

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
"""Rows of one forward pass: enough for fast products, few enough for the cache."""

SHOWN_WEIGHTS = 64
"""Most weights that a summary shows."""


@dataclass(frozen=True)
class Epoch:
    """The figures of one pass over the training rows.

    Attributes:
        number: from 1.
        loss: mean training loss, each row's before the step of its batch.
        validation_loss: after the epoch; None without validation rows.
        validation_accuracy: after the epoch, from 0 to 1; None without validation rows.
        learning_rate: of the last step.
        seconds: duration, with validation.
    """

    number: int
    loss: float
    validation_loss: float | None
    validation_accuracy: float | None
    learning_rate: float
    seconds: float


Callback = Callable[[Epoch], bool]
"""Called after each epoch; returns True to stop the fit."""


class Sequential:
    """A stack of layers.

    ``Sequential([Dense(3, input_shape=(2,), activation="relu"), Dense(2, activation="softmax")])``

    Args:
        layers: new layers; the first one has an ``input_shape``.
        dtype: float32, or float64 to check gradients.

    Attributes:
        layers: as given; each holds views of its part of the vectors below.
        inputs: number of inputs.
        units: number of outputs.
        parameters: all trained values, one flat vector.
        gradients: dL/dparameters, (parameters,).
        statistics: values that layers learn without gradients, one flat vector.
        validation_outputs: outputs for the validation rows after the latest epoch of `fit`,
            (rows, units).

    Raises:
        TypeError: an object is not a layer, or the dtype is another one.
        ValueError: the layers don't fit together.
    """

    def __init__(self, layers: Sequence[Layer], dtype: Any = np.float32) -> None:
        self.layers = list(layers)
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.float32, np.float64):
            raise TypeError(f"dtype is {self.dtype}, expected float32 or float64")
        self.inputs, self.units = self._connect()
        self.parameters, self.gradients = self._vector("parameter"), self._vector("parameter")
        self.statistics = self._vector("statistic")
        for part, layer, name, shape in self._views("parameter"):
            layer.parameters[name] = self.parameters[part].reshape(shape)
            layer.gradients[name] = self.gradients[part].reshape(shape)
        for part, layer, name, shape in self._views("statistic"):
            layer.statistics[name] = self.statistics[part].reshape(shape)
        self.validation_outputs: Array = np.empty((0, self.units), self.dtype)
        self._built = False
        self._buffer_rows = 0

    def build(self, rng: np.random.Generator) -> None:
        """Draw the first value of every parameter from ``rng``."""
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
        """Set optimizer, loss and schedules, and reset the optimizer's state.

        Args:
            optimizer: a name, for default settings, or an object.
            loss: a name, for default settings, or an object.
            schedule: of the learning rate over one `fit`; a name or a function.
            regularization: schedule of weight decay and dropout; a name or a function.

        Raises:
            ValueError: a name is unknown, or the loss is for another number of classes.
        """
        self.optimizer = optimizers.get(optimizer)
        self.loss = losses.get(loss)
        self.loss.check(self.units)
        self.schedule = schedules.get("schedule", schedule)
        self.regularization = schedules.get("regularization", regularization)
        decay_mask = np.zeros(len(self.parameters), dtype=bool)
        rates = np.ones(len(self.parameters), dtype=self.dtype)
        for part, layer, name, _ in self._views("parameter"):
            decay_mask[part] = name in layer.decay_mask
            rates[part] = layer.rates.get(name, 1)
        self.optimizer.build(self.parameters, decay_mask, rates)

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
        """Fit to rows in shuffled mini-batches; each epoch uses every row once.

        A second fit continues from the weights and moments of the first; schedules start again.

        Args:
            x: finite numbers, (rows, inputs), at least one row.
            y: class indices, (rows,).
            epochs: the largest number of passes over the rows.
            batch_size: rows of a step; the last step of an epoch may have fewer.
            rng: shuffles; first it draws the weights if `build` was not called.
            rows: indices of the rows to fit to, at least one; all where None. Saves a copy of x.
            validation_data: rows to score after each epoch, like ``x`` and ``y``.
            callbacks: called after each epoch, in order; any of them may stop the fit.
            on_batch: called after each step with the number of its rows.

        Returns:
            The finished epochs.

        Raises:
            TrainingError: a loss or weight is not finite.
            TypeError: a number is not an integer.
            ValueError: arrays have other shapes or contents.
        """
        self._need_compiled()
        whole("epochs", epochs, 1)
        data = self._examples("", x, y)
        validation = validation_data and self._examples("validation ", *validation_data)
        indices = np.arange(len(data[0])) if rows is None else _checked(rows, len(data[0]))
        batches = _Batches(data, indices, min(whole("batch_size", batch_size, 1), len(indices)))
        history: list[Epoch] = []
        if not self._built:
            self.build(rng)
        for number in range(1, epochs + 1):
            started = time.perf_counter()
            mean_loss, rate = self._fit_epoch(number, epochs, batches, rng, on_batch)
            loss, accuracy = self._validate(number, validation)
            # A loss before the last step can't show what that step did to the weights.
            largest = float(np.abs(self.parameters).max(initial=0))
            self._check_finite(largest, "largest weight", number)
            seconds = time.perf_counter() - started
            history.append(Epoch(number, mean_loss, loss, accuracy, rate, seconds))
            stops = [callback(history[-1]) for callback in callbacks]  # calls all of them
            if any(stops):
                break
        return history

    def _fit_epoch(
        self,
        number: int,
        epochs: int,
        batches: _Batches,
        rng: np.random.Generator,
        on_batch: Callable[[int], None] | None,
    ) -> tuple[float, float]:
        """Take the steps of one epoch; return the mean loss and the last learning rate."""
        total, rate = 0.0, 0.0
        for step, (x, y) in enumerate(batches.shuffled(rng)):
            progress = (number - 1 + step / batches.steps) / epochs
            rate = self.optimizer.learning_rate * self.schedule(progress)
            self._regularize(self.regularization(progress))
            value = self._step(x, y, rate)
            self._check_finite(value, "loss", number)
            total += value * len(y)
            if on_batch:
                on_batch(len(y))
        return total / batches.rows, rate

    def _validate(
        self, number: int, validation: tuple[Array, Labels] | None
    ) -> tuple[float | None, float | None]:
        """Return validation loss and accuracy, and keep the outputs; None without rows."""
        if not validation:
            return None, None
        self.validation_outputs = self._outputs(validation[0])
        loss, accuracy = self._loss_and_accuracy(self.validation_outputs, validation[1])
        self._check_finite(loss, "validation loss", number)
        return loss, accuracy

    def train_on_batch(
        self, x: ArrayLike, y: ArrayLike, learning_rate: float | None = None
    ) -> float:
        """Take one step on these rows as one batch; return their mean loss before the step.

        Args:
            x: (rows, inputs).
            y: class indices, (rows,).
            learning_rate: the optimizer's where None.

        Raises:
            ValueError: arrays have other shapes or contents.
        """
        self._need_compiled()
        self._need_built()
        rate = self.optimizer.learning_rate if learning_rate is None else learning_rate
        return self._step(*self._examples("", x, y), rate)

    def evaluate(
        self, x: ArrayLike, y: ArrayLike, batch_size: int = PREDICTED_ROWS
    ) -> tuple[float, float]:
        """Return mean loss and accuracy.

        Args:
            x: (rows, inputs), at least one row.
            y: class indices, (rows,).
            batch_size: rows of one forward pass; changes only the speed.

        Raises:
            ValueError: arrays have other shapes or contents.
        """
        self._need_compiled()
        self._need_built()
        rows, labels = self._examples("", x, y)
        return self._loss_and_accuracy(self._outputs(rows, batch_size), labels)

    def predict(self, x: ArrayLike, batch_size: int = PREDICTED_ROWS) -> Array:
        """Return the outputs, a new array (rows, units).

        Args:
            x: (rows, inputs); may have zero rows.
            batch_size: rows of one forward pass; changes only the speed.

        Raises:
            ValueError: the array has another shape.
        """
        self._need_built()
        return self._outputs(self._rows("x", x), batch_size)

    def apply_temperature(self, temperature: float) -> None:
        """Divide the logits of the last layer by ``temperature``, permanently.

        The probabilities become proportional to p^(1 / temperature), in the same order (Guo et al.
        2017, arXiv:1706.04599).

        Raises:
            ValueError: the temperature is not above 0, or the last layer is not dense with softmax.
        """
        last = self.layers[-1]
        if not isinstance(last, Dense) or last.activation.name != Softmax.name:
            raise ValueError(f"the last layer is {last.kind}, expected Dense, softmax")
        positive("temperature", temperature)
        for values in last.parameters.values():
            np.divide(values, temperature, out=values)

    def get_weights(self) -> list[Array]:
        """Return copies of each layer's parameters and statistics, layer by layer."""
        return [values.copy() for values in self._weights()]

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Copy the values of `get_weights` from this or another network with the same layers.

        Raises:
            ValueError: the shapes differ; nothing is changed.
        """
        own = self._weights()
        if [np.shape(values) for values in weights] != [values.shape for values in own]:
            raise ValueError(
                f"weights has shapes {[np.shape(values) for values in weights]}, "
                f"expected {[values.shape for values in own]}"
            )
        for values, new in zip(own, weights, strict=True):
            values[...] = new
        self._built = True

    def summary(self, weights: bool | None = None) -> str:
        """Return the layers with their shapes and numbers of weights, as text.

        Args:
            weights: whether to show the weights; where None, only up to `SHOWN_WEIGHTS`.
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
        """Build the layers in order; return the network's inputs and units."""
        for layer in self.layers:
            if not isinstance(layer, Layer):
                raise TypeError(f"layers holds {layer!r}, expected only layers")
        if not self.layers or self.layers[0].input_shape is None:
            raise ValueError("the first layer has no input_shape, expected (inputs,)")
        size = self.layers[0].input_shape[0]
        numbers: Counter[str] = Counter()
        for layer in self.layers:
            if layer.input_shape not in (None, (size,)):
                raise ValueError(
                    f"input_shape is {layer.input_shape}, but the layer before has {size} units"
                )
            name = type(layer).__name__.lower()
            numbers[name] += 1
            layer.build(size, f"{name}_{numbers[name]}")
            size = layer.units
        return self.layers[0].inputs, size

    def _views(self, kind: str) -> Iterator[tuple[slice, Layer, str, tuple[int, ...]]]:
        """Yield the slice of the flat vector of each "parameter" or "statistic" of each layer."""
        start = 0
        for layer in self.layers:
            shapes = layer.parameter_shapes() if kind == "parameter" else layer.statistic_shapes()
            for name, shape in shapes.items():
                stop = start + math.prod(shape)
                yield slice(start, stop), layer, name, shape
                start = stop

    def _vector(self, kind: str) -> Array:
        return np.zeros(sum(math.prod(shape) for *_, shape in self._views(kind)), self.dtype)

    def _weights(self) -> list[Array]:
        return [values for layer in self.layers for values in layer.values.values()]

    def _regularize(self, strength: float) -> None:
        for layer in self.layers:
            if isinstance(layer, Dropout):
                layer.strength = strength
        if isinstance(self.optimizer, AdamW):
            self.optimizer.strength = strength

    def _step(self, x: Array, y: Labels, learning_rate: float) -> float:
        """Take one step and return the mean loss before it."""
        # A diverging fit overflows here first; its loss or weights then raise the error.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            outputs = self._forward(x, training=True)
            value = self.loss.value(outputs, y)
            self._backward(outputs, y)
            self.optimizer.step(self.parameters, self.gradients, learning_rate)
        return value

    def _outputs(self, x: Array, batch_size: int = PREDICTED_ROWS) -> Array:
        outputs = np.empty((len(x), self.units), self.dtype)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for part in _slices(len(x), whole("batch_size", batch_size, 1)):
                outputs[part] = self._forward(x[part], training=False)
        return outputs

    def _loss_and_accuracy(self, outputs: Array, labels: Labels) -> tuple[float, float]:
        """Return mean loss and accuracy."""
        right = int(np.count_nonzero(outputs.argmax(axis=1) == labels))
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return self.loss.value(outputs, labels), right / len(labels)

    def _forward(self, x: Array, training: bool) -> Array:
        """Return the outputs (rows, units), a view of the last layer's buffer."""
        if len(x) > self._buffer_rows:
            for layer in self.layers:
                layer.allocate(len(x), self.dtype)
            self._output_gradient = np.empty((len(x), self.units), self.dtype)
            self._buffer_rows = len(x)
        for layer in self.layers:
            x = layer.forward(x, training)
        return x

    def _backward(self, outputs: Array, y: Labels) -> None:
        """Write dL/dparameters to ``gradients``, after a forward pass in training."""
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

    def _check_finite(self, value: float, name: str, epoch: int) -> None:
        if not math.isfinite(value):
            raise TrainingError(
                f"the {name} is {value:g} in epoch {epoch}; "
                f"lower the learning rate, which is {self.optimizer.learning_rate:g}"
            )

    def _rows(self, name: str, x: ArrayLike) -> Array:
        with np.errstate(over="ignore"):  # `_examples` rejects infinities
            rows = np.ascontiguousarray(x, dtype=self.dtype)
        if np.ndim(x) != 2 or rows.shape[1] != self.inputs:  # noqa: PLR2004 - rows and columns
            raise ValueError(f"{name} has shape {np.shape(x)}, expected (rows, {self.inputs})")
        return rows

    def _examples(self, prefix: str, x: ArrayLike, y: ArrayLike) -> tuple[Array, Labels]:
        """Return checked rows and labels; ``prefix`` is for the arguments' names in messages."""
        rows, labels = self._rows(f"{prefix}x", x), np.asarray(y)
        if not len(rows):
            raise ValueError(f"{prefix}x has no rows, expected at least one")
        if not np.isfinite(rows).all():
            raise ValueError(
                f"{prefix}x holds NaN or infinity, expected finite {self.dtype} numbers"
            )
        if labels.shape != (len(rows),):
            raise ValueError(f"{prefix}y has shape {labels.shape}, expected ({len(rows)},)")
        if not np.issubdtype(labels.dtype, np.integer):
            raise TypeError(f"{prefix}y holds {labels.dtype}, expected class indices, as int64")
        if labels.min() < 0 or labels.max() >= self.units:
            raise ValueError(
                f"{prefix}y holds {labels.min()} to {labels.max()}, expected 0 to {self.units - 1}"
            )
        return rows, labels.astype(np.int64, copy=False)

    def _need_compiled(self) -> None:
        if not hasattr(self, "optimizer"):
            raise RuntimeError("the network has no optimizer and loss; call compile first")

    def _need_built(self) -> None:
        if not self._built:
            raise RuntimeError("the network has no weights; call build, fit or set_weights first")


class _Batches:
    """The mini-batches of a fit, copied into buffers that all steps share.

    Args:
        data: rows and labels.
        indices: of the rows to fit to.
        size: rows of a batch.
    """

    def __init__(self, data: tuple[Array, Labels], indices: Labels, size: int) -> None:
        (x, y), self._indices, self._size = data, indices, size
        self._sources = x, y
        self._buffers = np.empty((size, x.shape[1]), x.dtype), np.empty(size, np.int64)
        self.rows, self.steps = len(indices), -(-len(indices) // size)

    def shuffled(self, rng: np.random.Generator) -> Iterator[tuple[Array, Labels]]:
        """Yield the batches of one epoch; a batch is valid until the next one."""
        order = rng.permutation(self._indices)
        for start in range(0, len(order), self._size):
            picked = order[start : start + self._size]
            x, y = (
                # With mode="raise", take would fill a copy of its output first.
                np.take(source, picked, axis=0, out=buffer[: len(picked)], mode="clip")
                for source, buffer in zip(self._sources, self._buffers, strict=True)
            )
            yield x, y


def _checked(indices: NDArray[np.int64], rows: int) -> NDArray[np.int64]:
    """Return the indices if there are any and all are within the rows."""
    if not len(indices):
        raise ValueError("rows is empty, expected at least one index")
    if indices.min() < 0 or indices.max() >= rows:
        raise ValueError(f"rows holds {indices.min()} to {indices.max()}, expected 0 to {rows - 1}")
    return indices


def _slices(rows: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, rows, size))
