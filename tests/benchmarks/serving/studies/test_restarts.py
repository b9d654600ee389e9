"""The study of restarts: the output of wrk."""

from benchmarks.serving.studies.restarts import HEADER, parse_output

OUTPUT = """  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.50ms    1.10ms  40.21ms   90.00%
  90000 requests in 10.00s, 20.00MB read
"""

ERRORS = """  Socket errors: connect 1, read 2, write 3, timeout 4
  Non-2xx or 3xx responses: 5
"""


def test_output_without_errors_counts_none():
    result = parse_output(OUTPUT, "one worker", 3, 10.0)
    assert result.cells() == ["one worker", "3", "90,000", "9,000", "40.21ms", *"00000"]
    assert len(result.cells()) == len(HEADER)


def test_errors_are_counted_by_kind():
    result = parse_output(OUTPUT + ERRORS, "one worker", 3, 10.0)
    assert result.cells()[-5:] == ["1", "2", "3", "4", "5"]
