"""Models: signature, file, session and folder.

This package knows numpy and onnxruntime. It must not know threads, time limits, HTTP or Flask.
"""

import os

# onnxruntime reads it at import. From 1.31 on, onnxruntime sends telemetry without it, and keeps
# files for that in the home directory.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
