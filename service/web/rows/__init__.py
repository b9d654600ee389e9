"""Rows in every format, and the protocols that carry them: ``/predict`` and ``/invocations``.

One module per format. Must never know another protocol's folder.
"""
