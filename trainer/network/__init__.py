"""The multilayer perceptron in numpy: layers, activations, losses, optimizers, schedules.

Knows arrays and, for ``emit``, the ONNX graph; never tables, files or metadata.
"""
