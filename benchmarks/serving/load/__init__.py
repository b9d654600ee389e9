"""The load generator (wrk), the service as a process, and what its processes take."""
