"""Measurements that run alone: restarts, sizing, soak and the cost of tracing."""
