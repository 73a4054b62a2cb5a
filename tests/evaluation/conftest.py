"""A small index whose texts say where they will be found, and stores and rerankers that lose things."""

import sys
from pathlib import Path

import pytest

from retriever import ChunkerConfig, Document, Retriever
from retriever.memory import MemoryStore
from retriever.registry import register
from retriever.reranking import Reranker
from retriever.stores import Legs, Query
from retriever.testing import CountingSparse

sys.path.append(str(Path(__file__).parent))  # with --import-mode=importlib pytest leaves it out

FILLER = [
    "harbour",
    "lantern",
    "granite",
    "meadow",
    "copper",
    "thistle",
    "anchor",
    "velvet",
    "orchard",
    "timber",
    "falcon",
    "marble",
]


class ForgetfulStore(MemoryStore):
    """Approximate search at its worst: a chunk that says "forgotten" is never among the candidates."""

    def search(self, query: Query) -> Legs:
        legs = super().search(query)
        texts = {
            key: chunk.text
            for key, chunk in self.fetch(
                [c.key for leg in (legs.semantic, legs.keyword, legs.sparse) for c in leg]
            ).items()
        }
        return Legs(
            *([c for c in leg if "forgotten" not in texts[c.key]] for leg in (legs.semantic, legs.keyword, legs.sparse))
        )


class Longest(Reranker):
    """Prefers long texts, whatever was asked."""

    kind = "longest"

    def _score(self, query, texts):
        return [len(text) for text in texts]


@pytest.fixture
def forgetful():
    yield from _registered("retriever.stores", "forgetful", ForgetfulStore)


@pytest.fixture
def longest():
    yield from _registered("retriever.rerankers", "longest", Longest)


@pytest.fixture
def terms():
    CountingSparse.reset()
    yield from _registered("retriever.sparse", "counting", CountingSparse)


def _registered(group, name, cls):
    unregister = register(group, name, cls)
    yield cls
    unregister()


@pytest.fixture
def build():
    """Index texts by id; one chunk a document unless a chunker is given."""
    opened = []

    def index(texts, store="memory:", *, chunker=None, metadata=None, **legs):
        retriever = Retriever.open(store, embedding="hashed", chunker=chunker or ChunkerConfig(kind="whole"), **legs)
        opened.append(retriever)
        documents = [Document(name, text, (metadata or {}).get(name, {})) for name, text in texts.items()]
        assert not retriever.index(documents, source="s").failed
        return retriever

    yield index
    for retriever in opened:
        retriever.close()


@pytest.fixture
def filler():
    """Texts that have nothing to do with anything."""
    return lambda count: {
        f"filler-{i}": " ".join(FILLER[(i + j * (1 + i % 5)) % len(FILLER)] for j in range(6)) for i in range(count)
    }
