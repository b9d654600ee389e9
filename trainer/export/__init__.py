"""The model file: written, compared with the network, published. The contract's other half."""

import os

# Read when onnxruntime is imported. From 1.31 on it reports to its makers unless this is set, and
# keeps files for that in the home directory.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
