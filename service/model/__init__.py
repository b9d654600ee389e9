"""Floor 1: what a model is - its signature, its file, its session, where it lies on disk.

Knows numpy and onnxruntime. Must never know threads, time-outs, HTTP or Flask.
"""
