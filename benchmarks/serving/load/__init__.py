"""The load generator (wrk), process trees, and the service as a process."""
