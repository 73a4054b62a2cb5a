"""Where the time goes: spans on one clock, which have to add up to the time that passed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, Unpack, cast

import numpy as np
from numpy.typing import ArrayLike

from retriever.chunking import ChunkerConfig
from retriever.embedding import EmbeddingFunction
from retriever.embedding.base import Role
from retriever.evaluation.load.latency import Figure
from retriever.retriever import Retriever
from retriever.search_options import SearchSettings
from retriever.stores import Store
from retriever.tokeniser import Tokeniser
from retriever.types import Document, FloatMatrix

LOAD, EMBED, LEGS, FETCH, VECTORS, UPSERT = "load", "embed", "legs", "fetch", "cosines", "upsert"
_OF_STORE = {"search": LEGS, "fetch": FETCH, "vectors": VECTORS, "upsert": UPSERT}
_BETWEEN = {EMBED: "analyse", LEGS: "fuse", FETCH: "explain", VECTORS: "explain"}
"""What a search does once such a call has returned, until the next one or its own end."""


class Stages(Figure):
    """Seconds by stage.

    :param wall: that passed.
    :param seconds: of them by stage; each moment belongs to one stage at most.
    :param behind: work of other threads while these stages went on: it costs no time of its own.
    """

    wall: float
    seconds: Mapping[str, float]
    behind: Mapping[str, float] = {}

    @property
    def residual(self) -> float:
        """Share of the time that no stage accounts for, from 0 to 1."""
        return 1 - sum(self.seconds.values()) / self.wall if self.wall else 0.0


class Span(NamedTuple):
    """One call.

    :param name: of the stage.
    :param began: by ``time.perf_counter``.
    :param ended: as well.
    """

    name: str
    began: float
    ended: float


@dataclass(slots=True)
class Spans:
    """Calls, as they end."""

    noted: list[Span] = field(default_factory=list)

    def timed(self, name: str, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        """Make a call and note it.

        :param name: of the stage.
        :param call: what to call.
        :param arguments: of the call.
        :param named: arguments of the call.
        """
        began = time.perf_counter()
        try:
            return call(*arguments, **named)
        finally:
            self.noted.append(Span(name, began, time.perf_counter()))

    def total(self, name: str) -> float:
        """Seconds of all calls of one stage.

        :param name: of the stage.
        """
        return sum(span.ended - span.began for span in self.noted if span.name == name)


class _WatchedStore:
    """A store whose calls are noted; otherwise it is that store."""

    def __init__(self, store: Store, spans: Spans) -> None:
        self._store = store
        self._spans = spans

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        attribute = getattr(self._store, name)
        return partial(self._spans.timed, _OF_STORE[name], attribute) if name in _OF_STORE else attribute


def watched_store(store: Store, spans: Spans) -> Store:
    """The same store, with a note of each call.

    :param store: is used, and closed by whoever closes this one.
    :param spans: where calls are noted.
    """
    return cast("Store", _WatchedStore(store, spans))


class WatchedEmbedding(EmbeddingFunction):
    """An embedding function whose calls are noted; otherwise it is that function.

    :param inner: embeds.
    :param spans: where calls are noted.
    """

    def __init__(self, inner: EmbeddingFunction, spans: Spans) -> None:
        super().__init__(inner.config)
        self.__dict__["kind"] = inner.kind  # an index compares it
        self._inner = inner
        self._spans = spans

    @property
    def dimension(self) -> int:
        """That of the inner one, as is all below."""
        return self._inner.dimension

    @property
    def name(self) -> str:
        """As given."""
        return self._inner.name

    @property
    def fingerprint(self) -> dict[str, str]:
        """As given."""
        return self._inner.fingerprint

    @property
    def max_tokens(self) -> int | None:
        """As given."""
        return self._inner.max_tokens

    @property
    def tokeniser(self) -> Tokeniser | None:
        """As given."""
        return self._inner.tokeniser

    def prompt_tokens(self, role: Role) -> int:
        """As given."""
        return self._inner.prompt_tokens(role)

    def embed_documents(self, texts: Sequence[str], *, warn: bool = True, fresh: bool = False) -> FloatMatrix:
        """Noted."""
        return cast("FloatMatrix", self._spans.timed(EMBED, self._inner.embed_documents, texts, warn=warn, fresh=fresh))

    def embed_queries(self, texts: Sequence[str], *, warn: bool = True, fresh: bool = False) -> FloatMatrix:
        """Noted."""
        return cast("FloatMatrix", self._spans.timed(EMBED, self._inner.embed_queries, texts, warn=warn, fresh=fresh))

    def _embed(self, texts: Any, role: Role) -> ArrayLike:  # noqa: ANN401
        return self._inner._embed(texts, role)


def index_stages(
    store: Store, documents: Iterable[Document], embedding: EmbeddingFunction, chunker: ChunkerConfig | None = None
) -> Stages:
    """Index documents into a new index, and say where the time went.

    The stages are those of :attr:`retriever.report.IndexReport.seconds`, which are of the thread that indexes: load,
    chunk, plan, embed, store (only what embedding does not hide), optimise. ``behind`` says for how long the store was
    busy in all.

    :param store: empty; stays open.
    :param documents: read once; reading them is the stage ``load``.
    :param embedding: for real; its model is loaded before the clock starts.
    :param chunker: as for :meth:`retriever.Retriever.open`.
    """
    embedding.embed_query("warm")
    spans = Spans()
    retriever = Retriever.open(watched_store(store, spans), embedding=embedding, chunker=chunker)
    began = time.perf_counter()
    report = retriever.index(documents)
    wall = time.perf_counter() - began
    return Stages(wall=wall, seconds=dict(report.seconds), behind={UPSERT: spans.total(UPSERT)})


def query_stages(
    retriever: Retriever, queries: Sequence[str], k: int = 10, **settings: Unpack[SearchSettings]
) -> Stages:
    """Ask queries one after the other, and say where the time goes: the median query, stage by stage.

    Calls of the embedding function and of the store are noted. What lies between two of them has a name as well: a
    search analyses the query after embedding it, fuses after its legs have answered, explains after it has fetched.
    Before the first such call nothing is named: that is the residual.

    :param retriever: stays open; a second one over the same store asks.
    :param queries: at least one.
    :param k: hits a query.
    :param settings: the keyword arguments of :meth:`retriever.Retriever.search`.
    """
    spans = Spans()
    watched = Retriever.open(
        watched_store(retriever.store, spans), embedding=WatchedEmbedding(retriever.embedding, spans)
    )
    watched.search(queries[0], k, **settings)  # verifies the embedding function
    each: list[tuple[float, dict[str, float]]] = []
    for query in queries:
        spans.noted.clear()
        began = time.perf_counter()
        watched.search(query, k, **settings)
        ended = time.perf_counter()
        each.append((ended - began, parts(spans.noted, ended)))
    wall = float(np.median([wall for wall, _ in each]))
    middle = sorted(each, key=lambda item: item[0])[(len(each) - 1) // 2 : len(each) // 2 + 1]
    names = dict.fromkeys(name for _, seconds in middle for name in seconds)
    means = {name: float(np.mean([seconds.get(name, 0.0) for _, seconds in middle])) for name in names}
    return Stages(wall=wall, seconds=means)


def parts(spans: Sequence[Span], ended: float) -> dict[str, float]:
    """Seconds by stage of one search: its calls, and what it did after each.

    :param spans: of its calls, which did not overlap.
    :param ended: when the search returned.
    """
    seconds: dict[str, float] = {}
    ordered = sorted(spans, key=lambda span: span.began)
    following = [span.began for span in ordered[1:]] + [ended]
    for span, then in zip(ordered, following, strict=True):
        after = _BETWEEN.get(span.name, span.name)
        seconds[span.name] = seconds.get(span.name, 0.0) + span.ended - span.began
        seconds[after] = seconds.get(after, 0.0) + then - span.ended
    return seconds
