"""Floor 1: what a model is - its signature, its file, its session, where it lies on disk.

Knows numpy and onnxruntime. Must never know threads, time-outs, HTTP or Flask.
"""

import os

# Read when onnxruntime is imported. From 1.31 on it reports to its makers unless this is set, and
# keeps files for that in the home directory.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
