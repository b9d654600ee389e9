"""Sequential: layers one after the other, fitted by mini-batches. Names and manners are Keras's."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.errors import TrainingError
from trainer.graph import Graph
from trainer.network import losses, optimizers, schedules
from trainer.network.layers import Activation, Dense, Layer
from trainer.network.losses import CategoricalCrossentropy, Loss
from trainer.network.optimizers import Optimizer
from trainer.network.schedules import Schedule

Array = NDArray[Any]
Labels = NDArray[np.int64]

PREDICTED_ROWS = 4096
"""Rows answered at once: enough for fast products, few enough to stay in the cache."""

SHOWN_WEIGHTS = 64
"""A summary shows every weight of a network with at most so many."""


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training rows came to.

    Attributes:
        number: from 1.
        loss: mean over the epoch's batches, each as it was before its step.
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
        layers: the first one says its ``input_shape``.
        dtype: float32; float64 is for checking gradients.

    Attributes:
        parameters: every trained value, one flat vector; the layers hold views.
        gradients: dL/dparameters, the same way.
        statistics: what layers learn without gradients, the same way.
    """

    def __init__(self, layers: Sequence[Layer], dtype: Any = np.float32) -> None:
        if not layers:
            raise ValueError("layers is empty, expected at least one")
        if layers[0].input_shape is None:
            raise ValueError("the first layer has no input_shape, expected (inputs,)")
        self.layers = list(layers)
        self.dtype = dtype
        self._inputs = layers[0].input_shape[0]
        inputs = self._inputs
        for layer in self.layers:
            layer.build(inputs)
            inputs = layer.units
        self.units = inputs
        self.parameters, self.gradients = self._vector(True), self._vector(True)
        self.statistics = self._vector(False)
        for layer in self.layers:
            layer.parameters, layer.gradients, layer.statistics = {}, {}, {}
        self._hand_out()
        self._rows = 0

    def build(self, rng: np.random.Generator) -> None:
        """Give every parameter its first value, by chance from ``rng``."""
        for layer in self.layers:
            layer.initialize(rng)

    def compile(
        self,
        optimizer: str | Optimizer = "adam",
        loss: str | Loss = "categorical_crossentropy",
        schedule: str | Schedule = "constant",
    ) -> None:
        """Say how it is fitted: optimizer, loss and schedule by name or as objects."""
        self.optimizer = optimizers.named(optimizer) if isinstance(optimizer, str) else optimizer
        self.loss = losses.named(loss) if isinstance(loss, str) else loss
        self.schedule = schedules.named(schedule) if isinstance(schedule, str) else schedule
        decayed = np.zeros(len(self.parameters), dtype=bool)
        start = 0
        for layer in self.layers:
            for name, shape in layer.parameter_shapes().items():
                size = math.prod(shape)
                decayed[start : start + size] = name in layer.decayed
                start += size
        self.optimizer.bind(self.parameters, decayed)

    def fit(
        self,
        x: Array,
        y: Labels,
        *,
        epochs: int,
        batch_size: int,
        rng: np.random.Generator,
        validation_data: tuple[Array, Labels] | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> list[Epoch]:
        """Fit to rows in shuffled mini-batches; every row is seen once an epoch.

        Args:
            x: (rows, inputs).
            y: class indices, (rows,).
            epochs: passes at most.
            batch_size: rows in a step; the last step of an epoch may have fewer.
            rng: shuffles.
            validation_data: rows to measure by after each epoch.
            callbacks: told of each epoch, in order; any may stop the fit.

        Raises:
            TrainingError: when the loss is no longer a finite number.
        """
        x = np.ascontiguousarray(x, dtype=self.dtype)
        rows = len(x)
        batch_size = min(batch_size, rows)
        batch_x = np.empty((batch_size, x.shape[1]), self.dtype)
        batch_y = np.empty(batch_size, np.int64)
        steps = -(-rows // batch_size)
        history: list[Epoch] = []
        for number in range(1, epochs + 1):
            started = time.perf_counter()
            order = rng.permutation(rows)
            total, rate = 0.0, 0.0
            for step in range(steps):
                picked = order[step * batch_size : (step + 1) * batch_size]
                n = len(picked)
                np.take(x, picked, axis=0, out=batch_x[:n], mode="clip")
                np.take(y, picked, out=batch_y[:n], mode="clip")
                progress = ((number - 1) * steps + step) / (epochs * steps)
                rate = self.optimizer.learning_rate * self.schedule(progress)
                total += n * self.train_on_batch(batch_x[:n], batch_y[:n], rate)
            measured = self.evaluate(*validation_data) if validation_data else (None, None)
            mean = total / rows
            seconds = time.perf_counter() - started
            epoch = Epoch(number, mean, measured[0], measured[1], rate, seconds)
            self._refuse_divergence(epoch)
            history.append(epoch)
            answers = [callback(epoch) for callback in callbacks]  # each is told
            if any(answers):
                break
        return history

    def train_on_batch(self, x: Array, y: Labels, learning_rate: float | None = None) -> float:
        """One step on these rows; their mean loss before it."""
        outputs = self._forward(x, training=True)
        value = self.loss.value(outputs, y)
        self._backward(outputs, y)
        rate = self.optimizer.learning_rate if learning_rate is None else learning_rate
        self.optimizer.step(self.parameters, self.gradients, rate)
        return value

    def evaluate(self, x: Array, y: Labels) -> tuple[float, float]:
        """Mean loss and accuracy on these rows, at least one."""
        outputs = self.predict(x)
        return self.loss.value(outputs, y), float(np.mean(outputs.argmax(axis=1) == y))

    def predict(self, x: Array) -> Array:
        """The outputs (rows, units) for inputs (rows, inputs); zero rows give zero rows."""
        outputs = np.empty((len(x), self.units), self.dtype)
        for start in range(0, len(x), PREDICTED_ROWS):
            part = np.ascontiguousarray(x[start : start + PREDICTED_ROWS], dtype=self.dtype)
            outputs[start : start + len(part)] = self._forward(part, training=False)
        return outputs

    def get_weights(self) -> tuple[Array, Array]:
        """Copies of parameters and statistics."""
        return self.parameters.copy(), self.statistics.copy()

    def set_weights(self, weights: tuple[Array, Array]) -> None:
        """Put copies back; the layers' views see them."""
        self.parameters[...], self.statistics[...] = weights

    def emit(self, graph: Graph, x: str) -> str:
        """The layers as nodes, from float inputs (N, inputs)."""
        for layer in self.layers:
            x = layer.emit(graph, x)
        return x

    def summary(self, weights: bool | None = None) -> str:
        """The layers with their shapes and numbers of weights, as a table.

        Args:
            weights: whether every weight is shown; where None, for a small network.
        """
        lines = [("layer", "output shape", "weights")]
        for number, layer in enumerate(self.layers, 1):
            count = sum(math.prod(shape) for shape in layer.parameter_shapes().values())
            lines.append((f"{number}  {layer.kind}", f"(None, {layer.units})", f"{count:,}"))
        widths = [max(len(line[i]) for line in lines) for i in range(3)]
        rule = "-" * (sum(widths) + 4)
        table = [
            f"{name.ljust(widths[0])}  {shape.ljust(widths[1])}  {count.rjust(widths[2])}"
            for name, shape, count in lines
        ]
        inputs = f"Sequential, {self._inputs} inputs, {len(self.parameters):,} weights"
        shown = [inputs, table[0], rule, *table[1:]]
        if weights or (weights is None and len(self.parameters) <= SHOWN_WEIGHTS):
            shown += [rule, *self._weight_lines()]
        return "\n".join(shown)

    def _weight_lines(self) -> list[str]:
        lines = []
        for number, layer in enumerate(self.layers, 1):
            for name, values in layer.parameters.items():
                shape = " x ".join(map(str, values.shape))
                lines.append(f"{number}  {name} ({shape})")
                lines += [
                    "     " + " ".join(f"{value:9.4f}" for value in row)
                    for row in np.atleast_2d(values)
                ]
        return lines

    def _forward(self, x: Array, training: bool) -> Array:
        if len(x) > self._rows:
            self._rows = len(x)
            for layer in self.layers:
                layer.allocate(self._rows, self.dtype)
            self._output_gradient = np.empty((self._rows, self.units), self.dtype)
        for layer in self.layers:
            x = layer.forward(x, training)
        return x

    def _backward(self, outputs: Array, y: Labels) -> None:
        """Write dL/dparameters to ``gradients``, after a forward in training."""
        gradient = self._output_gradient[: len(y)]
        last = self.layers[-1]
        first = self.layers[0]
        below = self.layers[:-1]
        if (
            isinstance(self.loss, CategoricalCrossentropy)
            and isinstance(last, Dense | Activation)
            and last.activation.name == "softmax"
        ):
            self.loss.logit_gradient(outputs, y, gradient)
            gradient = last.backward_from_logits(gradient, needs_input=last is not first)
        else:
            self.loss.gradient(outputs, y, gradient)
            gradient = last.backward(gradient, needs_input=last is not first)
        for layer in reversed(below):
            gradient = layer.backward(gradient, needs_input=layer is not first)

    def _refuse_divergence(self, epoch: Epoch) -> None:
        validation = epoch.validation_loss
        if math.isfinite(epoch.loss) and (validation is None or math.isfinite(validation)):
            return
        raise TrainingError(
            f"the loss is {epoch.loss:g} after epoch {epoch.number}; "
            f"lower the learning rate, which is {self.optimizer.learning_rate:g}"
        )

    def _vector(self, trained: bool) -> Array:
        shapes = [
            shape
            for layer in self.layers
            for shape in (
                layer.parameter_shapes() if trained else layer.statistic_shapes()
            ).values()
        ]
        return np.zeros(sum(map(math.prod, shapes)), self.dtype)

    def _hand_out(self) -> None:
        """Give each layer views of the flat vectors."""
        start = at = 0
        for layer in self.layers:
            for name, shape in layer.parameter_shapes().items():
                part = slice(start, start + math.prod(shape))
                layer.parameters[name] = self.parameters[part].reshape(shape)
                layer.gradients[name] = self.gradients[part].reshape(shape)
                start = part.stop
            for name, shape in layer.statistic_shapes().items():
                part = slice(at, at + math.prod(shape))
                layer.statistics[name] = self.statistics[part].reshape(shape)
                at = part.stop
