"""What is observed of requests and workers: health, the metrics page, access log and spans.

Must never change an answer. Must never know a protocol's folder.
"""
