"""The drawings of a report: figures in, one `Chart` or several out. Each is a function."""
