"""The charts of a report: each function takes figures and returns a `Chart`."""
