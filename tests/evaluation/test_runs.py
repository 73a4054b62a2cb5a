"""Run files: trec_eval's own reading of them gives our order, ties included."""

import struct
from itertools import pairwise

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st

from retriever.errors import InvalidInput
from retriever.evaluation.judgements import write_qrels
from retriever.evaluation.runs import best_documents, escape, read_run, unescape, write_run

IDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SCORES = st.lists(st.sampled_from([0.0, 0.1, 0.1 + 1e-9, 1.0, 2.5, 16777217.0, 1e-40, -3.0]), max_size=12)


def test_documents_are_where_their_best_chunk_is():
    assert best_documents([("b", 3.0), ("a", 2.0), ("b", 1.0), ("c", 1.0)]) == [("b", 3.0), ("a", 2.0), ("c", 1.0)]


@given(IDS)
def test_escaping_is_reversible_and_gives_one_word(name):
    word = escape(name)
    assert unescape(word) == name
    assert word.split() == [word]


@given(st.dictionaries(IDS, st.tuples(st.lists(IDS, unique=True, max_size=12), SCORES), max_size=4))
def test_a_run_comes_back_in_its_order(tmp_path_factory, found):
    run = {
        q: list(zip(names, sorted(scores, reverse=True), strict=False)) for q, (names, scores) in found.items() if names
    }
    run = {query: documents for query, documents in run.items() if documents}
    path = tmp_path_factory.mktemp("run") / "run.trec"
    write_run(path, run, "our tag")
    back = read_run(path)
    assert {q: [d for d, _ in f] for q, f in back.items()} == {q: [d for d, _ in f] for q, f in run.items()}
    for query, documents in back.items():
        scores = [struct.unpack("f", struct.pack("f", score))[0] for _, score in documents]
        assert all(a > b for a, b in pairwise(scores))
        assert np.allclose(scores, [score for _, score in run[query]], rtol=1e-5, atol=1e-5)


def test_trec_eval_reads_our_order_from_the_files(tmp_path):
    """Its own parser, on ids with spaces and equal scores, where it would prefer the greatest id."""
    run = {"q 1": [("a b", 0.5), ("z", 0.5), ("中::文", 0.5), ("m", 0.1)]}
    grades = {"q 1": {"a b": 1}}
    write_run(tmp_path / "run", run, "t")
    write_qrels(tmp_path / "qrels", grades)
    with (tmp_path / "run").open(encoding="utf-8") as run_file, (tmp_path / "qrels").open(encoding="utf-8") as qrels:
        parsed_run, parsed_qrels = pytrec_eval.parse_run(run_file), pytrec_eval.parse_qrel(qrels)
    values = pytrec_eval.RelevanceEvaluator(parsed_qrels, {"recip_rank"}).evaluate(parsed_run)
    assert values == {"q%201": {"recip_rank": 1.0}}


def test_a_byte_order_mark_belongs_to_no_query(tmp_path):
    (tmp_path / "run").write_text("\ufeffq Q0 a 1 0.5 t\n", encoding="utf-8")
    assert read_run(tmp_path / "run") == {"q": [("a", 0.5)]}
    write_run(tmp_path / "own", {"\ufeffq": [("a", 0.5)]}, "t")
    assert read_run(tmp_path / "own") == {"\ufeffq": [("a", 0.5)]}


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="document 'a' is in the run twice"):
        write_run(tmp_path / "run", {"q": [("a", 2.0), ("a", 1.0)]}, "t")
    with pytest.raises(InvalidInput, match="the score of document 'a' is nan"):
        write_run(tmp_path / "run", {"q": [("a", float("nan"))]}, "t")
    (tmp_path / "bad").write_text("q Q0 a 1 0.5 t\nq Q0 b 2 t\n")
    with pytest.raises(InvalidInput, match=r"bad, line 2: a line of a run is"):
        read_run(tmp_path / "bad")
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_run(tmp_path / "nowhere")
