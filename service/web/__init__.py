"""HTTP: server, routes, protocols and pages. The only part of the service that knows Flask.

A route translates a request into the service's types, makes one call, and translates the result back.
Decisions about models belong to ``serving`` and ``model``.
"""
