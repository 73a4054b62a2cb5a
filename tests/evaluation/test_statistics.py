"""Whether what is called certain is: against SciPy, and on thousands of comparisons of which the truth is known."""

import math
import os
from itertools import permutations, product

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from retriever.errors import InvalidInput
from retriever.evaluation.statistics import (
    ALPHA,
    LEAST,
    compare,
    detectable,
    groups,
    holm,
    interval,
    queries_needed,
    sign_flip,
)

SIMULATIONS = 2_000
RESAMPLES = 10_000 if os.environ.get("HYPOTHESIS_PROFILE") == "slow" else 1_000
GAINS = np.array([0.0, *(1 / math.log2(rank + 1) for rank in range(1, 11))])
SHARES = np.array([0.28, 0.42, 0.1, 0.06, 0.04, 0.03, 0.02, 0.02, 0.01, 0.01, 0.01])
"""nDCG@10 of one relevant document: where it is among ten, as on real sets: many ones and zeros."""


def equal_systems(rng, count, queries=100):
    """Systems that are equally good, and agree on most queries: shape (queries, systems)."""
    shared = rng.choice(GAINS, (queries, 1), p=SHARES)
    own = rng.choice(GAINS, (queries, count), p=SHARES)
    return np.where(rng.random((queries, count)) < 0.5, shared, own)


def test_a_against_a_is_certain_in_one_of_twenty_cases():
    rng = np.random.default_rng(1)
    found = [compare(*equal_systems(rng, 2).T, seed=seed, resamples=RESAMPLES) for seed in range(SIMULATIONS)]
    rate = np.mean([comparison.certain for comparison in found])
    assert 0.04 <= rate <= 0.06
    outside = np.mean([not comparison.low <= 0 <= comparison.high for comparison in found])
    assert 0.04 <= outside <= 0.07  # the percentile interval is a little narrow by nature


def test_a_family_of_equal_systems_has_a_false_difference_in_one_of_twenty_cases_at_most():
    rng = np.random.default_rng(2)
    pairs = [(i, j) for i in range(4) for j in range(i)]
    wrong = naive = 0
    for seed in range(SIMULATIONS):
        scores = equal_systems(rng, 4)
        p = sign_flip(
            np.stack([scores[:, i] - scores[:, j] for i, j in pairs], axis=1), seed=seed, resamples=RESAMPLES
        ).tolist()
        wrong += min(holm(p)) <= ALPHA
        naive += min(p) <= ALPHA
    assert 0.01 <= wrong / SIMULATIONS <= 0.05
    assert naive / SIMULATIONS > 0.1  # without Holm the family would lie: the test above can fail


@pytest.mark.parametrize("queries", [50, 300])
def test_a_loss_of_the_detectable_size_is_found_in_four_of_five_cases(queries):
    sizes, shares = np.array([1.0, 0.63, 0.5, 0.37, 0.13]), np.array([0.1, 0.2, 0.2, 0.3, 0.2])
    changed, loss = 0.4, 0.0
    for _ in range(50):  # the loss is part of the deviation
        deviation = math.sqrt(changed * float(shares @ sizes**2) - loss**2)
        loss = detectable(deviation, queries)
    worse = 0.5 + loss / (2 * changed * float(shares @ sizes))
    assert worse < 1
    rng = np.random.default_rng(3)
    shape = queries, SIMULATIONS
    signs = np.where(rng.random(shape) < worse, -1, 1) * (rng.random(shape) < changed)
    differences = signs * rng.choice(sizes, shape, p=shares)
    batches = np.split(differences, SIMULATIONS // 20, axis=1)  # the same flips for twenty: an eighth of the time
    p = np.concatenate([sign_flip(batch, seed=seed, resamples=RESAMPLES) for seed, batch in enumerate(batches)])
    assert 0.77 <= np.mean((p <= ALPHA) & (differences.sum(axis=0) < 0)) <= 0.83
    nothing = np.zeros(queries)
    compared = [compare(nothing, column, resamples=RESAMPLES) for column in differences.T[:100]]
    assert np.median([comparison.detectable for comparison in compared]) == pytest.approx(loss, rel=0.05)
    assert [c.p for c in compared] == pytest.approx(p[:100], abs=0.06)  # one test, with other flips


def test_sign_flips_of_few_queries_are_exact():
    rng = np.random.default_rng(4)
    for size in (2, 5, 11):
        difference = rng.choice([-0.5, -0.1, 0.0, 0.2, 0.37, 1.0], size)
        expected = scipy.stats.permutation_test((difference,), np.mean, permutation_type="samples", n_resamples=np.inf)
        assert sign_flip(difference[:, None])[0] == pytest.approx(expected.pvalue, abs=1e-12)


def test_sums_that_are_equal_but_for_rounding_are_equal():
    """Tenths are no binary fractions: what is counted in whole numbers is the truth."""
    assert all(sign_flip(np.array(d)[:, None])[0] == 1 for d in permutations([0.1, 0.2, -0.3, 0.4, -0.4]))
    rng = np.random.default_rng(9)
    signs = np.array(list(product([-1, 1], repeat=11)))
    for _ in range(100):
        tenths = rng.choice([1, 2, 3, 7, -1, -2, -3, -7], 11)
        expected = (np.abs(signs @ tenths) >= abs(tenths.sum())).mean()
        assert sign_flip(tenths[:, None] / 10)[0] == pytest.approx(expected, abs=1e-12)


def test_sign_flips_and_intervals_agree_with_scipy():
    rng = np.random.default_rng(5)
    a, b = equal_systems(rng, 2, 120).T
    b = np.clip(b + rng.choice([0, 0.1], 120), 0, 1)
    ours = compare(a, b)
    flips = scipy.stats.permutation_test((b - a,), np.mean, permutation_type="samples", n_resamples=20_000, rng=1)
    assert ours.p == pytest.approx(flips.pvalue, abs=0.01)
    theirs = scipy.stats.bootstrap((b - a,), np.mean, n_resamples=20_000, method="percentile", rng=1)
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval), abs=0.003)
    t_test = scipy.stats.ttest_rel(b, a)
    assert ours.p == pytest.approx(t_test.pvalue, abs=0.02)
    assert interval(a) == pytest.approx(
        tuple(scipy.stats.bootstrap((a,), np.mean, n_resamples=20_000, method="percentile", rng=1).confidence_interval),
        abs=0.005,
    )


def test_the_figures_of_a_comparison():
    found = compare([0.0, 0.5, 1.0, 0.2], [1.0, 0.5, 0.5, 0.4])
    difference = np.array([1.0, 0.0, -0.5, 0.2])
    assert (found.queries, found.wins, found.ties, found.losses) == (4, 2, 1, 1)
    assert found.difference == pytest.approx(difference.mean())
    assert found.effect_size == pytest.approx(difference.mean() / difference.std(ddof=1))
    assert found.p == 6 / 8  # of the 8 ways to flip three, those with a sum of at least 0.7: all but ±0.3
    assert found.low <= found.difference <= found.high


def test_the_same_against_itself():
    found = compare([0.3, 0.7], [0.3, 0.7])
    assert (found.difference, found.low, found.high, found.p, found.effect_size) == (0, 0, 0, 1, None)
    assert compare([0.3], [0.5]).detectable is None


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=40), st.integers(0, 3))
def test_the_other_way_round_is_the_opposite(pairs, seed):
    a, b = zip(*pairs, strict=True)
    there, back = compare(a, b, seed=seed, resamples=200), compare(b, a, seed=seed, resamples=200)
    assert there == compare(a, b, seed=seed, resamples=200)
    assert (there.difference, there.low, there.high) == pytest.approx((-back.difference, -back.high, -back.low))
    assert (there.p, there.wins, there.losses) == (pytest.approx(back.p), back.losses, back.wins)
    assert 0 < there.p <= 1


def test_queries_of_one_document_are_no_independent_evidence():
    rng = np.random.default_rng(6)
    by_document = np.repeat(rng.normal(0.1, 0.3, 12), 10)
    clusters = np.repeat(np.arange(12), 10).tolist()
    alone = compare(np.zeros(120), by_document)
    together = compare(np.zeros(120), by_document, clusters=clusters)
    assert together.difference == pytest.approx(alone.difference)
    assert together.high - together.low > 2 * (alone.high - alone.low)
    assert together.p > alone.p
    assert together.detectable > 2 * alone.detectable
    assert together.detectable > detectable(together.difference / together.effect_size, 120)  # twelve know t less well
    assert compare(np.zeros(50), by_document[:50], clusters=clusters[:50]).detectable is None  # five cannot tell
    # A cluster of its own for each query is no clustering.
    assert compare(np.zeros(120), by_document, clusters=range(120)) == alone


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_never_lowers_and_keeps_the_order(p):
    adjusted = holm(p)
    assert all(before <= after <= 1 for before, after in zip(p, adjusted, strict=True))
    assert [a for _, a in sorted(zip(p, adjusted, strict=True))] == sorted(adjusted)
    assert all(after <= min(1, before * len(p)) + 1e-12 for before, after in zip(p, adjusted, strict=True))


def test_what_can_be_detected():
    assert detectable(0.25, 300) == pytest.approx(0.0405, abs=0.0005)
    needed = queries_needed(0.25, -0.05)
    assert detectable(0.25, needed) <= 0.05 < detectable(0.25, needed - 1)
    assert queries_needed(0.01, 0.5) == LEAST
    clear = [0.9, 0.95, 1.0, 0.85, 0.9, 0.92]
    five, six = (compare([0.0] * count, clear[:count]) for count in (5, 6))
    assert (five.certain, five.detectable, six.certain) == (False, None, True)  # p of five is 2 / 2⁵ at least
    assert six.detectable < six.difference
    with pytest.raises(InvalidInput, match="difference of 0"):
        queries_needed(0.25, 0)
    with pytest.raises(InvalidInput, match="at least 2"):
        detectable(0.25, 1)


def test_groups_share_letters_where_they_cannot_be_told_apart():
    rng = np.random.default_rng(7)
    base = rng.random(200) * 0.5
    noise = rng.normal(0, 0.05, (4, 200))
    letters = groups({"low": base, "high": base + 0.3 + noise[0], "alike": base + 0.3 + noise[1], "middle": base + 0.1})
    assert letters == {"high": "a", "alike": "a", "middle": "b", "low": "c"}
    assert groups({"only": [0.5]}) == {"only": "a"}
    assert groups({}) == {}


def test_many_groups_are_told_apart_as_well():
    """Holm multiplies by the number of pairs, 780 here; p has to be able to be that small."""
    noise = np.random.default_rng(10).normal(0, 0.001, (40, 30))
    letters = groups({str(i): i / 50 + row for i, row in enumerate(noise)})
    assert len(set(letters.values())) == 40


def test_a_bridge_has_both_letters():
    rng = np.random.default_rng(8)
    a = rng.random(40)
    step = rng.normal(0, 0.12, 40)
    middle, last = a - 0.03 + step - step.mean(), a - 0.06 + 0.05 * rng.normal(0, 1, 40)
    letters = groups({"a": a, "middle": middle, "last": last})
    assert letters == {"a": "a", "middle": "ab", "last": "b"}


@pytest.mark.parametrize(("a", "b"), [([], []), ([0.1], [0.1, 0.2])])
def test_what_cannot_be_compared(a, b):
    with pytest.raises(InvalidInput, match="compare needs the same queries"):
        compare(a, b)


def test_nonsense_is_refused():
    with pytest.raises(InvalidInput, match="NaN"):
        compare([0.0], [math.nan])
    with pytest.raises(InvalidInput, match="2 queries, but 1"):
        compare([0.0, 1.0], [0.0, 0.0], clusters=["x"])
    with pytest.raises(InvalidInput, match="at least one value"):
        interval([])
