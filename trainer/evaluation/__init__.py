"""Scores and baselines: arrays in, arrays out. Never draws, prints or reads files."""
