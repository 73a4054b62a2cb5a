"""Collections that langchain-chroma and langchain-qdrant filled, searched as they are."""

from __future__ import annotations

import sys
import uuid
from contextlib import closing, contextmanager
from pathlib import Path
from typing import ClassVar

import chromadb
import numpy as np
import pytest
from chromadb.config import Settings
from langchain_chroma import Chroma
from langchain_core.documents import Document
from langchain_qdrant import QdrantVectorStore
from langchain_samples import HASHED, Watched, ids_of, ships
from qdrant_client import QdrantClient, models

from retriever import (
    ConfigurationError,
    FilterError,
    IndexMismatch,
    NotAStore,
    StoreError,
    StoreLocked,
    StoreNotFound,
    copy_index,
)
from retriever.testing.servers import free_port
from retriever_langchain import HybridRetriever, RetrieverVectorStore, StoreRecordManager

sys.path.append(str(Path(__file__).parents[1] / "retriever_qdrant"))
from qdrant_stand_in import stand_in

DOCUMENTS = [*ships(8, lang="en"), Document(page_content="the number E1234", metadata={"n": 99})]
UUIDS = [str(uuid.uuid5(uuid.NAMESPACE_DNS, str(n))) for n in range(len(DOCUMENTS))]
COSINE = models.VectorParams(size=HASHED.dimension, distance=models.Distance.COSINE)


def quiet() -> Settings:
    """Of a client; chromadb writes into what it is given."""
    return Settings(anonymized_telemetry=False)


def check_search(ours: RetrieverVectorStore, peer: Chroma | QdrantVectorStore, ids: list[str]) -> None:
    """What the peer finds is found, and more."""
    query = DOCUMENTS[3].page_content
    theirs = peer.similarity_search(query, k=9)
    found = ours.similarity_search(query, k=9, mode="semantic")
    assert (found[0].page_content, found[0].metadata["n"]) == (theirs[0].page_content, theirs[0].metadata["n"])
    assert found[0].id == ids[3]
    assert {d.page_content for d in found} == {d.page_content for d in theirs}
    everything = ours.get_by_ids(ids)
    assert ids_of(everything) == ids
    assert [(d.page_content, d.metadata) for d in everything] == [(d.page_content, d.metadata) for d in DOCUMENTS]
    assert ours.get_by_ids(["none of them"]) == []
    assert ids_of(ours.similarity_search("E1234", mode="keyword")) == ids[-1:]
    assert ids_of(ours.similarity_search("E1234"))[0] == ids[-1]
    assert {d.metadata["n"] for d in ours.similarity_search("ships", k=9, filter={"odd": True})} == {1, 3, 5, 7}
    assert [d.metadata["n"] for d in ours.max_marginal_relevance_search("ships", k=2, filter={"n": 6})] == [6]
    scored = ours.similarity_search_with_relevance_scores("the number E1234", k=1, score_threshold=0.99)
    assert ids_of([d for d, _ in scored]) == ids[-1:]
    legs = HybridRetriever(index=ours).invoke("E1234")[0].metadata["retrieval"]["legs"]
    assert legs["keyword"]["rank"] == 1
    assert sorted(StoreRecordManager(ours).list_keys()) == sorted(ids)


def check_refusals(ours: RetrieverVectorStore, ids: list[str]) -> None:
    for write in (
        lambda: ours.add_texts(["new"]),
        lambda: ours.add_documents(ships(1), ids=ids[:1]),
        lambda: ours.delete(ids[:1]),
        lambda: ours.delete(filter={"n": 1}),
        lambda: ours.delete(),
    ):
        with pytest.raises(StoreError, match=r"only.*copy_index"):
            write()


def check_copy(ours: RetrieverVectorStore, folder: Path, ids: list[str]) -> None:
    """What the refusal advises: an index of one's own, with the same ids."""
    copy_index(ours.retriever.store, folder)
    with RetrieverVectorStore(folder, Watched()) as copied:
        assert copied.get_by_ids(ids) == ours.get_by_ids(ids)
        copied.add_texts(["another text"], ids=ids[:1])
        assert copied.get_by_ids(ids[:1])[0].page_content == "another text"


class TestChroma:
    IDS: ClassVar = [f"id/{n}" for n in range(len(DOCUMENTS))]

    @pytest.fixture
    def fill(self):
        def fill(client, **settings) -> Chroma:
            peer = Chroma("docs", Watched(), client=client, **settings)
            peer.add_documents(DOCUMENTS, ids=self.IDS)
            return peer

        return fill

    def snapshot(self, peer: Chroma):
        collection = peer._client.get_collection("docs", embedding_function=None)
        rows = collection.get(include=["documents", "metadatas", "embeddings"])
        return rows["ids"], rows["documents"], rows["metadatas"], rows["embeddings"].tolist(), collection.metadata

    @pytest.fixture
    def in_memory(self, fill):
        client = chromadb.EphemeralClient()  # all of a process are one, and have the same settings
        peer = fill(client)
        yield peer
        client.delete_collection("docs")

    @pytest.mark.parametrize("space", ["l2", "cosine"])
    def test_in_a_folder(self, tmp_path, fill, space):
        folder = tmp_path / "chroma"
        with closing(chromadb.PersistentClient(folder, quiet())) as client:
            peer = fill(client, collection_configuration={"hnsw": {"space": space}})
            before = self.snapshot(peer)
            with RetrieverVectorStore.from_chroma("docs", Watched(), client=client) as ours:
                check_search(ours, peer, self.IDS)
                check_refusals(ours, self.IDS)
                check_copy(ours, tmp_path / "own", self.IDS)
            assert self.snapshot(peer) == before

    def test_by_its_folder(self, tmp_path, fill):
        folder = tmp_path / "chroma"
        with closing(chromadb.PersistentClient(folder, quiet())) as client:
            peer = fill(client)
            before = self.snapshot(peer)
            locked = RetrieverVectorStore.from_chroma("docs", Watched(), folder)
            with pytest.raises(StoreLocked, match="another client"):
                locked.similarity_search("ships")
        for _ in range(2):
            with RetrieverVectorStore.from_chroma("docs", Watched(), str(folder)) as ours:
                assert ids_of(ours.similarity_search("E1234"))[0] == self.IDS[-1]
                ours.close()  # and goes on
                assert ids_of(ours.similarity_search("E1234", mode="keyword")) == self.IDS[-1:]
        with closing(chromadb.PersistentClient(folder)) as client:  # it was let go of: its settings would be others
            assert self.snapshot(Chroma("docs", client=client)) == before

    def test_on_a_server(self, chroma, fill):
        client = chromadb.HttpClient(chroma.host, chroma.port, settings=quiet())
        peer = fill(client)
        try:
            before = self.snapshot(peer)
            with RetrieverVectorStore.from_chroma("docs", Watched(), host=chroma.host, port=chroma.port) as ours:
                check_search(ours, peer, self.IDS)
                check_refusals(ours, self.IDS)
            with RetrieverVectorStore.from_chroma("docs", Watched(), client=client, mode="keyword") as ours:
                assert ids_of(ours.similarity_search("E1234")) == self.IDS[-1:]
            assert self.snapshot(peer) == before
        finally:
            client.delete_collection("docs")
            client.close()
            for part in (client, client._admin_client):
                part._server._session.close()  # which its own ``close`` leaves open

    def test_what_the_peer_writes_later_is_found(self, in_memory):
        ours = RetrieverVectorStore.from_chroma("docs", Watched(), client=in_memory._client)
        assert ours.similarity_search("zebra", mode="keyword") == []
        in_memory.add_texts(["a zebra"], ids=["z"])
        assert ids_of(ours.similarity_search("zebra", mode="keyword")) == ["z"]

    def test_another_embedding_is_refused(self, in_memory, monkeypatch):
        client = in_memory._client
        with pytest.raises(IndexMismatch):
            RetrieverVectorStore.from_chroma("docs", Watched({"x": [1.0, 0.0]}), client=client).similarity_search("x")
        monkeypatch.setattr(Watched, "_vector", lambda _, text: HASHED.embed_query(text)[::-1].tolist())
        with pytest.raises(IndexMismatch):
            RetrieverVectorStore.from_chroma("docs", Watched(), client=client).similarity_search("ships")

    def test_a_place_that_is_none(self, tmp_path, in_memory):
        for places in ({}, {"client": in_memory._client, "host": "localhost"}):
            with pytest.raises(ConfigurationError, match="Give one of client, persist_directory and host"):
                RetrieverVectorStore.from_chroma("docs", Watched(), **places)
        nowhere = RetrieverVectorStore.from_chroma("docs", Watched(), tmp_path / "typo")
        with pytest.raises(StoreNotFound, match="check persist_directory"):
            nowhere.similarity_search("x")
        assert not (tmp_path / "typo").exists()
        with pytest.raises(StoreNotFound, match="'none'"):
            RetrieverVectorStore.from_chroma("none", Watched(), client=in_memory._client).similarity_search("x")
        with pytest.raises(StoreNotFound, match="embedding"):
            RetrieverVectorStore.from_chroma("docs", client=in_memory._client).similarity_search("x")

    def test_constructing_asks_no_server(self):
        """chromadb's own client would, and wait for ever."""
        ours = RetrieverVectorStore.from_chroma("docs", Watched(), host="127.0.0.1", port=free_port())
        assert repr(ours) == "RetrieverVectorStore('docs of langchain-chroma')"
        ours.close()


class TestQdrant:
    def fill(self, client: QdrantClient, vector_name: str = "") -> QdrantVectorStore:
        client.create_collection("docs", vectors_config={vector_name: COSINE} if vector_name else COSINE)
        peer = QdrantVectorStore(client, "docs", Watched(), vector_name=vector_name)
        peer.add_documents(DOCUMENTS, ids=UUIDS)
        return peer

    def snapshot(self, client: QdrantClient):
        points, _ = client.scroll("docs", limit=100, with_payload=True, with_vectors=True)
        dense = [v.get("") if isinstance(v := p.vector, dict) else v for p in points]
        return [(p.id, p.payload) for p in points], dense

    @contextmanager
    def place(self, kind: str, folder: Path):
        """A client to fill, and what ``from_qdrant`` is given."""
        if kind == "memory":
            with closing(QdrantClient(":memory:")) as client:
                yield client, {"client": client}
        elif kind == "folder":
            with closing(QdrantClient(path=str(folder))) as client:
                yield client, {"client": client}
        else:
            with stand_in() as server:
                remote = {"url": f"http://127.0.0.1:{server.port}", "check_compatibility": False, "timeout": 10}
                with closing(QdrantClient(**remote)) as client:
                    yield server.local, {"client": client} if kind == "client" else remote

    @pytest.mark.parametrize("kind", ["memory", "folder", "client", "url"])
    def test_in_every_place(self, tmp_path, kind):
        with self.place(kind, tmp_path / "qdrant") as (client, where):
            peer = self.fill(client)
            before = self.snapshot(client)
            with RetrieverVectorStore.from_qdrant("docs", Watched(), **where) as ours:
                check_search(ours, peer, UUIDS)
                check_refusals(ours, UUIDS)
                check_copy(ours, tmp_path / "own", UUIDS)
            payloads, vectors = self.snapshot(client)
            assert payloads == before[0]
            assert np.allclose(vectors, before[1], atol=1e-6)  # local mode scales them anew
            with RetrieverVectorStore.from_qdrant("docs", Watched(), mode="keyword", **where) as again:
                assert ids_of(again.similarity_search("E1234")) == UUIDS[-1:]

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it leaves its lock file open
    async def test_by_its_folder(self, tmp_path):
        folder = str(tmp_path / "qdrant")
        with closing(QdrantClient(path=folder)) as client:
            self.fill(client)
            locked = RetrieverVectorStore.from_qdrant("docs", Watched(), path=folder)
            with pytest.raises(StoreLocked, match="open elsewhere"):
                locked.similarity_search("ships")
        with pytest.raises(IndexMismatch) as caught:
            RetrieverVectorStore.from_qdrant("docs", Watched({"x": [1.0, 0.0]}), path=folder).similarity_search("x")
        kept = [caught.value.__traceback__]  # all that was opened lives on, so it has to be closed
        for _ in range(2):
            with RetrieverVectorStore.from_qdrant("docs", Watched(), path=folder) as ours:
                kept.append(ours.retriever)
                assert ids_of(await ours.asimilarity_search("E1234"))[0] == UUIDS[-1]  # from another thread
                ours.close()
                assert ids_of(ours.similarity_search("E1234", mode="keyword")) == UUIDS[-1:]

    def test_filters_of_qdrant(self):
        with closing(QdrantClient(":memory:")) as client:
            peer = self.fill(client)
            ours = RetrieverVectorStore.from_qdrant("docs", Watched(), client=client)
            condition = models.Filter(
                must=[models.FieldCondition(key="metadata.n", range=models.Range(gte=2, lt=5))],
                must_not=[models.FieldCondition(key="metadata.odd", match=models.MatchValue(value=True))],
            )
            theirs = peer.similarity_search("ships", k=9, filter=condition)
            assert {d.metadata["n"] for d in ours.similarity_search("ships", k=9, filter=condition)} == {2, 4}
            assert {d.metadata["n"] for d in theirs} == {2, 4}
            wrong = models.Filter(must=[models.FieldCondition(key="n", match=models.MatchValue(value=1))])
            with pytest.raises(FilterError, match=r"metadata\.KEY"):
                ours.similarity_search("ships", filter=wrong)

    def test_names_of_its_own(self):
        with closing(QdrantClient(":memory:")) as client:
            client.create_collection("docs", vectors_config={"dense": COSINE})
            peer = QdrantVectorStore(
                client, "docs", Watched(), vector_name="dense", content_payload_key="text", metadata_payload_key="about"
            )
            peer.add_documents(DOCUMENTS, ids=UUIDS)
            keys = {"vector_name": "dense", "content_payload_key": "text", "metadata_payload_key": "about"}
            check_search(RetrieverVectorStore.from_qdrant("docs", Watched(), client=client, **keys), peer, UUIDS)
            for missing, said in (("vector_name", "say vector="), ("content_payload_key", "say text_key=")):
                some = {key: value for key, value in keys.items() if key != missing}
                with pytest.raises(NotAStore, match=said):
                    RetrieverVectorStore.from_qdrant("docs", Watched(), client=client, **some).similarity_search("x")

    def test_another_embedding_is_refused(self, monkeypatch):
        with closing(QdrantClient(":memory:")) as client:
            self.fill(client)
            short = Watched({"x": [1.0, 0.0]})
            with pytest.raises(IndexMismatch):
                RetrieverVectorStore.from_qdrant("docs", short, client=client).similarity_search("x")
            monkeypatch.setattr(Watched, "_vector", lambda _, text: HASHED.embed_query(text)[::-1].tolist())
            with pytest.raises(IndexMismatch):
                RetrieverVectorStore.from_qdrant("docs", Watched(), client=client).similarity_search("ships")

    def test_a_place_that_is_none(self, tmp_path):
        with closing(QdrantClient(":memory:")) as client:
            for places in ({}, {"client": client, "url": "http://localhost"}):
                with pytest.raises(ConfigurationError, match="Give a client, or what QdrantClient takes"):
                    RetrieverVectorStore.from_qdrant("docs", Watched(), **places)
            with pytest.raises(StoreNotFound):
                RetrieverVectorStore.from_qdrant("none", Watched(), client=client).similarity_search("x")
        with pytest.raises(ConfigurationError, match="takes retrieval_mode, urll"):
            RetrieverVectorStore.from_qdrant("docs", Watched(), urll="x", retrieval_mode="dense")
        nowhere = RetrieverVectorStore.from_qdrant("docs", Watched(), path=str(tmp_path / "typo"))
        with pytest.raises(StoreNotFound, match="check path"):
            nowhere.similarity_search("x")
        assert not (tmp_path / "typo").exists()
        wrong = RetrieverVectorStore.from_qdrant("docs", Watched(), url="http://localhost", host="localhost")
        with pytest.raises(ConfigurationError, match="does not take these arguments"):
            wrong.similarity_search("x")

    def test_no_key_is_shown(self):
        ours = RetrieverVectorStore.from_qdrant("docs", Watched(), url="http://localhost:1", api_key="verysecret")
        assert repr(ours) == "RetrieverVectorStore('docs of langchain-qdrant')"
