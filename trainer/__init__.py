"""The offline trainer: reads a table, fits a multilayer perceptron, writes one ONNX file.

``run.train`` is the whole run, readable from top to bottom. Never imports the service.
"""
