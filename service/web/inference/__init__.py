"""One prediction over HTTP: limits, deadlines, metrics, streaming and content coding.

The same for every protocol. Knows the predictor and HTTP responses. Must never know how a protocol
encodes its rows.
"""
