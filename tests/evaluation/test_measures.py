"""Measures: equal to trec_eval's code on a thousand runs with ties, and to values worked out by hand."""

import random
from math import log2

import pytest
import pytrec_eval

from retriever.errors import InvalidInput
from retriever.evaluation.measures import MEASURES, mean, meaning, measure

TREC = {
    "nDCG@10": "ndcg_cut_10",
    "Recall@5": "recall_5",
    "Recall@10": "recall_10",
    "Recall@100": "recall_100",
    "MAP": "map",
    "Success@1": "success_1",
}


def random_case(random_):
    """A run full of ties, some with documents nobody judged, and judgements with grades from -1 to 3."""
    names = [random_.choice(["d", "中 文", "s::p.md#", "é"]) + str(i) for i in range(random_.randint(1, 150))]
    run, grades = {}, {}
    for query in range(random_.randint(1, 3)):
        found = random_.sample(names, random_.randint(0, len(names)))
        levels = [random_.random() for _ in range(3)]
        scores = sorted((random_.choice(levels) for _ in found), reverse=True)
        run[str(query)] = list(zip(found, scores, strict=True))
        judged = random_.sample([*names, "elsewhere"], random_.randint(1, len(names)))
        grades[str(query)] = {document: random_.choice([-1, 0, 0, 1, 2, 3]) for document in judged}
    return run, grades


def test_a_thousand_random_runs_with_ties_equal_trec_eval():
    random_ = random.Random(6)
    tied = 0
    for _ in range(1000):
        run, grades = random_case(random_)
        tied += any(len({s for _, s in found}) < len(found) for found in run.values())
        # What trec_eval is given directly: our order as strictly decreasing scores, and no negative grades.
        given = {q: {d: float(-rank) for rank, (d, _) in enumerate(found)} for q, found in run.items() if found}
        judged = {q: {d: max(0, g) for d, g in known.items()} for q, known in grades.items()}
        expected = pytrec_eval.RelevanceEvaluator(judged, set(TREC.values())).evaluate(given)
        cut = {q: dict(list(found.items())[:10]) for q, found in given.items()}
        ranks = pytrec_eval.RelevanceEvaluator(judged, {"recip_rank"}).evaluate(cut)
        values = measure(run, grades)
        for query in grades:
            for ours, theirs in TREC.items():
                assert values[ours][query] == pytest.approx(expected.get(query, {}).get(theirs, 0.0), abs=1e-9)
            assert values["MRR@10"][query] == pytest.approx(ranks.get(query, {}).get("recip_rank", 0.0), abs=1e-9)
    assert tied > 900


def test_our_order_counts_where_trec_eval_would_break_the_tie_otherwise():
    run, grades = {"q": [("a", 0.5), ("z", 0.5)]}, {"q": {"a": 1}}
    raw = pytrec_eval.RelevanceEvaluator(grades, {"recip_rank"}).evaluate({"q": dict(run["q"])})
    assert raw["q"]["recip_rank"] == 0.5
    assert measure(run, grades, ["MRR@10"]) == {"MRR@10": {"q": 1.0}}


def test_scores_that_32_bits_cannot_tell_apart_keep_their_order():
    run = {"q": [("a", 1.00000000002), ("z", 1.00000000001)]}
    assert measure(run, {"q": {"a": 1}}, ["Success@1"])["Success@1"]["q"] == 1.0


def test_values_by_hand():
    # 1/1 + 3/log2(3) + 0 + 2/log2(5) against 3/1 + 2/log2(3) + 1/log2(4)
    run = {"q": [(name, 1.0) for name in "caxb"]}
    grades = {"q": {"a": 3, "b": 2, "c": 1, "no": 0}}
    gain, ideal = 1 + 3 / log2(3) + 2 / log2(5), 3 + 2 / log2(3) + 0.5
    values = {name: found["q"] for name, found in measure(run, grades).items()}
    assert values["nDCG@10"] == pytest.approx(gain / ideal)
    assert values["MAP"] == pytest.approx((1 + 1 + 3 / 4) / 3)
    assert values["Judged@10"] == pytest.approx(3 / 4)
    assert (values["MRR@10"], values["Success@1"], values["Recall@5"]) == (1.0, 1.0, 1.0)


def test_every_judged_query_has_a_value():
    grades = {"empty": {"a": 1}, "absent": {"a": 1}, "hopeless": {"a": 0}, "found": {"a": 1}}
    run = {"empty": [], "hopeless": [("a", 1.0)], "found": [("a", 1.0)], "unjudged": [("a", 1.0)]}
    for name, values in measure(run, grades).items():
        assert list(values) == list(grades)
        zeros = {"empty": 0.0, "absent": 0.0, "found": 1.0, "hopeless": 1.0 if name == "Judged@10" else 0.0}
        assert values == zeros


def test_eleven_is_beyond_ten():
    run = {"q": [(str(i), -float(i)) for i in range(12)]}
    values = measure(run, {"q": {"10": 1}})
    assert [values[name]["q"] for name in ("nDCG@10", "MRR@10", "Recall@10", "Recall@100")] == [0, 0, 0, 1]
    assert values["MAP"]["q"] == pytest.approx(1 / 11)


@pytest.mark.parametrize("name", ["ndcg@10", "nDCG@0", "Recall", "Judged", "P@10", "nDCG@", "nDCG@1e3"])
def test_unknown_measures_are_refused(name):
    with pytest.raises(InvalidInput, match="unknown measure"):
        measure({}, {}, [name])


def test_other_cutoffs():
    run = {"q": [("x", 2.0), ("a", 1.0)]}
    names = ["nDCG@1", "nDCG", "MRR", "MRR@1", "MAP@1", "Recall@1", "Success@2"]
    values = [found["q"] for found in measure(run, {"q": {"a": 1}}, names).values()]
    assert values == pytest.approx([0, 1 / log2(3), 0.5, 0, 0, 0, 1])


def test_a_document_twice_is_refused():
    with pytest.raises(InvalidInput, match="twice"):
        measure({"q": [("a", 2.0), ("a", 1.0)]}, {"q": {"a": 1}})


def test_every_measure_has_words_and_a_mean():
    assert all(meaning(name) for name in MEASURES)
    assert mean({"a": 1.0, "b": 0.0}) == 0.5
    assert mean({}) == 0.0
