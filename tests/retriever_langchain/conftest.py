"""Places for vector stores."""

import sys
from pathlib import Path

import pytest

from retriever import MemoryStore
from retriever.testing.servers import chroma_server
from retriever_langchain import RetrieverVectorStore

sys.path.append(str(Path(__file__).parent))  # with --import-mode=importlib pytest leaves it out
from langchain_samples import Watched
from places import PLACES, make_store


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Nothing goes to the user's cache folder."""
    monkeypatch.setenv("RETRIEVER_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def chroma(tmp_path_factory):
    """A Chroma server of this session's own."""
    with chroma_server(tmp_path_factory.mktemp("chroma-server")) as server:
        yield server


@pytest.fixture(params=PLACES)
def store(request, tmp_path, chroma):
    """An empty store in each of the places."""
    made = make_store(request.param, tmp_path, chroma)
    yield made
    made.destroy()
    made.close()


@pytest.fixture
def embeddings():
    return Watched()


@pytest.fixture
def everywhere(store, embeddings):
    """An empty vector store in each of the places."""
    return RetrieverVectorStore(store, embeddings)


@pytest.fixture
def vectors(embeddings):
    """An empty vector store in memory."""
    return RetrieverVectorStore(MemoryStore(), embeddings)
