"""What is wrong in the indexing of langchain-core 1.7.2: each test fails on langchain-chroma and passes here."""

# The line of its indexing/api.py, and the tests that hold it:
#   560  cleanup after each batch        an_unchanged_file_is_not_embedded_again, …_is_visible_throughout,
#                                        nothing_of_an_unchanged_file_is_deleted
#   506  record manager alone            a_lost_store_is_filled_again, a_lost_store_is_not_reported_as_skipped
#   UpsertResponse.failed ignored        documents_that_are_refused_are_an_error, …_are_not_recorded
#   SHA-1 by default, with a warning     the_defaults_need_no_warning
#   InMemoryRecordManager only           a_new_process_skips_what_is_stored, a_new_process_cleans_up_what_another_wrote
#
# Those of line 560 compare core's way with the one that is recommended here, ``Retriever.index``: core's own loop does
# to our store what it does to any.

from __future__ import annotations

import uuid
import warnings
from collections.abc import Iterator
from contextlib import suppress

import chromadb
import pytest
from langchain_chroma import Chroma
from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, index
from langchain_core.indexing import api as core
from langchain_core.indexing.in_memory import InMemoryDocumentIndex
from peers import SILENT, Vectors, fault

from retriever import InvalidInput
from retriever_chroma import ChromaStore
from retriever_langchain import RetrieverVectorStore, StoreRecordManager

COUNT = 300
SHA = {"key_encoder": "sha256"}


class File(BaseLoader):
    """One file of many pieces, as a loader and a splitter make it; counts what searchers see while it is read."""

    def __init__(self, search) -> None:
        self._search = search
        self.seen: list[int] = []

    def lazy_load(self) -> Iterator[Document]:
        for n in range(COUNT):
            if n % 50 == 0:
                self.seen.append(self._search())
            yield Document(page_content=f"piece {n}", metadata={"source": "file.txt", "n": n})


class Peer:
    """What core recommends, on langchain-chroma."""

    def __init__(self) -> None:
        self.embedding = Vectors(size=8)
        self.records = InMemoryRecordManager("docs")
        self.records.create_schema()
        self.lose()

    def lose(self) -> None:
        """The store is gone, and made anew."""
        self.store = Chroma(f"docs-{uuid.uuid4().hex}", self.embedding, client=chromadb.EphemeralClient())

    def index(self, documents):
        """As core has it."""
        return index(documents, self.records, self.store, cleanup="incremental", source_id_key="source", **SHA)

    def keep_in_step(self, loader):
        return self.index(loader)

    def restart(self) -> None:
        """The process ends, and another begins; the store is kept."""
        self.records = InMemoryRecordManager("docs")
        self.records.create_schema()

    def count(self) -> int:
        return len(self.store.similarity_search("piece", k=COUNT))

    def close(self) -> None:
        self.store.delete_collection()


class Ours(Peer):
    def __init__(self) -> None:
        self.embedding = Vectors(size=8)
        self.lose()

    def lose(self) -> None:
        self.store = RetrieverVectorStore(ChromaStore(), self.embedding)
        self.restart()

    def keep_in_step(self, loader):
        """As is recommended here."""
        return self.store.retriever.index(loader, prune=True)

    def restart(self) -> None:
        self.records = StoreRecordManager(self.store)

    def close(self) -> None:
        self.store.close()


@pytest.fixture
def app(side):
    made = Peer() if side == "peer" else Ours()
    yield made
    made.close()


def documents(count=3):
    return [Document(page_content=f"piece {n}", metadata={"source": "file.txt", "n": n}) for n in range(count)]


@fault("api.py:560: cleanup after each batch: an unchanged file of 300 pieces is embedded again")
def test_an_unchanged_file_is_not_embedded_again(app):
    app.keep_in_step(File(app.count))
    app.embedding.documents.clear()
    app.keep_in_step(File(app.count))
    assert len(app.embedding.documents) == 0


@fault("api.py:560: cleanup after each batch: 100 of 300 pieces are visible")
def test_an_unchanged_file_is_visible_throughout(app):
    app.keep_in_step(File(app.count))
    again = File(app.count)
    app.keep_in_step(again)
    assert again.seen == [COUNT] * 6


@fault("api.py:560: cleanup after each batch: 200 of 300 pieces are deleted")
def test_nothing_of_an_unchanged_file_is_deleted(app):
    app.keep_in_step(File(app.count))
    report = app.keep_in_step(File(app.count))
    assert (report["num_deleted"] if isinstance(report, dict) else report.deleted) == 0


@fault("api.py:506, #39937: the record manager alone is asked: a lost store stays empty")
def test_a_lost_store_is_filled_again(app):
    app.index(documents())
    app.lose()
    app.index(documents())
    assert app.count() == 3


@fault("api.py:506, #39937: a lost store is reported as success: all skipped")
def test_a_lost_store_is_not_reported_as_skipped(app):
    app.index(documents())
    app.lose()
    assert app.index(documents()) == {"num_added": 3, "num_updated": 0, "num_skipped": 0, "num_deleted": 0}


@fault("InMemoryRecordManager only in core: in the next process all is embedded and written again")
def test_a_new_process_skips_what_is_stored(app):
    app.index(documents())
    app.restart()
    app.embedding.documents.clear()
    assert app.index(documents())["num_skipped"] == 3
    assert app.embedding.documents == []


@fault("InMemoryRecordManager only in core: the next process deletes nothing that was written by one before")
def test_a_new_process_cleans_up_what_another_wrote(app):
    app.index(documents(3))
    app.restart()
    app.index(documents(2))
    assert app.count() == 2


class Strict(InMemoryDocumentIndex):
    """Refuses documents without a number, and says so as the interface asks."""

    def upsert(self, items, /, **kwargs):
        good = [item for item in items if item.metadata["n"] == item.metadata["n"]]  # NaN does not equal itself
        done = super().upsert(good, **kwargs)
        return {"succeeded": done["succeeded"], "failed": [item.id for item in items if item not in good]}


@fault("#40226: UpsertResponse.failed is ignored", SILENT)
def test_documents_that_are_refused_are_an_error(side):
    given = [*documents(2), Document(page_content="bad", metadata={"source": "file.txt", "n": float("nan")})]
    destination = Strict() if side == "peer" else RetrieverVectorStore(ChromaStore(), Vectors(size=8))
    records = InMemoryRecordManager("docs") if side == "peer" else StoreRecordManager(destination)
    with pytest.raises(InvalidInput, match="'n'"):
        index(given, records, destination, **SHA)


@fault("#40226: documents that were refused are recorded, and skipped from then on")
def test_documents_that_are_refused_are_not_recorded(side):
    given = [Document(page_content="bad", metadata={"source": "file.txt", "n": float("nan")})]
    destination = Strict() if side == "peer" else RetrieverVectorStore(ChromaStore(), Vectors(size=8))
    records = InMemoryRecordManager("docs") if side == "peer" else StoreRecordManager(destination)
    with suppress(InvalidInput):
        index(given, records, destination, **SHA)
    assert records.list_keys() == []


@fault("SHA-1 default with a warning", UserWarning)
def test_the_defaults_need_no_warning(side, monkeypatch, app):
    """Which core gives once a process."""
    monkeypatch.setattr(core, "_WARNED_ABOUT_SHA1", False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if side == "peer":
            index(documents(), app.records, app.store)
        else:
            app.store.retriever.index(documents())
            app.store.add_documents(documents())
