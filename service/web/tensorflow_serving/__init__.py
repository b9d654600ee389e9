"""TensorFlow Serving's interface under ``/v1/models``: status, metadata and ``:classify``.

Must never know another protocol's folder.
"""
