-- Prints the results of a run as one line of JSON.

function done(summary, latency, _)
  local errors = summary.errors
  print(string.format(
    'result: {"microseconds": %d, "requests": %d, "p50_us": %d, "p99_us": %d, '
      .. '"failed_statuses": %d, "failed_connections": %d}',
    summary.duration, summary.requests, latency:percentile(50), latency:percentile(99),
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
