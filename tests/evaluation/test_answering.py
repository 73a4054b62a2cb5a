"""What is measured is what a search gives: fusing kept legs is the same as searching again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever import ChunkerConfig, Document, Retriever
from retriever.errors import InvalidInput
from retriever.evaluation.answering import Answers, Setting, answer, document_run, rerank
from retriever.evaluation.judgements import Span
from retriever.evaluation.refusing import weighted_runs
from retriever.evaluation.runs import best_documents
from retriever.stores import Candidate, Legs

QUERIES = {"one": "ship key", "two": "cake oak river", "none": "zyzzyva"}


@pytest.fixture
def retriever(longest):
    with Retriever.open("memory:", embedding="hashed", chunker=ChunkerConfig(size=16, overlap=0)) as opened:
        words = ["ship", "key", "cake", "oak", "river", "stone", "cloud", "lamp"]
        texts = [" ".join(words[(i * 7 + j * j) % 8] for j in range(5 + i % 40)) for i in range(50)]
        opened.index([Document(f"d{i}", t, {"even": i % 2 == 0}) for i, t in enumerate(texts)], source="s")
        yield opened


@pytest.mark.parametrize("mode", ["hybrid", "semantic", "keyword"])
@pytest.mark.parametrize("fusion", ["relative", "rrf"])
@pytest.mark.parametrize("weight", [0.0, 0.4, 0.5, 1.0])
@pytest.mark.parametrize("depth", [7, 60])
def test_the_same_as_searching(retriever, mode, fusion, weight, depth):
    kept = answer(retriever, QUERIES, depth=60, filter={"even": True})
    run = kept.run(Setting(mode, fusion, weight, depth))
    spans = kept.spans(Setting(mode, fusion, weight, depth), 3)
    for name, text in QUERIES.items():
        hits = retriever.search(
            text, depth, mode=mode, fusion=fusion, keyword_weight=weight, depth=depth, filter={"even": True}
        )
        found = best_documents((hit.document_id, hit.score) for hit in hits)
        assert run[name][: len(found)] == found
        assert spans[name] == [Span(h.document_id, h.chunk.start, h.chunk.end) for h in hits[:3]]


def test_reranked_the_same_as_searching(retriever):
    kept = answer(retriever, QUERIES, depth=60)
    ranked = rerank(retriever, kept, kept.rankings(Setting(depth=60)), "longest", depth=20)
    for name, text in QUERIES.items():
        hits = retriever.search(text, 20, keyword_weight=0.5, depth=60, rerank="longest", rerank_depth=20)
        assert document_run(kept, ranked)[name] == best_documents((hit.document_id, hit.score) for hit in hits)


def test_keyword_mode_embeds_nothing(counting):
    with Retriever.open("memory:", embedding="counting") as opened:
        opened.index([Document("a", "ship key")])
        counting.reset()
        kept = answer(opened, QUERIES, mode="keyword")
        assert counting.queries == []
        assert kept.run(Setting("keyword"))["one"][0][0] == "a"
        answer(opened, QUERIES)
        assert sorted(counting.queries) == sorted(QUERIES.values())


def test_deeper_than_was_searched_is_refused(retriever):
    with pytest.raises(InvalidInput, match="searched 10 deep, not 11"):
        answer(retriever, QUERIES, depth=10).run(Setting(depth=11))


def test_progress_counts_up_to_all(retriever):
    told = []
    answer(retriever, QUERIES, progress=lambda *step: told.append(step))
    assert ("asking", 3, 3) in told


RANKING = st.lists(
    st.tuples(st.integers(0, 30).map(str), st.sampled_from([0.0, 0.25, 0.5, 0.7, 1.0])),
    unique_by=lambda pair: pair[0],
    max_size=20,
).map(lambda pairs: [Candidate(*pair) for pair in sorted(pairs, key=lambda pair: -pair[1])])


@given(
    st.lists(st.builds(Legs, RANKING, RANKING, RANKING), min_size=1, max_size=3),
    st.sampled_from(["relative", "rrf"]),
    st.integers(1, 25),
    st.sampled_from(
        [
            (0.0, ("semantic", "keyword")),
            (1.0, ("semantic", "sparse")),
            *((part, ("semantic", "keyword", "sparse")) for part in (0.0, 0.3, 0.5, 0.7, 1.0)),
        ]
    ),
    st.integers(1, 12),
    st.integers(1, 7),
)
def test_fusing_for_many_weights_is_fusing_for_each(legs, method, depth, shared, k, documents):
    places = {str(i): Span(f"d{i % documents}", 0, 1) for i in range(31) if i != 5}  # 5 was deleted meanwhile
    queries = {str(i): "?" for i in range(len(legs))}
    kept = Answers(queries, dict(zip(queries, legs, strict=True)), 25, places)
    weights = [0.0, 0.1, 0.45, 0.5, 0.55, 2 / 3, 0.9, 1.0]
    tried = list(weighted_runs(kept, Setting("hybrid", method, 0.2, depth, *shared), weights, k))
    assert [setting for setting, _ in tried] == [Setting("hybrid", method, w, depth, *shared) for w in weights]
    for setting, run in tried:
        assert run == kept.run(setting, k)
