"""Preprocessing: columns to network inputs, each formula beside its ONNX twin.

Knows the data's forms and the graph; never the network.
"""
