"""Handlers, which respond to whole requests: the fast path and WSGI; and the inference routes.

Knows every protocol's folder. Nothing imports it except the wiring in ``service/app.py``.
"""
