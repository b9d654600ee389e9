"""HTTP/1.1 on sockets: bytes become whole requests, responses become bytes.

Knows neither Flask nor models. Imports nothing else of the service.
"""
