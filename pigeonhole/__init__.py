"""Pigeonhole: fit a classifier to a table, write it as one ONNX file, serve it over HTTP.

The folders ``service`` and ``trainer`` are parts of this package: two links here lead to them. They
use relative imports, so that ``python -m service`` and ``python -m trainer`` work in the repository
too. Only the command line in ``__main__`` may import both, and only when a command needs them.
"""

__version__ = "0.1.0"
