"""Claims that the samples allow, and no more."""

from collections import Counter
from math import isclose
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.statistics import Z_95, percentile, still_needed, weighted_percentiles, wilson_lower, wilson_upper

COUNTS = st.integers(1, 10_000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))


def test_2703_samples_without_a_failure_are_the_least_that_show_99_9_percent():
    assert wilson_lower(2703, 2703) > 0.999
    assert wilson_lower(2702, 2702) < 0.999


def test_one_failure_in_that_many_shows_no_such_thing():
    assert wilson_lower(2702, 2703) < 0.999


def test_two_days_each_30_seconds_allow_one_failure():
    assert wilson_lower(5759, 5760) > 0.999
    assert wilson_lower(5757, 5760) < 0.999


@given(COUNTS)
def test_each_bound_lies_exactly_the_quantile_away_from_what_was_measured(counts):
    good, total = counts
    for bound in (wilson_lower(good, total), wilson_upper(good, total)):
        # What defines Wilson's bounds: the share is z standard errors of the bound away from it.
        assert isclose((good / total - bound) ** 2, Z_95**2 * bound * (1 - bound) / total, rel_tol=1e-6, abs_tol=1e-12)


def test_nothing_measured_claims_nothing():
    assert wilson_lower(0, 0) == 0.0
    assert wilson_upper(0, 0) == 1.0


@given(COUNTS)
def test_the_bounds_hold_the_share_between_them_and_stay_shares(counts):
    good, total = counts
    assert 0.0 <= wilson_lower(good, total) <= good / total + 1e-12
    assert good / total - 1e-12 <= wilson_upper(good, total) <= 1.0


@given(COUNTS)
def test_the_bounds_of_failures_mirror_those_of_successes(counts):
    good, total = counts
    assert abs(wilson_lower(good, total) - (1 - wilson_upper(total - good, total))) < 1e-9


def test_percentiles_are_values_that_were_measured():
    values = [3.0, 1.0, 2.0, 4.0]
    assert [percentile(values, share) for share in (0, 0.25, 0.5, 0.75, 0.99, 1)] == [1.0, 1.0, 2.0, 3.0, 4.0, 4.0]
    assert percentile([], 0.5) is None


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 1))
def test_at_least_the_share_lies_at_or_under_the_percentile(values, share):
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-6


@pytest.mark.slow
def test_bounds_and_percentiles_are_those_of_a_reference_on_1000_random_cases():
    import numpy
    from scipy import stats

    random = Random(20260329)
    for _ in range(1000):
        total = random.randint(1, random.choice((10, 1000, 1_000_000)))
        good = total - min(total, int(random.expovariate(1 / (1 + total * random.choice((0.0, 0.001, 0.3))))))
        # A two-sided interval of 90 % is the two one-sided bounds of 95 %.
        expected = stats.binomtest(good, total).proportion_ci(confidence_level=0.9, method="wilson")
        assert wilson_lower(good, total) == pytest.approx(expected.low, abs=1e-12)
        assert wilson_upper(good, total) == pytest.approx(expected.high, abs=1e-12)
        values = [random.randint(1, 50) for _ in range(random.randint(1, 200))]
        share = random.choice((0.5, 0.9, 0.95, 0.99, random.random()))
        nearest = numpy.percentile(values, 100 * share, method="inverted_cdf")
        assert percentile(values, share) == nearest
        assert weighted_percentiles(Counter(values), (share, 1.0)) == (nearest, max(values))


def test_the_quantile_is_the_references():
    from scipy.stats import norm

    assert pytest.approx(norm.ppf(0.95), abs=1e-15) == Z_95


@pytest.mark.parametrize(
    ("good", "total", "needed"), [(0, 0, 2703), (2703, 2703, 0), (2702, 2702, 1), (999, 1000, 3480)]
)
def test_what_is_still_needed_is_the_fewest_that_are_enough(good, total, needed):
    found = still_needed(good, total, 0.999)
    assert found == needed
    assert wilson_lower(good + found, total + found) > 0.999
    assert not found or wilson_lower(good + found - 1, total + found - 1) <= 0.999
