"""The multilayer perceptron in numpy: layers, activations, losses, optimizers.

Knows arrays and, for ``emit``, the graph; never tables, files or metadata.
"""
