"""Memory and seconds of a fit to a large table."""

import pytest

from benchmarks.trainer.memory import measure


@pytest.mark.slow
def test_table_is_prepared_and_fitted_in_both_formats(tmp_path):
    lines = []
    fits = measure(tmp_path, count=400, log=lines.append)
    assert [fit.file_format for fit in fits] == ["CSV", "Parquet"]
    for fit in fits:
        assert fit.number_bytes == 400 * 30 * 8
        assert fit.peak_bytes > fit.preparation_peak_bytes > fit.number_bytes
        assert sum(fit.preparation_seconds.values()) < fit.seconds
    assert lines[0].startswith("CSV, 400 rows: ")
