"""What answers a whole request: the fast path, WSGI, and the table of inference routes.

Knows every protocol's folder. Nothing imports it except the wiring in ``service/app.py``.
"""
