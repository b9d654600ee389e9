"""Fitting a network: the loop, early stopping, history, progress. Knows only the network."""
