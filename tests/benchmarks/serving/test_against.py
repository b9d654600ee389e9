"""An earlier commit compared with the working tree."""

import itertools

import pytest

from benchmarks.places import REPOSITORY
from benchmarks.processes import CommandFailed
from benchmarks.serving import against
from benchmarks.serving.loads import SMALL
from benchmarks.serving.models import model


def ratio_of(*pairs):
    return against.Ratio(SMALL, pairs)


def test_interval_of_ten_pairs_excludes_the_extremes():
    # Each side misses the median with probability (1 + 10) / 1024, together 2.1 %.
    ratio = ratio_of(1.3, 0.9, 1.0, 1.01, 0.99, 1.02, 0.98, 1.03, 0.97, 0.5)
    assert ratio.interval() == (0.9, 1.03)
    assert ratio.median == pytest.approx(0.995)


def test_interval_of_three_pairs_is_their_range():
    assert ratio_of(1.1, 0.9, 1.0).interval() == (0.9, 1.1)


@pytest.mark.parametrize("n", range(6, 15))
def test_interval_covers_the_median_with_the_stated_confidence(n):
    # Pairs are above (1) or below (0) the true median with equal probability.
    covered = 0
    for signs in itertools.product((0.0, 1.0), repeat=n):
        low, high = ratio_of(*signs).interval()
        covered += (low, high) == (0.0, 1.0)
    assert covered / 2**n >= against.CONFIDENCE


def test_unknown_commit_is_reported_by_name():
    with pytest.raises(CommandFailed, match="no-such-commit"):
        against.checkout("no-such-commit")


def test_each_state_starts_by_its_own_command(tmp_path):
    earlier = against.server_of(tmp_path)
    assert earlier.command[2:4] == ("service", "run")
    now = against.server_of(REPOSITORY)
    assert now.command[2:4] == ("pigeonhole", "serve")
    assert (earlier.folder, now.folder) == (tmp_path, REPOSITORY)


@pytest.mark.slow
def test_working_tree_is_compared_with_a_commit(program):
    program("wrk", "wrk")
    program("git", "git")
    lines = []
    (ratio,) = against.compare_states(
        "HEAD", [model("small")], pairs=1, seconds=1, log=lines.append, loads=[SMALL]
    )
    assert len(ratio.pairs) == len(lines) == 1
    assert "requests/s, now / then" in against.report([ratio])
