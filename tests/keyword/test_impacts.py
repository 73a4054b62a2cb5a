"""Learned sparse weights as bits in the keyword index."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.keyword.impacts import clauses, tokens, unit_for
from retriever.keyword.index import KeywordRecord
from retriever.keyword.tantivy_index import TantivyIndex
from retriever.sparse import SparseVector
from retriever.types import Chunk

UNIT = unit_for([3.0])

weights = st.floats(2.0**-10, 16, width=32)
vectors = st.dictionaries(st.integers(0, 9) | st.sampled_from([2**32 - 1]), weights, min_size=1, max_size=8).map(
    lambda terms: SparseVector.of(list(terms), list(terms.values()))
)


def test_bits_by_hand():
    assert tokens(SparseVector.of([17, 255], [5.0, 8.0]), 1.0) == "11.0 11.2 ff.3"
    assert tokens(SparseVector.of([1], [0.01]), 1.0) == "1.0"  # nothing is lost
    assert tokens(SparseVector.of([1], [1e9]), 1.0) == " ".join(f"1.{bit}" for bit in range(12))
    assert list(clauses(SparseVector.of([17], [0.5]), 2.0))[:3] == [("11.0", 1.0), ("11.1", 2.0), ("11.2", 4.0)]


@pytest.mark.parametrize("heaviest", [1e-6, 0.3, 1.0, 2.9, 4.0, 1e5])
def test_the_unit_leaves_the_heaviest_eight_bits(heaviest):
    assert 128 <= heaviest / unit_for([heaviest / 2, heaviest]) < 256
    assert unit_for([]) == unit_for([1.0])


@given(vectors, vectors)
def test_what_is_asked_adds_up_to_the_product(document, query):
    """Within half a unit for each shared term; of light terms within a whole one."""
    there = set(tokens(document, UNIT).split())
    found = sum(score for token, score in clauses(query, UNIT) if token in there)
    shared = np.isin(query.indices, document.indices)
    assert found == pytest.approx(document.dot(query), abs=float(query.weights[shared].sum()) * UNIT + 1e-9)


def test_the_engine_adds_them_up():
    choose = np.random.default_rng(2)
    documents = {}
    for number in range(300):
        indices = choose.choice(500, 40, replace=False)
        documents[f"c{number}"] = SparseVector.of(indices, choose.gamma(2, 0.5, 40) + 0.01)
    index = TantivyIndex(unit=UNIT)
    assert index.lock()
    index.upsert(KeywordRecord(Chunk(name, "doc", "", 0, 0), {}, "", vector) for name, vector in documents.items())
    index.commit("here")
    query = SparseVector.of(choose.choice(500, 30, replace=False), choose.random(30) + 0.1)
    found = index.search_sparse(query, 300)
    assert {c.key for c in found} == {name for name, vector in documents.items() if vector.dot(query) > 0}
    slack = float(query.weights.sum()) * UNIT
    for candidate in found:
        assert candidate.score == pytest.approx(documents[candidate.key].dot(query), abs=slack)
    best = sorted(documents, key=lambda name: -documents[name].dot(query))[:10]
    assert len({c.key for c in index.search_sparse(query, 12)} & set(best)) >= 9
    assert index.search_sparse(SparseVector.of([], []), 5) == []
