"""Measurements of the service alone: restarts, sizing, soak and the cost of tracing."""
