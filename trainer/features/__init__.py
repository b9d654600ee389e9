"""Preprocessing: columns to network inputs, each formula beside its ONNX twin.

Knows the examples and the graph; must not know the network.
"""
