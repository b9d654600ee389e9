"""One prediction over HTTP, whatever the protocol: limits, deadline, metrics, streaming, coding.

Knows the predictor and HTTP responses. Must never know how a protocol writes its rows.
"""
