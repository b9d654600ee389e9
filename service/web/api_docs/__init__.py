"""The interface described: OpenAPI for programs, the page ``/docs`` for people.

Knows the protocols' folders. Nothing imports it except the wiring in ``service/app.py``.
"""
