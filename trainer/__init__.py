"""The offline trainer: reads a table, fits a multilayer perceptron and writes one ONNX file.

``run.train`` is the whole run, from top to bottom. The trainer never imports the service.
"""
