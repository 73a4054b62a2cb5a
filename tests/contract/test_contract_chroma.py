"""The contract, kept by Chroma in memory, in a folder and on a server."""

import pytest

from retriever.testing import StoreContract
from retriever_chroma import ChromaStore


class ChromaContract(StoreContract):
    bm25_tolerance = 0.1  # tantivy keeps the length of a record in one byte
    examples_share = 0.3  # fifty times as slow as the others; make proofs asks for twenty times as many


class TestChromaInMemory(ChromaContract):
    cannot_reopen = "Chroma in memory is private to the object"

    @pytest.fixture
    def new_store(self, new_stores):
        return new_stores(lambda name: ChromaStore())


class TestChromaFolder(ChromaContract):
    @pytest.fixture
    def new_store(self, tmp_path, new_stores):
        return new_stores(lambda name: ChromaStore(path=tmp_path / name))


class TestChromaCollectionsOfOneFolder(ChromaContract):
    """Two indexes in one folder, as several collections of one Chroma."""

    examples_share = 0.1

    @pytest.fixture
    def new_store(self, tmp_path, new_stores):
        return new_stores(lambda name: ChromaStore(path=tmp_path, collection=name))


class TestChromaServer(ChromaContract):
    examples_share = 0.1

    @pytest.fixture
    def new_store(self, chroma, unique, new_stores, tmp_path, monkeypatch):
        monkeypatch.setenv("RETRIEVER_CACHE", str(tmp_path))
        return new_stores(lambda name: ChromaStore(host=chroma.host, port=chroma.port, collection=f"{unique}-{name}"))
