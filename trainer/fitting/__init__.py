"""Fitting a network: training loop, early stopping, calibration, history and progress bar.

Knows the network; never tables, settings or files.
"""
