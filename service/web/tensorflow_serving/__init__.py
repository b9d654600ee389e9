"""TensorFlow Serving's interface under ``/v1/models``: status, metadata and ``:classify``.

Must not import another protocol's folder.
"""
