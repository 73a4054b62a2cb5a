"""Why queries failed: for each one the last place where its answer was still there. The shares add up to 100 %."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from retriever.evaluation.answering import Advance, Answers, Setting, quiet
from retriever.evaluation.exact import Ranks, keyword_ranks, semantic_ranks, sparse_ranks
from retriever.evaluation.judgements import Judgements, Span
from retriever.evaluation.spans import covers
from retriever.filters import Filter, FilterInput, Reserved, matches, matching, parse_filter
from retriever.fusion import Fused
from retriever.keyword.analyser import Analyser
from retriever.retriever import Retriever
from retriever.types import Chunk

Reason = Literal[
    "not in any chunk",
    "not in the exact top 100",
    "not among the candidates",
    "lost by approximate search",
    "lost by the filter",
    "ranked too low",
    "lost by fusion",
    "lost by the reranker",
    "found",
]
"""From the earliest loss to none. A query with several answers has the reason of the one that came furthest."""

REASONS: tuple[Reason, ...] = get_args(Reason)

MEANINGS: Mapping[Reason, str] = {
    "not in any chunk": "not indexed, or its answer was cut in two: larger chunks",
    "not in the exact top 100": "neither words nor meaning are near: another model",
    "not among the candidates": "no leg found it",
    "lost by approximate search": "an exact search finds it: a finer index",
    "lost by the filter": "the filter forbids it",
    "ranked too low": "no leg has it among its first: a reranker",
    "lost by fusion": "one leg had it in time: retriever tune",
    "lost by the reranker": "it was there before: another reranker, or none",
    "found": "a relevant document is there",
}
"""What each reason says, and what helps."""

TOP = 100
MOST_EXACT = 100_000
"""Chunks beyond which exact search is left out unless it is asked for."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A query without a relevant document among the first k.

    :param query: its id.
    :param text: what was asked.
    :param reason: where the answer was lost.
    :param document: the relevant document that came furthest.
    :param ranks: best rank of its gold chunks in each leg's candidates, in the fused ranking (``fused``), and in an
        exact search (``exact semantic``, ``exact keyword``, ``exact sparse``); what is not there was not reached.
    :param chunk: the gold chunk, to look at; None where there is none.
    """

    query: str
    text: str
    reason: Reason
    document: str
    ranks: Mapping[str, int]
    chunk: Chunk | None

    @property
    def page(self) -> str | None:
        """Page of the gold chunk, where its document has pages."""
        value = self.chunk.metadata.get("page") if self.chunk else None
        return None if value is None else str(value)


@dataclass(frozen=True, slots=True)
class Waterfall:
    """Where the answers were lost.

    :param k: how many documents a query has to have its answer among.
    :param found: ids of the queries that have.
    :param failures: the others.
    :param exact: whether exact search was looked at.
    """

    k: int
    found: Sequence[str]
    failures: Sequence[Failure]
    exact: bool

    @property
    def counts(self) -> dict[Reason, int]:
        """How many queries each reason has; they add up to all."""
        counts = dict.fromkeys(REASONS, 0)
        counts["found"] = len(self.found)
        for failure in self.failures:
            counts[failure.reason] += 1
        return counts

    @property
    def shares(self) -> dict[Reason, float]:
        """Of all queries; they add up to 1."""
        total = len(self.found) + len(self.failures)
        return {reason: count / total if total else 0.0 for reason, count in self.counts.items()}


def explain_failures(
    retriever: Retriever,
    judgements: Judgements,
    answers: Answers,
    setting: Setting,
    *,
    reranked: Mapping[str, Sequence[Fused]] | None = None,
    filter: FilterInput = None,  # noqa: A002 - the field's word
    k: int = 10,
    exact: bool | None = None,
    progress: Advance = quiet,
) -> Waterfall:
    """Find out where each query lost its answer.

    Queries without a relevant document have nothing to lose and are left out.

    :param retriever: the index.
    :param judgements: with ids as hits show them, see :func:`retriever.evaluation.matching.match_documents`.
    :param answers: of all legs, or of the one that ``setting`` uses, with ``filter``.
    :param setting: how the legs were fused.
    :param reranked: what a reranker made of it, where there was one.
    :param filter: with which ``answers`` were found.
    :param k: how many documents a query has to have its answer among.
    :param exact: whether to compute exact ranks, for which every record is read; by default up to
        :data:`MOST_EXACT` chunks.
    :param progress: told how far it is.
    """
    rankings = answers.rankings(setting)
    final = rankings if reranked is None else reranked
    failed: list[str] = []
    found: list[str] = []
    for query in judgements.queries:
        relevant = judgements.relevant(query)
        if relevant:
            first = answers.documents(final.get(query, ()), k)
            (found if any(document in relevant for document, _ in first) else failed).append(query)
    condition = parse_filter(filter)
    exact = retriever.store.count() <= MOST_EXACT if exact is None else exact
    gold = _Gold.read(retriever, judgements, failed, condition)
    ranks = _exact_ranks(retriever, answers, setting, gold, condition, progress) if exact and failed else None
    tracer = _Tracer(answers, setting, rankings, gold, ranks, k, is_reranked=reranked is not None)
    return Waterfall(k, found, [tracer.failure(judgements, query) for query in failed], exact)


@dataclass(slots=True)
class _Gold:
    """The chunks that hold answers of the failed queries."""

    chunks: dict[str, Chunk] = field(default_factory=dict)
    keys: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    """By query and document."""
    forbidden: set[str] = field(default_factory=set)
    """Keys that the filter leaves out."""

    @classmethod
    def read(cls, retriever: Retriever, judged: Judgements, failed: Sequence[str], condition: Filter | None) -> _Gold:
        gold, store = cls(), retriever.store
        documents = sorted({document for query in failed for document in judged.relevant(query)})
        by_document: dict[str, list[str]] = defaultdict(list)
        for start in range(0, len(documents), TOP):
            page = matching(documents[start : start + TOP], Reserved.DOCUMENT)
            keys = [store.key(entry.chunk_id) for entry in store.entries(page)]
            for key, chunk in store.fetch(keys).items():
                gold.chunks[key] = chunk
                by_document[chunk.document_id].append(key)
        gold.forbidden = {key for key, chunk in gold.chunks.items() if not matches(condition, chunk)}
        for query in failed:
            for document in judged.relevant(query):
                spans = [span for span in judged.spans.get(query, ()) if span.document == document]
                gold.keys[query, document] = gold.holding(by_document.get(document, []), spans)
        return gold

    def holding(self, keys: Sequence[str], spans: Sequence[Span]) -> list[str]:
        """Those that the filter allows, if there are any; with spans, those that hold a whole one."""
        holding = [key for key in keys if not spans or any(covers(_place(self.chunks[key]), span) for span in spans)]
        return [key for key in holding if key not in self.forbidden] or holding

    def wanted(self, *, forbidden: bool) -> dict[str, set[str]]:
        """Keys by query, of those the filter leaves out or of the others."""
        wanted: dict[str, set[str]] = defaultdict(set)
        for (query, _), keys in self.keys.items():
            wanted[query] |= {key for key in keys if (key in self.forbidden) == forbidden}
        return {query: keys for query, keys in wanted.items() if keys}


def _exact_ranks(
    retriever: Retriever,
    answers: Answers,
    setting: Setting,
    gold: _Gold,
    condition: Filter | None,
    progress: Advance,
) -> dict[str, Ranks]:
    """Ranks by leg: of what the filter allows among what it allows, of the others among all records."""
    store, ranks = retriever.store, {leg: Ranks() for leg in setting.searched}
    everything = [store.key(entry.chunk_id) for entry in store.entries()]
    allowed = everything if condition is None else [store.key(entry.chunk_id) for entry in store.entries(condition)]
    for forbidden, keys in ((False, allowed), (True, everything)):
        wanted = gold.wanted(forbidden=forbidden)
        if not wanted:
            continue
        texts = [answers.queries[query] for query in wanted]
        if "semantic" in ranks:
            vectors = dict(zip(wanted, retriever.embedding.embed_queries(texts), strict=True))
            ranks["semantic"] |= semantic_ranks(store, keys, vectors, wanted, progress)
        if "sparse" in ranks and retriever.sparse is not None:
            encoded = dict(zip(wanted, retriever.sparse.encode_queries(texts), strict=True))
            ranks["sparse"] |= sparse_ranks(store, keys, encoded, wanted, progress)
        if "keyword" in ranks:
            analyser, counted = Analyser(retriever.manifest.analyser), set(keys)
            ranks["keyword"] |= keyword_ranks(
                store, everything, analyser, answers.queries, wanted, progress, counted=counted
            )
    return ranks


@dataclass(frozen=True, slots=True)
class _Tracer:
    answers: Answers
    setting: Setting
    rankings: Mapping[str, Sequence[Fused]]
    gold: _Gold
    exact: Mapping[str, Ranks] | None
    k: int
    is_reranked: bool

    def failure(self, judged: Judgements, query: str) -> Failure:
        """The relevant document that came furthest; among equals the one that is nearest to the top."""
        traced = [self._document(query, document) for document in sorted(judged.relevant(query))]
        document, reason, ranks, key = max(traced, key=lambda found: (REASONS.index(found[1]), -_nearest(found[2])))
        return Failure(query, judged.queries[query], reason, document, ranks, self.gold.chunks.get(key or ""))

    def _document(self, query: str, document: str) -> tuple[str, Reason, dict[str, int], str | None]:
        keys = self.gold.keys[query, document]
        ranks: dict[str, int] = {}
        rankings = self.setting.rankings(self.answers.legs[query])
        for leg in self.setting.searched:
            self._note(ranks, leg, {c.key: rank for rank, c in enumerate(rankings[leg], 1)}, keys)
            exact = {key: r for key in keys if (r := self._exact(leg, query, key)) is not None}
            self._note(ranks, f"exact {leg}", exact, keys)
        self._note(ranks, "fused", {f.key: rank for rank, f in enumerate(self.rankings[query], 1)}, keys)
        return document, self._reason(query, document, keys, ranks), ranks, self._best(query, keys)

    def _reason(self, query: str, document: str, keys: Sequence[str], ranks: Mapping[str, int]) -> Reason:
        if not keys:
            return "not in any chunk"
        if self.is_reranked and self._among_first(document, self.rankings[query]):
            return "lost by the reranker"
        if self.exact is not None and not self._is_near(ranks):
            return "not in the exact top 100"
        if all(key in self.gold.forbidden for key in keys):
            return "lost by the filter"
        if "fused" not in ranks:
            return "not among the candidates" if self.exact is None else "lost by approximate search"
        if self.setting.mode == "hybrid" and self._in_time(query, document):
            return "lost by fusion"
        return "ranked too low"

    def _is_near(self, ranks: Mapping[str, int]) -> bool:
        """Whether it is in the top 100 of a leg, by exact search or by the store's."""
        top = min(TOP, self.setting.depth)
        return any(min(ranks.get(leg, top + 1), ranks.get(f"exact {leg}", top + 1)) <= top for leg in self.exact or ())

    def _in_time(self, query: str, document: str) -> bool:
        legs = self.setting.rankings(self.answers.legs[query]).values()
        return any(self._among_first(document, [Fused(*candidate) for candidate in leg]) for leg in legs)

    def _among_first(self, document: str, ranking: Sequence[Fused]) -> bool:
        return any(name == document for name, _ in self.answers.documents(ranking, self.k))

    def _exact(self, leg: str, query: str, key: str) -> int | None:
        return None if self.exact is None else self.exact[leg].get((query, key))

    @staticmethod
    def _note(ranks: dict[str, int], name: str, known: Mapping[str, int], keys: Sequence[str]) -> None:
        there = [known[key] for key in keys if key in known]
        if there:
            ranks[name] = min(there)

    def _best(self, query: str, keys: Sequence[str]) -> str | None:
        """The gold chunk to look at: the one that was ranked best."""
        place = {fused.key: rank for rank, fused in enumerate(self.rankings[query])}
        return min(keys, key=lambda key: place.get(key, len(place)), default=None)


def _place(chunk: Chunk) -> Span:
    return Span(chunk.document_id, chunk.start, chunk.end)


def _nearest(ranks: Mapping[str, int]) -> int:
    return min(ranks.values(), default=2**31)
