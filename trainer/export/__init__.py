"""The model file: written, compared with the network, published, opened and inspected."""

import os

# onnxruntime reads this at import. From 1.31 on it sends telemetry unless this is set, and writes
# files to the home directory.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
