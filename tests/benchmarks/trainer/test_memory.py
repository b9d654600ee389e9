"""Promises of benchmarks.trainer.memory."""

import pytest

from benchmarks.trainer.memory import measure


@pytest.mark.slow
def test_a_table_is_prepared_and_fitted_in_both_forms(tmp_path):
    # Takes seconds, for each form is a whole fit by the command line.
    said = []
    found = measure(tmp_path, count=400, say=said.append)
    assert [large.form for large in found] == ["CSV", "Parquet"]
    for large in found:
        assert large.number_bytes == 400 * 30 * 8
        assert large.peak_bytes > large.preparation_peak_bytes > large.number_bytes
        assert sum(large.preparation_seconds.values()) < large.seconds
    assert said[0].startswith("CSV, 400 rows: ")
