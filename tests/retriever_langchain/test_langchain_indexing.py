"""LangChain's indexing API over our vector store, with our record manager and with LangChain's own."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, aindex, index
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_samples import Watched, ships, texts_of

from retriever import EmbeddingError, InvalidInput, MemoryStore, Retriever
from retriever_langchain import EmbeddingFunctionEmbeddings, RetrieverVectorStore, StoreRecordManager

ENCODERS = {
    "sha1": "sha1",
    "sha256": "sha256",
    "sha512": "sha512",
    "blake2b": "blake2b",
    "callable": lambda document: hashlib.md5(document.page_content.encode(), usedforsecurity=False).hexdigest(),
}


@pytest.fixture
def embeddings():
    return Watched()


@pytest.fixture
def vectors(store, embeddings):
    return RetrieverVectorStore(store, embeddings)


@pytest.fixture
def manager(vectors):
    return StoreRecordManager(vectors)


class Loader(BaseLoader):
    """Documents of a file."""

    def __init__(self, documents):
        self.documents = documents

    def lazy_load(self):
        yield from self.documents


def chapters(source: str, *texts: str) -> list[Document]:
    return [Document(page_content=text, metadata={"source": source}) for text in texts]


def contents(vectors) -> list[tuple[str, str | None]]:
    if isinstance(vectors, InMemoryVectorStore):
        return sorted((entry["text"], entry["metadata"].get("source")) for entry in vectors.store.values())
    chunks = vectors.get_by_ids([entry.chunk_id for entry in vectors.retriever.store.entries()])
    return sorted((d.page_content, d.metadata.get("source")) for d in chunks)


def counts(result) -> tuple[int, int, int, int]:
    return tuple(result[f"num_{what}"] for what in ("added", "updated", "skipped", "deleted"))


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.filterwarnings("ignore:Using SHA-1:UserWarning")
@pytest.mark.parametrize("cleanup", [None, "incremental", "full", "scoped_full"])
def test_every_key_encoder_and_cleanup(embeddings, encoder, cleanup):
    vectors = RetrieverVectorStore(MemoryStore(), embeddings)

    def run(documents):
        manager = StoreRecordManager(vectors)  # one that remembers nothing
        how = {"cleanup": cleanup, "source_id_key": "source", "key_encoder": ENCODERS[encoder]}
        return counts(index(documents, manager, vectors, **how))

    assert run(chapters("a", "a1", "a2") + chapters("b", "b1")) == (3, 0, 0, 0)
    embeddings.forget()
    assert run(Loader(chapters("a", "a1", "a2") + chapters("b", "b1"))) == (0, 0, 3, 0)
    assert embeddings.documents == []
    deleted = {None: 0, "full": 2}.get(cleanup, 1)
    assert run(doc for doc in chapters("a", "a1", "a3")) == (1, 0, 1, deleted)
    assert embeddings.documents == ["a3"]
    left = {("a1", "a"), ("a3", "a")} | ({("a2", "a")} if cleanup is None else set())
    assert {*contents(vectors)} == left | ({("b1", "b")} if cleanup != "full" else set())


def test_sha1_is_warned_of_by_langchain(monkeypatch):
    monkeypatch.setattr("langchain_core.indexing.api._WARNED_ABOUT_SHA1", False)
    vectors = RetrieverVectorStore(MemoryStore(), "hashed")
    with pytest.warns(UserWarning, match="SHA-1"):
        index(ships(1), StoreRecordManager(vectors), vectors)


@pytest.mark.parametrize("cleanup", [None, "incremental", "full", "scoped_full"])
async def test_everywhere_and_asynchronously(vectors, manager, embeddings, cleanup):
    how = {"cleanup": cleanup, "source_id_key": "source", "key_encoder": "sha256"}
    first = chapters("a", "a1", "a2", "a3") + chapters("b", "b1")
    assert counts(await aindex(Loader(first), manager, vectors, **how)) == (4, 0, 0, 0)
    embeddings.forget()
    assert counts(index(iter(first), manager, vectors, **how)) == (0, 0, 4, 0)  # at once, by the same clock
    assert embeddings.documents == []
    second = chapters("a", "a1", "a3 changed", "a4")
    deleted = {None: 0, "full": 3}.get(cleanup, 2)
    assert counts(await aindex(second, manager, vectors, **how)) == (2, 0, 1, deleted)
    assert counts(await aindex(second, manager, vectors, **how)) == (0, 0, 3, 0)
    assert texts_of(vectors.similarity_search("a4", k=1, mode="keyword")) == ["a4"]
    assert {("a3 changed", "a"), ("a1", "a")} <= {*contents(vectors)}
    assert (("a3", "a") in contents(vectors)) is (cleanup is None)
    assert (("b1", "b") in contents(vectors)) is (cleanup != "full")


async def test_documents_may_come_asynchronously(vectors, manager):
    async def stream():
        for document in ships(5):
            yield document

    for expected in ((5, 0, 0, 0), (0, 0, 5, 0)):
        result = await aindex(stream(), manager, vectors, key_encoder="sha256", cleanup="full", batch_size=2)
        assert counts(result) == expected


def test_sources_may_be_told_by_a_function(vectors):
    def by(document):
        return document.metadata["path"].partition("#")[0]

    manager = StoreRecordManager(vectors, by)
    vectors.add_texts(["foreign"])  # has no path
    how = {"cleanup": "incremental", "source_id_key": by, "key_encoder": "sha256"}
    documents = [Document(page_content=f"p{n}", metadata={"path": f"{'ab'[n % 2]}#{n}"}) for n in range(6)]
    assert counts(index(documents, manager, vectors, **how)) == (6, 0, 0, 0)
    assert counts(index(documents[2::2], manager, vectors, **how)) == (0, 0, 2, 1)
    assert [text for text, _ in contents(vectors)] == ["foreign", "p1", "p2", "p3", "p4", "p5"]


def test_force_update_writes_and_embeds_nothing_in_vain(vectors, manager, embeddings):
    index(ships(3), manager, vectors, key_encoder="sha256")
    embeddings.forget()
    assert counts(index(ships(3), manager, vectors, key_encoder="sha256", force_update=True)) == (0, 3, 0, 0)
    assert embeddings.documents == []


@pytest.mark.parametrize("cleanup", ["full", "scoped_full"])
def test_a_file_that_is_longer_than_a_batch(vectors, manager, embeddings, cleanup):
    how = {"cleanup": cleanup, "source_id_key": "source", "key_encoder": "sha256", "batch_size": 4}
    texts = [f"part {n}" for n in range(10)]
    assert counts(index(chapters("a", *texts), manager, vectors, **how)) == (10, 0, 0, 0)
    embeddings.forget()
    assert counts(index(chapters("a", *texts), manager, vectors, **how)) == (0, 0, 10, 0)
    assert counts(index(chapters("a", *texts[1:], "new"), manager, vectors, **how)) == (1, 0, 9, 1)
    assert embeddings.documents == ["new"]


def test_incremental_ends_right_though_langchain_deletes_after_every_batch(vectors, manager):
    how = {"cleanup": "incremental", "source_id_key": "source", "key_encoder": "sha256", "batch_size": 4}
    texts = [f"part {n}" for n in range(10)]
    for _ in range(3):
        index(chapters("a", *texts), manager, vectors, **how)
        assert [text for text, _ in contents(vectors)] == sorted(texts)


def test_small_pages_of_a_cleanup(vectors, manager):
    how = {"cleanup": "full", "key_encoder": "sha256", "cleanup_batch_size": 3}
    index(ships(20), manager, vectors, **how)
    assert counts(index(ships(2), manager, vectors, **how)) == (0, 0, 2, 18)
    assert counts(index([], manager, vectors, **how)) == (0, 0, 0, 2)
    assert contents(vectors) == []


def test_equal_documents_of_a_call_are_one(vectors, manager):
    assert counts(index(ships(2) + ships(2), manager, vectors, key_encoder="sha256")) == (2, 0, 2, 0)


def test_an_interrupted_run_is_finished_by_the_next(vectors, manager, embeddings):
    def until_it_breaks():
        yield from ships(5)
        raise OSError("the disk is gone")

    how = {"cleanup": "full", "key_encoder": "sha256", "batch_size": 2}
    vectors.add_texts(["old"])
    with pytest.raises(OSError, match="gone"):
        index(until_it_breaks(), manager, vectors, **how)
    assert len(contents(vectors)) == 5  # two batches, and what was there
    embeddings.forget()
    assert counts(index(ships(7), manager, vectors, **how)) == (3, 0, 4, 1)
    assert embeddings.documents == texts_of(ships(7)[4:])
    assert len(contents(vectors)) == 7


def test_a_batch_that_could_not_be_embedded_is_not_taken_for_done(store, monkeypatch):
    vectors = RetrieverVectorStore(store, Watched())
    manager = StoreRecordManager(vectors)
    index(ships(2), manager, vectors, key_encoder="sha256")

    def down(_self, _texts):
        raise ConnectionError("the provider is down")

    with monkeypatch.context() as patch:
        patch.setattr(Watched, "embed_documents", down)
        with pytest.raises(EmbeddingError):
            index(ships(4), manager, vectors, key_encoder="sha256", cleanup="full")
    assert len(contents(vectors)) == 2
    assert counts(index(ships(4), manager, vectors, key_encoder="sha256", cleanup="full")) == (2, 0, 2, 0)


def test_a_lost_store_is_filled_again(vectors, manager):
    index(ships(4), manager, vectors, key_encoder="sha256")
    vectors.delete()
    assert counts(index(ships(4), manager, vectors, key_encoder="sha256")) == (4, 0, 0, 0)
    assert len(contents(vectors)) == 4


def test_langchains_own_record_manager_would_leave_it_empty(vectors):
    """What ours is for."""
    manager = InMemoryRecordManager("ours")
    index(ships(4), manager, vectors, key_encoder="sha256")
    vectors.delete()
    assert counts(index(ships(4), manager, vectors, key_encoder="sha256")) == (0, 0, 4, 0)
    assert contents(vectors) == []


def test_a_lost_index_is_made_again(tmp_path):
    for _ in range(2):
        with RetrieverVectorStore(tmp_path / "index", "hashed") as vectors:
            manager = StoreRecordManager(vectors)
            assert counts(index(ships(4), manager, vectors, key_encoder="sha256")) == (4, 0, 0, 0)
            vectors.retriever.delete_all()


def test_what_retriever_index_made_of_a_folder_is_never_cleaned_up(tmp_path, store):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# Ships\n\nOf ships and cakes.", "utf-8")
    with Retriever.open(store, embedding="hashed") as opened:
        opened.index(tmp_path / "docs")
        before = {entry.chunk_id for entry in store.entries()}
        vectors = RetrieverVectorStore(opened)
        manager = StoreRecordManager(vectors)
        for documents in (ships(3), ships(1), []):
            index(documents, manager, vectors, cleanup="full", key_encoder="sha256")
            assert before <= {entry.chunk_id for entry in store.entries()}
        assert {entry.chunk_id for entry in store.entries()} == before
        assert opened.index(tmp_path / "docs").added == 0


def test_what_the_base_class_promises(vectors, manager):
    names = vectors.add_documents(ships(3), ids=["a", "b", "c"])
    start = manager.get_time()
    assert start < manager.get_time()
    assert manager.exists([*names, "none", "a"]) == [True, True, True, False, True]
    assert manager.exists([]) == []
    manager.update(["a"], time_at_least=start)
    assert sorted(manager.list_keys()) == ["a", "b", "c"]
    assert manager.list_keys(after=start) == ["a"]
    assert sorted(manager.list_keys(before=start)) == ["b", "c"]
    assert len(manager.list_keys(limit=2)) == 2
    assert manager.list_keys(limit=0) == []
    assert manager.list_keys(group_ids=["nowhere"]) == []
    manager.delete_keys(["a", "unknown"])
    assert sorted(manager.list_keys(before=start)) == ["a", "b", "c"]
    assert "secret" not in manager.namespace
    with pytest.raises(InvalidInput, match="1 group ids for 2 keys"):
        manager.update(["a", "b"], group_ids=["x"])
    with pytest.raises(InvalidInput, match="still to come"):
        manager.update(["a"], time_at_least=start + 1e6)


def test_more_keys_than_a_page(tmp_path):
    vectors = RetrieverVectorStore(MemoryStore(), "hashed")
    names = vectors.add_texts([f"text {n}" for n in range(600)])
    manager = StoreRecordManager(vectors)
    assert manager.exists([*names, "none"]) == [True] * 600 + [False]
    assert sorted(manager.list_keys()) == sorted(names)
    assert len(manager.list_keys(limit=300)) == 300


RUN = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 7)), max_size=8)


@pytest.mark.parametrize("cleanup", [None, "incremental", "full", "scoped_full"])
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(runs=st.lists(RUN, min_size=1, max_size=5), batch_size=st.integers(1, 5), foreign=st.booleans())
def test_any_runs_end_as_they_do_in_langchains_own(cleanup, runs, batch_size, foreign):
    ours = RetrieverVectorStore(MemoryStore(), "hashed")
    theirs = InMemoryVectorStore(EmbeddingFunctionEmbeddings("hashed"))
    manager = InMemoryRecordManager("ours") if foreign else StoreRecordManager(ours)
    model = InMemoryRecordManager("theirs")
    how = {"cleanup": cleanup, "source_id_key": "source", "key_encoder": "blake2b", "batch_size": batch_size}
    for run in runs:
        documents = [Document(page_content=f"text {n}", metadata={"source": source}) for source, n in run]
        mine = index(documents, manager, ours, **how)
        its = index(documents, model, theirs, **how)
        assert contents(ours) == contents(theirs)
        assert mine == its
        _until_the_clock_has_moved(model)


def _until_the_clock_has_moved(model: InMemoryRecordManager) -> None:
    """LangChain's own has ties on a coarse clock."""
    now = model.get_time()
    while model.get_time() <= now:
        pass
