"""Scores, intervals, curves and baselines: arrays in, arrays out. No drawing, no files."""
