"""Documents written as they are, with the caller's ids: what is embedded, what is kept, what goes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retriever import Document, InvalidInput, Retriever
from retriever.filters import And
from retriever.testing import CountingEmbedding


@pytest.fixture(params=["memory", "edge", "chroma"])
def retriever(request, tmp_path, counting):
    address = {"memory": "memory:", "edge": str(tmp_path / "index"), "chroma": f"chroma:{tmp_path / 'chroma'}"}
    with Retriever.open(address[request.param], embedding=CountingEmbedding()) as opened:
        CountingEmbedding.reset()
        yield opened


def test_the_record_id_is_the_documents_and_its_text_is_verbatim(retriever):
    texts = {"doc-1": "  kept \n as it is ", "a::b/c#d": "two", "文档": "三", "blank": " ", "empty": ""}
    report = retriever.upsert(Document(name, text, {"n": 1}) for name, text in texts.items())
    assert (report.added, report.failed, report.ignored) == (5, [], [])
    found = retriever.get([*texts, "absent"])
    assert [(chunk.id, chunk.document_id, chunk.text, chunk.start, chunk.end) for chunk in found] == [
        (name, name, text, 0, len(text)) for name, text in texts.items()
    ]
    assert all(dict(chunk.metadata) == {"n": 1} and chunk.source == "" for chunk in found)


def test_again_embeds_nothing_other_metadata_is_rewritten_and_another_text_replaces(retriever):
    documents = [Document(f"d{n}", f"text number {n}", {"n": n, "old": True}) for n in range(20)]
    retriever.upsert(documents)
    before = len(CountingEmbedding.documents)
    assert retriever.upsert(documents).skipped == 20
    assert len(CountingEmbedding.documents) == before

    changed = [Document("d3", "text number 3", {"n": 33}), Document("d4", "quite another text", {"n": 4})]
    report = retriever.upsert(changed)
    assert (report.added, report.updated, report.deleted) == (1, 1, 0)
    assert CountingEmbedding.documents[before:] == ["quite another text"]
    metadata, replaced = retriever.get(["d3", "d4"])
    assert dict(metadata.metadata) == {"n": 33}
    assert replaced.text == "quite another text"
    assert retriever.search("quite another text", 1)[0].chunk.id == "d4"
    assert retriever.verify().problems == []


def test_it_replaces_the_chunks_that_index_made_of_the_same_document(retriever):
    retriever.index([Document("handbook", "one two three " * 400), Document("other", "stays")])
    retriever.upsert([Document("handbook", "short now")])
    assert sorted(entry.document_id for entry in retriever.store.entries()) == ["handbook", "other"]
    retriever.index([Document("handbook", "long again " * 400)])
    assert retriever.get(["handbook"]) == []


def test_a_chunk_that_index_made_is_not_written_over(retriever):
    retriever.index([Document("handbook", "one two three")], source="docs")
    (before,) = retriever.store.entries()
    report = retriever.upsert([Document(before.chunk_id, "one two three"), Document("good", "stays")])
    assert [problem.item for problem in report.failed] == [before.chunk_id]
    assert "a chunk of 'docs::handbook', which index made" in report.failed[0].reason
    assert report.added == 1
    assert {before} < set(retriever.store.entries())


def test_pruning_documents_without_a_source_reaches_what_was_upserted(retriever):
    retriever.upsert([Document("mine", "one")])
    retriever.index([Document("theirs", "two")], source="named", prune=True)
    assert retriever.get(["mine"])
    assert retriever.index([Document("theirs", "two")], prune=True).deleted == 1
    assert not retriever.get(["mine"])


def test_what_cannot_be_written_is_reported_by_name_and_the_rest_is_written(retriever):
    report = retriever.upsert(
        [Document("good", "one"), Document("bad", "two", {"x": {"nested": 1}}), Document("good", "three")]
    )
    assert [problem.item for problem in report.failed] == ["bad", "good"]
    assert [chunk.text for chunk in retriever.get(["good", "bad"])] == ["one"]


def test_too_long_for_the_model_is_counted(tmp_path):
    class Short(CountingEmbedding):
        kind = "counting"
        max_tokens = 10

    with Retriever.open("memory:", embedding=Short()) as retriever:
        report = retriever.upsert([Document("a", "word " * 50), Document("b", "word")])
        assert report.truncated == 1
        assert retriever.get(["a"])[0].text == "word " * 50


def test_delete_by_record_id(retriever):
    retriever.upsert([Document(f"d{n}", f"text {n}", {"even": n % 2 == 0}) for n in range(6)])
    assert retriever.delete(chunks=["d0", "d1", "d1", "absent"], filter={"even": True}) == 1
    assert retriever.delete(chunks=[]) == 0
    assert retriever.delete(chunks=["d2", "absent"]) == 1
    assert [chunk.id for chunk in retriever.get([f"d{n}" for n in range(6)])] == ["d1", "d3", "d4", "d5"]
    assert retriever.delete(filter=And(())) == 4
    with pytest.raises(InvalidInput, match="list of ids"):
        retriever.delete(chunks="d1")
    with pytest.raises(InvalidInput, match="list of ids"):
        retriever.get("d1")
    with pytest.raises(InvalidInput, match="surrogate"):
        retriever.get(["\ud800"])


def test_search_by_vector_is_the_semantic_leg(retriever):
    retriever.upsert([Document(f"d{n}", f"text number {n} of many", {"n": n}) for n in range(12)])
    vector = retriever.embedding.embed_query("number 7 of many")
    wanted = retriever.search("number 7 of many", 5, mode="semantic", filter={"n": {"$gte": 3}}, depth=50)
    found = retriever.search_by_vector(vector.tolist(), 5, filter={"n": {"$gte": 3}}, depth=50)
    assert [hit.chunk.id for hit in found] == [hit.chunk.id for hit in wanted]
    assert np.allclose([hit.score for hit in found], [hit.score for hit in wanted])
    assert all(hit.matched_terms == () for hit in found)
    assert len(retriever.search_by_vector(vector, 5, mmr=0.5)) == 5


@pytest.mark.parametrize(
    "vector", [[1.0, 2.0], "text", [[0.0] * 256], [float("nan")] * 256, [float("inf")] * 256, None]
)
def test_a_vector_that_does_not_fit_is_refused(vector):
    with (
        Retriever.open("memory:", embedding="hashed") as retriever,
        pytest.raises(InvalidInput, match="query vector"),
    ):
        retriever.search_by_vector(vector)


IDS = st.sampled_from(["a", "b", "c", "d"])
TEXTS = st.sampled_from(["", "one", "two words", "三", " one"])
METADATA = st.dictionaries(st.sampled_from(["x", "y"]), st.integers(0, 2), max_size=2)


@settings(deadline=None)
@given(st.lists(st.dictionaries(IDS, st.tuples(TEXTS, METADATA), max_size=4), max_size=6))
def test_after_any_sequence_of_calls_the_store_holds_what_was_written_last(calls):
    """Also: a text is embedded only where it is not there under this id."""
    model: dict[str, tuple[str, dict]] = {}
    with Retriever.open("memory:", embedding=CountingEmbedding()) as retriever:
        retriever.embedding  # noqa: B018 - its canaries are no documents
        for call in calls:
            CountingEmbedding.reset()
            report = retriever.upsert([Document(name, *value) for name, value in call.items()])
            fresh = {text for name, (text, _) in call.items() if name not in model or model[name][0] != text}
            assert sorted(CountingEmbedding.documents) == sorted(fresh)
            assert report.failed == []
            model |= call
        found = retriever.get(sorted(model))
        assert {chunk.id: (chunk.text, dict(chunk.metadata)) for chunk in found} == model
        assert retriever.store.count() == len(model)
