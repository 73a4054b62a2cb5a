"""Asynchronous calls: off the loop, with the caller's context, and right when there are many of them."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time

import pytest
from langchain_core.documents import Document
from langchain_core.indexing import RecordManager
from langchain_core.vectorstores import VectorStore
from langchain_samples import HASHED, WHO, Watched, ids_of, ships, texts_of

from retriever import MemoryStore
from retriever_langchain import HybridRetriever, RetrieverVectorStore, StoreRecordManager
from retriever_langchain.opening import LazyIndex

VECTOR = HASHED.embed_query("ships").tolist()

CALLS = {
    "aadd_texts": (["a new text"],),
    "aadd_documents": ([Document(page_content="a new document")],),
    "aget_by_ids": (["d1"],),
    "asimilarity_search": ("ships",),
    "asimilarity_search_with_score": ("ships",),
    "asimilarity_search_with_relevance_scores": ("ships",),
    "asimilarity_search_by_vector": (VECTOR,),
    "amax_marginal_relevance_search": ("ships",),
    "amax_marginal_relevance_search_by_vector": (VECTOR,),
    "asearch": ("ships", "similarity"),
    "adelete": (["d1"],),
}


class Where(MemoryStore):
    """Notes who calls it, from which thread."""

    def __init__(self):
        super().__init__()
        self.watch = Watched()

    def read_manifest(self):
        self.watch._called()
        return super().read_manifest()

    def fetch(self, keys):
        self.watch._called()
        return super().fetch(keys)

    def search(self, query):
        self.watch._called()
        return super().search(query)


@pytest.fixture
def watched():
    return Where()


@pytest.fixture
def vectors(watched):
    made = RetrieverVectorStore(watched, Watched())
    made.add_documents(ships(6), ids=[f"d{n}" for n in range(6)])
    watched.watch.forget()
    made.embeddings.forget()
    return made


def twins(cls: type) -> set[str]:
    """Public coroutine functions of LangChain's class."""
    return {name for name, _ in inspect.getmembers(cls, inspect.iscoroutinefunction) if not name.startswith("_")}


def test_every_asynchronous_method_is_among_the_calls():
    assert twins(VectorStore) == {*CALLS, "afrom_texts", "afrom_documents"}
    assert twins(RetrieverVectorStore) == twins(VectorStore)


@pytest.mark.parametrize("name", CALLS)
async def test_runs_off_the_loop_with_the_callers_context(vectors, watched, name):
    WHO.set("the caller")
    await getattr(vectors, name)(*CALLS[name])
    seen = [watched.watch, vectors.embeddings]
    threads = set().union(*(each.threads for each in seen))
    assert threads
    assert all(thread.startswith("retriever-langchain") for thread in threads)
    assert set().union(*(each.callers for each in seen)) == {"the caller"}


@pytest.mark.parametrize("name", sorted(CALLS.keys() - {"aadd_texts", "aadd_documents", "adelete"}))
async def test_finds_what_its_twin_finds(vectors, name):
    assert await getattr(vectors, name)(*CALLS[name]) == getattr(vectors, name[1:])(*CALLS[name])


async def test_writes_what_its_twin_writes(vectors):
    names = await vectors.aadd_texts((text for text in ("a", "b")), [{"n": 1}, {}], ids=["a", "b"])
    assert names == ["a", "b"]
    assert await vectors.adelete(filter={"n": {"$gte": 1}}) is True
    assert ids_of(await vectors.aget_by_ids(["b", "a", "d0", "d1"])) == ["b", "d0"]


async def test_a_subclass_that_overrides_the_synchronous_method_is_heard():
    class Loud(RetrieverVectorStore):
        def similarity_search(self, query, k=4, filter=None, **settings):  # noqa: A002
            return super().similarity_search(query.lower(), k, filter, **settings)[:1]

    made = Loud(MemoryStore(), Watched())
    made.add_documents(ships(3))
    assert len(await made.asimilarity_search("SHIPS")) == 1


async def test_constructors_run_off_the_loop():
    embeddings = Watched()
    WHO.set("the caller")
    await RetrieverVectorStore.afrom_documents(ships(2), embeddings)
    await RetrieverVectorStore.afrom_texts(["a"], embeddings)
    assert all(thread.startswith("retriever-langchain") for thread in embeddings.threads)
    assert embeddings.callers == {"the caller"}


async def test_a_record_manager_runs_off_the_loop(vectors, watched):
    manager = StoreRecordManager(vectors)
    assert twins(RecordManager) == twins(StoreRecordManager)
    assert await manager.aexists(["d1", "none"]) == [True, False]
    assert all(thread.startswith("retriever-langchain") for thread in watched.watch.threads)
    start = await manager.aget_time()
    await manager.aupdate(["d1"], group_ids=[None], time_at_least=start)
    assert sorted(await manager.alist_keys(before=start)) == ["d0", "d2", "d3", "d4", "d5"]
    await manager.adelete_keys(["d1"])
    await manager.acreate_schema()
    assert len(await manager.alist_keys(before=start)) == 6


@pytest.mark.parametrize("opened_by", ["embedding", "address"])
async def test_retrievers_open_the_index_off_the_loop(tmp_path, monkeypatch, opened_by):
    """Also where the first to ask is LangChain, for the name of the embeddings."""
    RetrieverVectorStore.from_documents(ships(3), "hashed", store=tmp_path / "index").close()
    watch = Watched()
    original = LazyIndex.retriever.fget

    def noted(self):
        watch._called()
        return original(self)

    monkeypatch.setattr(LazyIndex, "retriever", property(noted))
    with RetrieverVectorStore(tmp_path / "index", "hashed" if opened_by == "embedding" else None) as vectors:
        assert len(await vectors.as_retriever().ainvoke("ships")) == 3
        assert len(await HybridRetriever(index=vectors).ainvoke("ships")) == 3
    assert watch.threads
    assert all(thread.startswith("retriever-langchain") for thread in watch.threads)


async def test_the_loop_goes_on_while_the_embedder_is_slow():
    vectors = RetrieverVectorStore(MemoryStore(), Watched(delay=0.25))
    asked = HybridRetriever(index=vectors)
    gaps: list[float] = []

    async def tick():
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.002)
            gaps.append(time.perf_counter() - last)
            last = time.perf_counter()

    ticking = asyncio.create_task(tick())
    await vectors.aadd_documents(ships(4))
    await asked.ainvoke("ships")
    await vectors.as_retriever().ainvoke("ships")
    ticking.cancel()
    assert len(gaps) > 50
    assert max(gaps) < 0.2


class Held(MemoryStore):
    """Writes when it is allowed to."""

    def __init__(self):
        super().__init__()
        self.allowed = threading.Event()

    def upsert(self, records):
        assert self.allowed.wait(20)
        super().upsert(records)


async def test_a_query_does_not_wait_for_writers():
    """However many there are: each of them waits for the one before."""
    held = Held()
    vectors = RetrieverVectorStore(held, Watched())
    writing = [asyncio.create_task(vectors.aadd_texts([f"text {n}"])) for n in range(12)]
    try:
        await asyncio.sleep(0.05)
        assert await asyncio.wait_for(vectors.asimilarity_search("ships"), 5) == []
        assert not any(task.done() for task in writing)
    finally:
        held.allowed.set()
    await asyncio.gather(*writing)
    assert len(await vectors.asimilarity_search("text", k=20)) == 12


async def test_a_cancelled_call_breaks_nothing(tmp_path):
    embeddings = Watched(delay=0.05)
    with RetrieverVectorStore(tmp_path / "index", embeddings) as vectors:
        await vectors.aadd_documents(ships(2))
        for call in (vectors.aadd_texts(["cancelled"], ids=["x"]), vectors.asimilarity_search("ships")):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(call, 0.01)
        gone = [asyncio.create_task(vectors.aadd_texts([f"many {n}"], ids=[str(n)])) for n in range(10)]
        await asyncio.sleep(0.02)
        for task in gone:
            task.cancel()
        assert all(isinstance(r, asyncio.CancelledError) for r in await asyncio.gather(*gone, return_exceptions=True))
        await vectors.aadd_texts(["after"], ids=["after"])
        assert "after" in texts_of(await vectors.asimilarity_search("after"))
        assert await vectors.adelete()
        assert vectors.retriever.store.count() == 0


async def test_fifty_at_once(store):
    vectors = RetrieverVectorStore(store, Watched())
    await vectors.aadd_documents(ships(50), ids=[f"d{n}" for n in range(50)])
    asked = HybridRetriever(index=vectors, k=3)
    queries = [f"document {n} about ships" for n in range(50)]
    expected = [asked.invoke(query) for query in queries]
    assert await asyncio.gather(*(asked.ainvoke(query) for query in queries)) == expected


async def test_writers_and_readers_at_once(store):
    vectors = RetrieverVectorStore(store, Watched())
    await vectors.aadd_documents(ships(5), ids=[f"d{n}" for n in range(5)])

    async def write(n):
        await vectors.aadd_texts([f"new {n}", f"other {n}"], ids=[f"n{n}", f"o{n}"])
        await vectors.adelete([f"o{n}"])

    reading = [vectors.asimilarity_search("ships", k=5, filter={"n": {"$lt": 5}}) for _ in range(10)]
    found = await asyncio.gather(*(write(n) for n in range(5)), *reading)
    assert all({d.id for d in documents} == {f"d{n}" for n in range(5)} for documents in found[5:])
    assert len(await vectors.aget_by_ids([f"n{n}" for n in range(5)])) == 5
    assert await vectors.aget_by_ids([f"o{n}" for n in range(5)]) == []
