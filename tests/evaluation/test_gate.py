"""The gate's three answers, on simulated losses of known size."""

import numpy as np
import pytest
from scipy.stats import bootstrap

from retriever.errors import InvalidInput
from retriever.evaluation.harness.comparing import Matched, Outcome, Paired, Side
from retriever.evaluation.harness.gate import Verdict, judge, lower_bound

VALUES = np.array([0.0, 0.315, 0.387, 0.431, 0.5, 0.631, 1.0])
OFTEN = np.array([0.25, 0.05, 0.05, 0.05, 0.1, 0.1, 0.4])
MARGIN = 0.03
SIMULATIONS = 150


def matched(*pairs, unmatched=()):
    """Runs with these values before and after."""
    return Matched([_paired(f"c{n}", *pair) for n, pair in enumerate(pairs)], unmatched, [], [], "nDCG@10")


def _paired(name, before, after):
    sides = [
        Side("set", name, name, {f"q{i}": Outcome(float(v), f"q{i}", "found") for i, v in enumerate(values)})
        for values in (before, after)
    ]
    return Paired(*sides, list(sides[0].outcomes))


def simulated(queries, loss, rng, changed=0.15):
    """A run, and one after a change: some answers differ at random, and some are lost, ``loss`` on average."""
    before = rng.choice(VALUES, queries, p=OFTEN)
    after = np.where(rng.random(queries) < changed, rng.choice(VALUES, queries, p=OFTEN), before)
    return before, np.where(rng.random(queries) < loss / (VALUES @ OFTEN), 0.0, after)


def rates(queries, loss, simulations=SIMULATIONS, changed=0.15):
    """Share of each verdict."""
    rng = np.random.default_rng(7)
    found = [
        judge(matched(simulated(queries, loss, rng, changed)), MARGIN, seed=n, resamples=500).verdict
        for n in range(simulations)
    ]
    return {verdict: found.count(verdict) / simulations for verdict in Verdict}


def test_the_same_run_passes():
    values = np.random.default_rng(0).choice(VALUES, 50, p=OFTEN)
    assert judge(matched((values, values)), 0.01).verdict == Verdict.PASSED


def test_a_change_that_loses_nothing_passes_when_there_are_many_queries():
    found = rates(2_000, 0.0, 80)
    assert found[Verdict.PASSED] > 0.95
    assert found[Verdict.FAILED] == 0


def test_a_large_loss_fails():
    assert rates(600, 0.12)[Verdict.FAILED] > 0.95


def test_few_queries_cannot_tell():
    assert rates(40, 0.0, changed=0.5)[Verdict.UNCLEAR] > 0.8


@pytest.mark.parametrize("queries", [150, pytest.param(1_000, marks=pytest.mark.slow)])
def test_a_loss_as_large_as_the_margin_is_decided_wrongly_in_few_cases(queries):
    """2.5 % either way; with so many simulations up to 8 % are within chance (binomial, p < 0.001)."""
    found = rates(queries, MARGIN)
    assert found[Verdict.PASSED] <= 0.08
    assert found[Verdict.FAILED] <= 0.08


def test_many_pairs_do_not_make_a_false_alarm_likely():
    rng = np.random.default_rng(3)
    found = [
        judge(matched(*(simulated(300, 0.02, rng) for _ in range(8))), MARGIN, seed=n, resamples=500).verdict
        for n in range(60)
    ]
    assert found.count(Verdict.FAILED) <= 6


def test_it_says_how_many_queries_it_would_take():
    rng = np.random.default_rng(5)
    gates = (judge(matched(simulated(80, 0.0, rng)), MARGIN) for _ in range(20))
    gate = next(gate for gate in gates if gate.verdict == Verdict.UNCLEAR)
    enough = gate.pairs[0].needed_to_pass
    assert enough > 80
    assert rates(enough, 0.0, 80)[Verdict.PASSED] > 0.65  # 80 % by design; the deviation is known from 80 queries


def test_what_was_not_measured_again_has_not_passed():
    values = np.ones(30)
    gate = judge(matched((values, values), unmatched=["set: other"]))
    assert (gate.verdict, gate.missing) == (Verdict.UNCLEAR, ("set: other",))


def test_one_that_fails_fails_all():
    rng = np.random.default_rng(1)
    good, bad = simulated(500, 0.0, rng, changed=0.0), simulated(500, 0.3, rng)
    gate = judge(matched(good, bad), MARGIN)
    assert [pair.verdict for pair in gate.pairs] == [Verdict.PASSED, Verdict.FAILED]
    assert gate.verdict == Verdict.FAILED


@pytest.mark.parametrize("margin", [0.0, -0.1, 1.0, float("nan")])
def test_a_margin_that_no_number_of_queries_shows_is_refused(margin):
    with pytest.raises(InvalidInput, match="margin"):
        judge(matched((np.ones(5), np.ones(5))), margin)


def test_the_lower_bound_is_that_of_scipy():
    rng = np.random.default_rng(11)
    before, after = simulated(200, 0.05, rng)
    differences = after - before
    theirs = bootstrap((differences,), np.mean, method="BCa", n_resamples=20_000, rng=np.random.default_rng(1))
    ours = lower_bound(differences, seed=2, resamples=20_000)
    assert ours == pytest.approx(theirs.confidence_interval.low, abs=0.001)


def test_a_few_total_losses_are_not_overlooked():
    """One of 100 queries loses all: the percentile bootstrap says at worst -0.03, in truth it may be -0.054."""
    differences = np.zeros(100)
    differences[0] = -1
    assert lower_bound(differences) < -0.035
