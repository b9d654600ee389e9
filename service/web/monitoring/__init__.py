"""Observation of requests and workers: health, the metrics page, access log and spans.

Must not change a response or import a protocol's folder.
"""
