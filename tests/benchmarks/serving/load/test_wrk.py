"""The load generator: its output, and a real run."""

import http.server
import threading

import pytest

from benchmarks.processes import CommandFailed
from benchmarks.serving.load.wrk import PostRequest, generate_load, parse_output

OUTPUT = """Running 5s test @ http://127.0.0.1:8000/predict
  1 threads and 64 connections
  Requests/sec:  39000.00
result: {"microseconds": 2000000, "requests": 5000, "p50_us": 1500, "p99_us": 4250, \
"failed_statuses": 20, "failed_connections": 3}
"""


def test_latencies_are_read_from_the_line_of_the_script():
    result = parse_output(OUTPUT)
    assert (result.seconds, result.p50_ms, result.p99_ms) == (2.0, 1.5, 4.25)


def test_rejected_requests_count_as_errors():
    result = parse_output(OUTPUT)
    assert (result.requests, result.errors) == (4980, 23)


def test_output_without_the_line_of_the_script_is_an_error():
    with pytest.raises(CommandFailed, match="unable to connect"):
        parse_output("unable to connect to 127.0.0.1:1 Connection refused\n")


class Echo(http.server.BaseHTTPRequestHandler):
    """Records the first request, and rejects every second one."""

    protocol_version = "HTTP/1.1"
    first = None
    answered = 0

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).first = type(self).first or (self.path, body, self.headers["X-Form"])
        type(self).answered += 1
        self.send_response(503 if self.answered % 2 else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        """Print nothing."""


def test_load_posts_the_body_and_counts_rejected_requests(program):
    program("wrk", "wrk")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        # The body has bytes that are special to a shell, to Lua and to HTTP.
        body = b'{"a": "%s\\n"}\r\n\r\n\x00\xff'
        request = PostRequest("/v2/x", body, {"X-Form": "rows"})
        result = generate_load(server.server_address[1], request, 1, 1)
        server.shutdown()
        thread.join()
    assert Echo.first == ("/v2/x", body, "rows")
    assert result.requests > 0
    assert abs(result.errors - result.requests) <= 1
    assert 0 < result.p50_ms <= result.p99_ms
