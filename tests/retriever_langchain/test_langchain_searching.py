"""What the vector store finds: scores, relevance, variety, filters, pages, and LangChain's own retriever over it."""

from __future__ import annotations

from itertools import chain
from typing import ClassVar

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.runnables import ConfigurableField, RunnableLambda, RunnableParallel
from langchain_core.vectorstores import VectorStore
from langchain_samples import HASHED, MODES, Watched, ids_of, ships, texts_of

from retriever import (
    FilterError,
    InvalidInput,
)
from retriever.mmr import maximal_marginal_relevance
from retriever_langchain import RetrieverVectorStore


class Compass(Watched):
    """Directions; a query points east."""

    PLACES: ClassVar = {
        "east ship": [1.0, 0.0],
        "northeast ship": [0.8, 0.6],
        "north ship": [0.0, 1.0],
        "northwest ship": [-0.6, 0.8],
        "west ship": [-1.0, 0.0],
        "ship": [1.0, 0.0],
    }

    def __init__(self):
        super().__init__(self.PLACES)


ROUND = list(Compass.PLACES)[:-1]
COSINES = [1.0, 0.8, 0.0, -0.6, -1.0]


class TestScores:
    @pytest.fixture
    def compass(self, store):
        vectors = RetrieverVectorStore(store, Compass())
        vectors.add_texts(ROUND, [{"n": n} for n in range(5)], ids=ROUND)
        return vectors

    def test_scores_fall_from_the_best_on(self, compass):
        for mode in MODES:
            found = compass.similarity_search_with_score("ship", k=5, mode=mode)
            scores = [score for _, score in found]
            assert len(found) == 5
            assert scores == sorted(scores, reverse=True)
            assert [d for d, _ in found] == compass.similarity_search("ship", k=5, mode=mode)

    def test_semantic_scores_are_cosines(self, compass):
        found = compass.similarity_search_with_score("ship", k=5, mode="semantic")
        assert [d.page_content for d, _ in found] == ROUND
        assert [score for _, score in found] == pytest.approx(COSINES, abs=1e-5)

    def test_relevance_rises_strictly_with_the_cosine(self, compass):
        for mode in MODES:
            found = compass.similarity_search_with_relevance_scores("ship", k=5, mode=mode)
            by_text = {d.page_content: score for d, score in found}
            assert [by_text[text] for text in ROUND] == pytest.approx([(1 + c) / 2 for c in COSINES], abs=1e-5)
            assert all(0 <= score <= 1 for score in by_text.values())

    def test_a_threshold_keeps_what_is_as_relevant(self, compass):
        for threshold, count in ((0.0, 5), (0.2, 4), (0.5, 3), (0.9, 2), (0.91, 1), (1.0, 1)):
            for mode in MODES:
                kwargs = {"score_threshold": threshold, "mode": mode, "k": 5}
                found = compass.similarity_search_with_relevance_scores("ship", **kwargs)
                assert {d.page_content for d, _ in found} == set(ROUND[:count]), (mode, threshold)
                asked = compass.as_retriever(search_type="similarity_score_threshold", search_kwargs=kwargs)
                assert asked.invoke("ship") == [d for d, _ in found]

    def test_a_threshold_keeps_perfect_hits(self, everywhere):
        """A cosine of equal vectors may be 0.9999999."""
        texts = [f"{n} ship{n} of the cakes{n * n}" for n in range(30)]
        everywhere.add_texts(texts)
        for text in texts:
            for mode in MODES:
                found = everywhere.similarity_search_with_relevance_scores(text, k=1, mode=mode, score_threshold=1.0)
                assert texts_of(d for d, _ in found) == [text]

    def test_a_threshold_comes_before_k(self, compass):
        """The keyword leg orders by length and knows no direction."""
        found = compass.similarity_search_with_relevance_scores("ship", k=2, mode="keyword", score_threshold=0.9)
        assert {d.page_content for d, _ in found} == set(ROUND[:2])

    def test_every_hit_of_either_leg_has_its_cosine(self, everywhere):
        """Also those that only the keyword leg found, whose candidates are others."""
        everywhere.add_texts([f"ship {n}" for n in range(20)] + [f"cake {n} zebra" for n in range(20)])
        query = HASHED.embed_query("ship 3 zebra")
        for mode in ("hybrid", "keyword"):
            found = everywhere.similarity_search_with_relevance_scores("ship 3 zebra", k=20, mode=mode, depth=20)
            assert len(found) == 20
            for document, score in found:
                vector = HASHED.embed_query(document.page_content)
                cosine = vector @ query / np.linalg.norm(vector) / np.linalg.norm(query)
                assert score == pytest.approx((1 + cosine) / 2, abs=1e-4)

    def test_a_cosine_that_is_not_asked_for_may_be_said_to_be_none(self, compass):
        for mode in MODES:
            plain = compass.similarity_search_with_relevance_scores("ship", k=3, mode=mode)
            assert compass.similarity_search_with_relevance_scores("ship", k=3, mode=mode, min_cosine=None) == plain

    @pytest.mark.parametrize("bad", [-0.1, 1.1, "0.5", float("nan")])
    def test_a_threshold_that_is_none(self, vectors, bad):
        with pytest.raises(InvalidInput, match="score_threshold is"):
            vectors.similarity_search_with_relevance_scores("ship", score_threshold=bad)
        with pytest.raises(InvalidInput, match="say the same"):
            vectors.similarity_search_with_relevance_scores("ship", score_threshold=0.5, min_cosine=0.1)

    def test_by_vector(self, compass):
        """The vector of the query finds what the query finds."""
        for k in (1, 3, 5):
            assert compass.similarity_search_by_vector([1.0, 0.0], k=k) == compass.similarity_search(
                "ship", k=k, mode="semantic"
            )
        assert texts_of(compass.similarity_search_by_vector([1.0, 0.0], k=5, offset=3)) == ROUND[3:]
        assert texts_of(compass.similarity_search_by_vector([1.0, 0.0], filter={"n": {"$gt": 2}})) == ROUND[3:]
        assert compass.max_marginal_relevance_search_by_vector(
            [1.0, 0.0], k=3, lambda_mult=0.3
        ) == compass.max_marginal_relevance_search("ship", k=3, lambda_mult=0.3, mode="semantic")
        with pytest.raises(InvalidInput, match=r"shape \(3,\)"):
            compass.similarity_search_by_vector([1.0, 0.0, 0.0])
        with pytest.raises(InvalidInput, match="takes no mode; it takes offset"):
            compass.similarity_search_by_vector([1.0, 0.0], mode="keyword")


NEAR = {"a one": [1.0, 0.0, 0.0], "a two": [0.99, 0.141, 0.0], "b": [0.7, 0.0, 0.714], "c": [0.5, -0.866, 0.0]}


class TestDiversity:
    @pytest.fixture
    def near(self, store):
        made = RetrieverVectorStore(store, Watched({**NEAR, "query": [0.99, 0.05, 0.1]}), mode="semantic")
        made.add_texts(list(NEAR))
        return made

    def test_is_the_textbooks(self, near):
        for balance in (0.0, 0.2, 0.5, 0.8, 1.0):
            for fetch_k in (2, 3, 20):
                candidates = near.similarity_search_with_score("query", k=fetch_k)
                matrix = np.array([NEAR[d.page_content] for d, _ in candidates], dtype=np.float32)
                matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
                order = maximal_marginal_relevance(np.array([score for _, score in candidates]), matrix, balance)
                expected = [candidates[i][0] for i in order][:2]
                assert near.max_marginal_relevance_search("query", 2, fetch_k, balance) == expected

    def test_lambda_is_the_right_way_round(self, near):
        relevant = texts_of(near.max_marginal_relevance_search("query", k=2, lambda_mult=1.0))
        varied = texts_of(near.max_marginal_relevance_search("query", k=2, lambda_mult=0.0))
        assert relevant == texts_of(near.similarity_search("query", k=2)) == ["a one", "a two"]
        assert varied == ["a one", "c"]

    def test_more_than_there_is(self, near):
        assert len(near.max_marginal_relevance_search("query", k=100)) == 4
        assert len(near.max_marginal_relevance_search("query", k=3, fetch_k=1)) == 3

    def test_in_every_mode_with_a_filter(self, everywhere):
        everywhere.add_documents(ships(8))
        for mode in ("hybrid", "semantic", "keyword"):
            found = everywhere.max_marginal_relevance_search("ships", k=3, filter={"odd": True}, mode=mode)
            assert [d.metadata["odd"] for d in found] == [True] * 3

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"lambda_mult": 2}, "lambda_mult is 2"),
            ({"lambda_mult": None}, "lambda_mult is None"),
            ({"fetch_k": 0}, "fetch_k is 0"),
            ({"fetch_k": "3"}, "fetch_k is '3'"),
            ({"fetch_k": True}, "fetch_k is True"),
            ({"k": 0}, "k is 0"),
            ({"mmr": 0.2}, "takes no mmr"),
            ({"depth": 3}, "takes no depth"),
        ],
    )
    def test_arguments_out_of_range(self, vectors, arguments, message):
        with pytest.raises(InvalidInput, match=message):
            vectors.max_marginal_relevance_search("query", **arguments)
        with pytest.raises(InvalidInput, match=message):
            vectors.max_marginal_relevance_search_by_vector(HASHED.embed_query("query").tolist(), **arguments)


class TestSearching:
    @pytest.fixture
    def filled(self, vectors):
        vectors.add_documents(ships(6), ids=[f"d{n}" for n in range(6)])
        return vectors

    CALLS = (
        "similarity_search",
        "similarity_search_with_score",
        "similarity_search_with_relevance_scores",
        "max_marginal_relevance_search",
    )

    @pytest.mark.parametrize("name", CALLS)
    @pytest.mark.parametrize("k", [0, -1, True, "3", 2.0, None])
    def test_k_out_of_range(self, filled, name, k):
        with pytest.raises(InvalidInput, match="k is"):
            getattr(filled, name)("ships", k=k)

    @pytest.mark.parametrize("name", CALLS)
    def test_unknown_arguments_are_named(self, filled, name):
        with pytest.raises(InvalidInput, match="takes no fetch"):
            getattr(filled, name)("ships", fetch=3)
        with pytest.raises(FilterError, match="where_document"):
            getattr(filled, name)("ships", where_document={"$contains": "x"})
        with pytest.raises(InvalidInput, match="unknown mode 'hybird'"):
            getattr(filled, name)("ships", mode="hybird")
        with pytest.raises(FilterError, match=r"\$nope"):
            getattr(filled, name)("ships", filter={"n": {"$nope": 1}})
        with pytest.raises(InvalidInput, match="offset is -1"):
            getattr(filled, name)("ships", offset=-1)
        with pytest.raises(InvalidInput, match="query is empty"):
            getattr(filled, name)(" ")

    def test_a_mode_that_there_is_not(self):
        with pytest.raises(InvalidInput, match="unknown mode 'hybird'"):
            RetrieverVectorStore("memory:", Watched(), mode="hybird")

    def test_filters_hold_in_every_search(self, store):
        vectors = RetrieverVectorStore(store, Watched())
        vectors.add_documents(ships(6))
        condition = {"$or": [{"n": {"$lt": 1}}, {"$and": [{"odd": True}, {"n": {"$in": [3, 4]}}]}]}
        vector = HASHED.embed_query("ships").tolist()
        for mode in ("hybrid", "semantic", "keyword"):
            arguments = {"query": "ships", "filter": condition, "mode": mode}
            for found in (
                vectors.similarity_search(**arguments),
                [d for d, _ in vectors.similarity_search_with_score(**arguments)],
                [d for d, _ in vectors.similarity_search_with_relevance_scores(**arguments)],
                vectors.max_marginal_relevance_search(**arguments),
            ):
                assert sorted(d.metadata["n"] for d in found) == [0, 3]
        for found in (
            vectors.similarity_search_by_vector(vector, filter=condition),
            vectors.max_marginal_relevance_search_by_vector(vector, filter=condition),
        ):
            assert sorted(d.metadata["n"] for d in found) == [0, 3]
        assert len(vectors.similarity_search("ships", 4, {"odd": True})) == 3  # as langchain-chroma has it: by position

    def test_many_at_once_and_pages(self, vectors):
        vectors.add_texts([f"ship {n}" for n in range(450)])
        assert len(set(ids_of(vectors.similarity_search("ship", k=450)))) == 450
        assert len(vectors.similarity_search_by_vector(HASHED.embed_query("ship").tolist(), k=450)) == 450
        assert len(vectors.max_marginal_relevance_search("ship", k=300)) == 300
        pages = [ids_of(vectors.similarity_search("ship", k=100, offset=n, depth=500)) for n in (0, 100, 200, 300, 400)]
        assert list(chain(*pages)) == ids_of(vectors.similarity_search("ship", k=450, depth=500))
        assert len(vectors.similarity_search("ship", k=100, offset=350)) == 100

    def test_more_than_can_be_looked_at(self, filled):
        with pytest.raises(InvalidInput, match="offset \\+ k is 1000000000"):
            filled.similarity_search("ships", k=10**9)

    def test_modes(self, vectors):
        vectors.add_texts(["the number E1234", "a ship at sea"], ids=["number", "ship"])
        assert ids_of(vectors.similarity_search("E1234", mode="keyword")) == ["number"]
        assert len(vectors.similarity_search("E1234", mode="semantic")) == 2
        by_words = RetrieverVectorStore(vectors.retriever, mode="keyword")
        assert ids_of(by_words.similarity_search("E1234")) == ["number"]

    def test_langchains_own_search(self, filled):
        assert filled.search("ships", "similarity", k=2) == filled.similarity_search("ships", k=2)
        assert filled.search("ships", "mmr", k=2) == filled.max_marginal_relevance_search("ships", k=2)
        found = filled.search("ships", "similarity_score_threshold", k=2, score_threshold=0.1)
        assert found == filled.similarity_search("ships", k=2)
        assert isinstance(filled, VectorStore)


class TestAsRetriever:
    KINDS: ClassVar = {
        "similarity": {"k": 3, "filter": {"odd": True}, "mode": "keyword"},
        "mmr": {"k": 2, "fetch_k": 5, "lambda_mult": 0.2, "filter": {"odd": True}},
        "similarity_score_threshold": {"k": 2, "score_threshold": 0.5},
    }

    @pytest.fixture
    def filled(self, vectors):
        vectors.add_documents(ships(6))
        return vectors

    @pytest.mark.parametrize("kind", KINDS)
    async def test_every_search_type(self, filled, kind):
        asked = filled.as_retriever(search_type=kind, search_kwargs=self.KINDS[kind])
        found = asked.invoke("ships")
        assert len(found) == self.KINDS[kind]["k"]
        assert await asked.ainvoke("ships") == found == asked.batch(["ships"])[0]
        for wrong in ({"foo": 1}, {"k": 0}):
            wrongly = filled.as_retriever(search_type=kind, search_kwargs={**self.KINDS[kind], **wrong})
            with pytest.raises(InvalidInput, match=next(iter(wrong))):
                wrongly.invoke("ships")
            with pytest.raises(InvalidInput, match=next(iter(wrong))):
                await wrongly.ainvoke("ships")

    def test_in_chains(self, filled):
        asked = filled.as_retriever()
        both = RunnableParallel(words=asked.with_config(tags=["x"]), same=RunnableLambda(str.strip) | asked)
        found = both.invoke(" ships ")
        assert found["words"] == found["same"] == asked.invoke("ships")
        chosen = asked.configurable_fields(search_kwargs=ConfigurableField(id="search"))
        assert len(chosen.invoke("ships", {"configurable": {"search": {"k": 2}}})) == 2

    def test_documents_may_be_added_through_it(self, filled):
        names = filled.as_retriever().add_documents([Document(page_content="a cake of its own")])
        assert texts_of(filled.get_by_ids(names)) == ["a cake of its own"]

    def test_tags_and_embeddings_open_nothing(self):
        vectors = RetrieverVectorStore("chroma:./nowhere")
        assert vectors.as_retriever().tags == ["RetrieverVectorStore", "IndexEmbeddings"]
        assert repr(vectors.embeddings) == "IndexEmbeddings('chroma:./nowhere')"
        assert RetrieverVectorStore("memory:", Watched()).as_retriever().tags == ["RetrieverVectorStore", "Watched"]
