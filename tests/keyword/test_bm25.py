"""BM25 as sparse vectors."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.keyword.bm25 import K1, B, document_vector, idf, query_vector, term_index

# No two of them share an index, see below.
TERMS = ["a", "b", "run", "foo_bar", "中", "中文", "10.0.0.1", "café", "\0"]
counts = st.dictionaries(st.sampled_from(TERMS), st.integers(1, 50))
corpora = st.lists(counts, min_size=1, max_size=6)


def test_the_terms_below_have_an_index_each():
    assert len({term_index(term) for term in TERMS}) == len(TERMS)


def formula(query, document, corpus):
    """score(q, d), from the module's description."""
    average = max(1, sum(sum(d.values()) for d in corpus)) / len(corpus)
    norm = 1.2 * (1 - 0.75 + 0.75 * sum(document.values()) / average)
    total = 0.0
    for term, asked in query.items():
        df = sum(term in d for d in corpus)
        tf = document.get(term, 0)
        total += asked * math.log(1 + (len(corpus) - df + 0.5) / (df + 0.5)) * tf * 2.2 / (tf + norm)
    return total


@given(corpora, counts)
def test_the_dot_product_with_the_idf_is_the_formula(corpus, query):
    average = max(1, sum(sum(d.values()) for d in corpus)) / len(corpus)
    vectors = [document_vector(d, average) for d in corpus]
    asked = query_vector(query)
    for document, vector in zip(corpus, vectors, strict=True):
        weights = dict(zip(vector.indices, vector.values, strict=True))
        score = sum(
            value * weights.get(index, 0.0) * idf(sum(index in v.indices for v in vectors), len(corpus))
            for index, value in zip(asked.indices, asked.values, strict=True)
        )
        assert score == pytest.approx(formula(query, document, corpus))


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.integers(1, 9)))
def test_indices_are_distinct(terms):
    for vector in (document_vector(terms, 7.5), query_vector(terms)):
        assert len(vector.indices) == len(vector.values)
        assert len(set(vector.indices)) == len(vector.indices)
        assert all(0 <= index < 2**32 for index in vector.indices)
        assert all(value > 0 for value in vector.values)


def test_by_hand():
    assert (K1, B) == (1.2, 0.75)
    vector = document_vector({"a": 2, "b": 1}, 1.5)
    norm = 1.2 * (0.25 + 0.75 * 3 / 1.5)
    expected = {term_index("a"): 2 * 2.2 / (2 + norm), term_index("b"): 2.2 / (1 + norm)}
    assert dict(zip(vector.indices, vector.values, strict=True)) == pytest.approx(expected)
    assert query_vector({"a": 3}).values == [3.0]
    assert idf(1, 3) == pytest.approx(math.log(1 + 2.5 / 1.5))


def test_nothing_gives_nothing():
    assert document_vector({}, 10).indices == []
    assert query_vector({}).values == []


def test_a_shared_index_adds_up():
    seen = {}
    for n in range(400_000):
        if (other := seen.setdefault(term_index(f"term{n}"), n)) != n:
            break
    one, other = f"term{n}", f"term{other}"
    assert one != other
    vector = query_vector({one: 2, other: 3})
    assert (vector.indices, vector.values) == ([term_index(one)], [5.0])


def test_an_index_is_the_same_on_every_machine():
    assert [term_index(term) for term in ("", "a", "中文")] == [309_448_485, 3_391_310_933, 1_032_566_691]


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_the_idf_is_positive_and_falls(one, other):
    few, many = sorted([one, other])
    assert 0 < idf(many, 1000) <= idf(few, 1000)


@given(st.integers(1, 100), st.integers(1, 200), st.floats(1, 500))
def test_weights_saturate(tf, length, average):
    def weight(count):
        return document_vector({"a": count, "b": length}, average).values

    index = sorted([term_index("a"), term_index("b")]).index(term_index("a"))
    assert 0 < weight(tf)[index] < K1 + 1
