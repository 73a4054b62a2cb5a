"""Stages that add up to the time that passed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from retriever import Document, Retriever
from retriever.embedding.base import EmbeddingFunction, Role
from retriever.evaluation.load.stages import Span, Stages, index_stages, parts, query_stages
from retriever.memory import MemoryStore
from retriever.stores import Record

EMBEDDING, STORING, LOADING = 0.03, 0.05, 0.004


class Slow(EmbeddingFunction):
    """About as slow as a small model."""

    kind = "slow"
    dimension = 4

    def _embed(self, texts: Sequence[str], role: Role) -> np.ndarray:
        time.sleep(EMBEDDING)
        return np.random.default_rng(len(texts)).standard_normal((len(texts), 4))


class SlowStore(MemoryStore):
    """Slower than the embedding that goes on beside it."""

    def upsert(self, records: Sequence[Record]) -> None:
        time.sleep(STORING * len(records) / 256)
        super().upsert(records)


def documents(count: int) -> Iterator[Document]:
    for number in range(count):
        time.sleep(LOADING / 100)
        yield Document(f"{number}", f"number {number} of many")


def test_indexing_adds_up_though_storing_overlaps() -> None:
    stages = index_stages(SlowStore(), documents(1_000), Slow())
    assert abs(stages.residual) < 0.1  # a model takes seconds, not 30 ms a batch; the figures themselves say 2 %
    assert stages.behind["upsert"] > STORING * 3.5
    assert stages.seconds["embed"] > 1_000 / 32 * EMBEDDING
    # Embedding 256 texts takes longer than storing them, so nearly all of it costs nothing.
    assert stages.seconds["store"] < 0.6 * stages.behind["upsert"]


def test_a_query_adds_up() -> None:
    with Retriever.open(MemoryStore(), embedding=Slow()) as retriever:
        retriever.index(documents(200))
        stages = query_stages(retriever, ["number 5", "many", "of"], 10)
    assert stages.seconds["embed"] == pytest.approx(EMBEDDING, rel=0.5)
    assert set(stages.seconds) >= {"embed", "analyse", "legs", "fuse", "fetch", "explain"}
    assert 0 <= stages.residual < 0.02


def test_a_keyword_query_embeds_nothing() -> None:
    with Retriever.open(MemoryStore(), embedding=Slow()) as retriever:
        retriever.index(documents(50))
        stages = query_stages(retriever, ["number"], 3, mode="keyword")
    assert "embed" not in stages.seconds
    assert {"legs", "fuse", "fetch", "explain"} <= stages.seconds.keys()


def test_what_lies_between_calls_has_a_name() -> None:
    spans = [Span("legs", 12.0, 15.0), Span("embed", 10.0, 11.0), Span("fetch", 15.5, 16.0)]
    assert parts(spans, 18.0) == {"embed": 1.0, "analyse": 1.0, "legs": 3.0, "fuse": 0.5, "fetch": 0.5, "explain": 2.0}


def test_the_residual_is_what_no_stage_accounts_for() -> None:
    assert Stages(wall=10.0, seconds={"a": 6.0, "b": 3.0}).residual == pytest.approx(0.1)
    assert Stages(wall=0.0, seconds={}).residual == 0.0
