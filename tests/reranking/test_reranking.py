"""Reranking: what a model that reads query and text together makes of the candidates."""

import warnings

import numpy as np
import pytest

from retriever import Document, InvalidInput, Retriever
from retriever.embedding import TruncationWarning
from retriever.errors import ConfigurationError, EmbeddingError, ModelNotFound
from retriever.registry import register
from retriever.reranking import Reranker, resolve_reranker
from retriever.reranking.sentence_transformers import CrossEncoderReranker, LateInteractionReranker

TEXTS = ["the ship w1", "the cake w2 w3", "ship ship w4", "w5 cake", "the w6"]


class Longest(Reranker):
    """The longest text is the best; remembers what it was asked."""

    kind = "longest"

    def __init__(self):
        super().__init__()
        self.asked = []

    def _score(self, query, texts):
        self.asked.append((query, list(texts)))
        return [len(text) for text in texts]


@pytest.fixture(params=["memory:", "edge"])
def retriever(request, tmp_path):
    address = request.param if request.param == "memory:" else str(tmp_path / "index")
    with Retriever.open(address, embedding="hashed") as opened:
        opened.index([Document(f"d{n}", f"ship {'cargo ' * n}number{n}", {"n": n}) for n in range(1, 13)])
        yield opened


@pytest.mark.parametrize("mode", ["hybrid", "semantic", "keyword"])
def test_the_best_candidates_are_ordered_anew_and_explained(retriever, mode):
    plain = retriever.search("ship cargo", 12, mode=mode)
    longest = Longest()
    hits = retriever.search("ship cargo", 12, mode=mode, rerank=longest)
    assert {hit.document_id for hit in hits} == {hit.document_id for hit in plain}
    assert [hit.document_id for hit in hits] == [f"d{n}" for n in range(12, 0, -1)]
    assert [hit.score for hit in hits] == [len(hit.text) for hit in hits]
    assert [(hit.legs["rerank"].rank, hit.legs["rerank"].score) for hit in hits] == [
        (rank, hit.score) for rank, hit in enumerate(hits, 1)
    ]
    before = {hit.document_id: dict(hit.legs) for hit in plain}
    assert all({**hit.legs, **before[hit.document_id]} == hit.legs for hit in hits)
    assert longest.asked == [("ship cargo", [hit.text for hit in plain])]


def test_only_so_many_are_read_and_pages_agree(retriever):
    best = {hit.document_id for hit in retriever.search("ship cargo", 6)}
    longest = Longest()
    pages = [retriever.search("ship cargo", 2, offset=n, rerank=longest, rerank_depth=6) for n in (0, 2, 4)]
    assert [len(texts) for _, texts in longest.asked] == [6, 6, 6]
    whole = retriever.search("ship cargo", 6, rerank=longest, rerank_depth=6)
    assert [hit.document_id for page in pages for hit in page] == [hit.document_id for hit in whole]
    assert {hit.document_id for hit in whole} == best
    with pytest.raises(InvalidInput, match="raise rerank_depth"):
        retriever.search("ship", 7, rerank=longest, rerank_depth=6)
    with pytest.raises(InvalidInput, match="rerank_depth is 0"):
        retriever.search("ship", 1, rerank_depth=0)


def test_filters_thresholds_and_variety_hold_beside_it(retriever):
    hits = retriever.search("ship cargo", 3, filter={"n": {"$lte": 5}}, rerank=Longest())
    assert [hit.document_id for hit in hits] == ["d5", "d4", "d3"]
    close = retriever.search("ship cargo", 12, min_cosine=0.6, rerank=Longest())
    assert close
    assert all(hit.legs["semantic"].score >= 0.6 for hit in close)
    assert [hit.document_id for hit in retriever.search("ship cargo", 12, rerank=Longest(), mmr=1.0)] == [
        f"d{n}" for n in range(12, 0, -1)
    ]
    assert len(retriever.search("ship cargo", 5, rerank=Longest(), mmr=0.0)) == 5
    assert retriever.search("nothing", 5, mode="keyword", rerank=Longest()) == []


@pytest.mark.parametrize(
    ("scores", "message"),
    [([1.0], "shape"), ([[1.0], [2.0]], "shape"), ([1.0, float("nan")], "NaN"), (["a", "b"], "no numbers")],
)
def test_what_a_reranker_may_not_return(scores, message):
    class Wrong(Reranker):
        kind = "wrong"

        def _score(self, query, texts):
            return scores

    with pytest.raises(EmbeddingError, match=message):
        Wrong().score("q", ["one", "two"])
    assert Wrong().score("q", []).shape == (0,)


def test_names_lead_to_rerankers_also_to_those_of_others(retriever):
    unregister = register("retriever.rerankers", "longest", Longest)
    try:
        assert retriever.search("ship cargo", 1, rerank="longest")[0].document_id == "d12"
        assert resolve_reranker("longest") is resolve_reranker("longest")
        with pytest.raises(ConfigurationError, match="takes no name"):
            resolve_reranker("longest:x")
    finally:
        unregister()
    assert resolve_reranker("cross-encoder:a/b").name == "cross-encoder:a/b"
    assert resolve_reranker("a/b").name == "cross-encoder:a/b"
    assert isinstance(resolve_reranker("late-interaction:a/b"), LateInteractionReranker)
    for wrong in ("", " ", 3, None):
        with pytest.raises(ConfigurationError, match="a reranker is a name"):
            resolve_reranker(wrong)
    with pytest.raises(ConfigurationError, match="which model"):
        resolve_reranker("late-interaction")


def test_a_cross_encoder_scores_as_the_library_does(cross_encoder):
    from sentence_transformers import CrossEncoder

    ours = CrossEncoderReranker(str(cross_encoder), device="cpu", batch_size=2)
    library = CrossEncoder(str(cross_encoder), device="cpu", local_files_only=True)
    wanted = library.predict([("ship w1", text) for text in TEXTS], show_progress_bar=False)
    assert np.allclose(ours.score("ship w1", TEXTS), wanted, atol=1e-6)
    assert np.ptp(wanted) > 1e-4


def test_pairs_that_a_cross_encoder_cuts_are_counted_and_warned_of(cross_encoder):
    reranker = CrossEncoderReranker(str(cross_encoder), device="cpu")
    most = reranker._model.max_seq_length
    fits = "w1 " * (most - 3 - 2)  # special tokens, and the query's
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reranker.score("ship w2", [fits, "w1"])
    with pytest.warns(TruncationWarning, match=rf"reads {most} tokens .*: the end of 2 of 3"):
        scores = reranker.score("ship w2", [fits + "w1", fits, fits * 3])
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)


def test_what_a_reranker_raises_is_a_typed_error():
    class Failing(Reranker):
        kind = "failing"

        def _score(self, query, texts):
            raise RuntimeError("the key sk-very-secret is wrong")

    with pytest.raises(EmbeddingError, match="the reranker failing raised RuntimeError for 2 texts") as caught:
        Failing().score("q", ["a", "b"])
    assert "secret" not in str(caught.value)
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_late_interaction_is_the_mean_of_the_best_matches(late_interaction):
    from sentence_transformers import MultiVectorEncoder

    ours = LateInteractionReranker(str(late_interaction), device="cpu", batch_size=2)
    library = MultiVectorEncoder(str(late_interaction), device="cpu", local_files_only=True)
    (query,) = library.encode_query(["ship w1"], convert_to_numpy=True)
    texts = library.encode_document(TEXTS, convert_to_numpy=True)
    wanted = [np.mean([max(float(q @ d) for d in text) for q in query]) for text in texts]
    assert np.allclose(ours.score("ship w1", TEXTS), wanted, atol=1e-5)
    assert np.ptp(wanted) > 1e-4


@pytest.mark.parametrize("kind", ["cross_encoder", "late_interaction"])
def test_end_to_end(kind, request, retriever):
    folder = request.getfixturevalue(kind)
    hits = retriever.search("ship cargo", 3, rerank=f"{kind.replace('_', '-')}:{folder}", rerank_depth=8)
    scores = [hit.legs["rerank"].score for hit in hits]
    assert len(hits) == 3
    assert scores == sorted(scores, reverse=True)


def test_what_is_no_reranker_is_refused(classifier, tmp_path):
    with pytest.raises(ConfigurationError, match="has 3 outputs"):
        CrossEncoderReranker(str(classifier), device="cpu").score("q", ["a"])
    with pytest.raises(ModelNotFound):
        CrossEncoderReranker(str(tmp_path)).score("q", ["a"])
