"""Asking an index the queries of a judged set once, and keeping what each leg found.

Fusing anew with another weight, method or depth then repeats no search.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from retriever.errors import InvalidInput
from retriever.evaluation.judgements import Span
from retriever.evaluation.runs import Run, Scored, best_documents
from retriever.filters import FilterInput
from retriever.fusion import Fused, Method, fuse_legs
from retriever.keyword.analyser import Analyser
from retriever.reranking import RerankInput, resolve_reranker
from retriever.retriever import Retriever
from retriever.search_options import DEPTH, LEGS, RERANK_DEPTH, SearchOptions, check_query
from retriever.searching import asked, rankings_of, weights_of
from retriever.stores import Candidate, Legs, Query, Store
from retriever.types import Mode

HITS = 100
"""Documents of a ranking that are kept for measuring."""

_BATCH = 32
_PAGE = 1_000

Advance = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""


def quiet(doing: str, done: int, total: int) -> None:
    """Tell nobody.

    :param doing: what is done.
    :param done: how much.
    :param total: of how much.
    """


@dataclass(frozen=True, slots=True)
class Setting:
    """How the legs become one ranking; the words are those of :meth:`retriever.Retriever.search`."""

    mode: Mode = "hybrid"
    fusion: Method = "relative"
    keyword_weight: float = 0.5
    depth: int = DEPTH
    sparse_weight: float = 0.0
    legs: tuple[str, ...] = LEGS

    @classmethod
    def of(cls, options: SearchOptions) -> Setting:
        """The setting with which a search would rank.

        :param options: of the search.
        """
        fused = (options.fusion, options.keyword_weight, options.depth, options.sparse_weight)
        return cls(options.mode, *fused, options.legs)

    @property
    def searched(self) -> tuple[str, ...]:
        """The legs that it ranks by."""
        return self.legs if self.mode == "hybrid" else (self.mode,)

    def rankings(self, legs: Legs) -> dict[str, Sequence[Candidate]]:
        """The candidates that count, by leg.

        :param legs: what was found, at least ``depth`` deep.
        """
        return rankings_of(legs, self.searched, self.depth)

    def rank(self, legs: Legs) -> list[Fused]:
        """Store keys, best first.

        :param legs: what was found, at least ``depth`` deep.
        """
        rankings = self.rankings(legs)
        if self.mode != "hybrid":
            return [Fused(*candidate) for candidate in rankings[self.mode]]
        weights = weights_of(rankings, self.keyword_weight, self.sparse_weight)
        return fuse_legs(rankings, weights, method=self.fusion)


@dataclass(frozen=True, slots=True)
class Answers:
    """What each leg found for each query.

    :param queries: text by id.
    :param legs: candidates by query id; their keys are the store's.
    :param depth: how many candidates a leg has at most.
    :param places: where each candidate is: document and span, by key.
    """

    queries: Mapping[str, str]
    legs: Mapping[str, Legs]
    depth: int
    places: Mapping[str, Span]

    def rankings(self, setting: Setting) -> dict[str, list[Fused]]:
        """Chunks by query, best first.

        :param setting: how to fuse.
        :raises InvalidInput: for a greater depth than was searched.
        """
        if setting.depth > self.depth:
            raise InvalidInput(f"the legs were searched {self.depth} deep, not {setting.depth}: answer again, deeper")
        return {query: setting.rank(legs) for query, legs in self.legs.items()}

    def run(self, setting: Setting, k: int = HITS) -> dict[str, list[Scored]]:
        """Documents by query, each where its best chunk is.

        :param setting: how to fuse.
        :param k: how many documents at most.
        """
        return {query: self.documents(ranked, k) for query, ranked in self.rankings(setting).items()}

    def documents(self, ranked: Iterable[Fused], k: int = HITS) -> list[Scored]:
        """Documents of a ranking of chunks. Those deleted since they were found are left out.

        :param ranked: keys, best first.
        :param k: how many documents at most.
        """
        return best_documents((self.places[f.key].document, f.score) for f in ranked if f.key in self.places)[:k]

    def spans(self, setting: Setting, k: int = 10) -> dict[str, list[Span]]:
        """Chunks by query, as places in documents; for :func:`retriever.evaluation.spans.span_measures`.

        :param setting: how to fuse.
        :param k: how many chunks at most.
        """
        rankings = self.rankings(setting)
        return {q: [self.places[f.key] for f in ranked[:k] if f.key in self.places] for q, ranked in rankings.items()}


def answer(
    retriever: Retriever,
    queries: Mapping[str, str],
    *,
    depth: int = DEPTH,
    mode: Mode = "hybrid",
    filter: FilterInput = None,  # noqa: A002 - the field's word
    progress: Advance = quiet,
) -> Answers:
    """Ask every query, once.

    :param retriever: the index.
    :param queries: text by id.
    :param depth: candidates a leg.
    :param mode: ``hybrid`` for all legs that the index has; with ``keyword`` no model is loaded.
    :param filter: holds in all legs.
    :param progress: told how far it is.
    :raises InvalidInput: for a blank query, or a leg that the index has not.
    """
    options = SearchOptions.make(1, {"mode": mode, "depth": depth, "filter": filter}, retriever.search_defaults)
    analyser = Analyser(retriever.manifest.analyser)
    sparse_model = retriever.sparse if options.needs_sparse else None
    legs: dict[str, Legs] = {}
    names = list(queries)
    for start in range(0, len(names), _BATCH):
        batch = names[start : start + _BATCH]
        texts = [check_query(queries[name]) for name in batch]
        nothing = [None] * len(texts)
        vectors = list(retriever.embedding.embed_queries(texts)) if options.needs_vector else nothing
        sparse = nothing if sparse_model is None else sparse_model.encode_queries(texts)
        for name, text, vector, weights in zip(batch, texts, vectors, sparse, strict=True):
            terms = analyser.terms(text) if "keyword" in options.searched else None
            legs[name] = retriever.store.search(Query(depth, asked(vector), terms, options.filter, weights))
        progress("asking", len(legs), len(names))
    candidates = (leg for found in legs.values() for leg in rankings_of(found, options.searched).values())
    keys = dict.fromkeys(candidate.key for leg in candidates for candidate in leg)
    return Answers(queries, legs, depth, read_places(retriever.store, list(keys), progress))


def read_places(store: Store, keys: Sequence[str], progress: Advance = quiet) -> dict[str, Span]:
    """Document and span of records, without their texts.

    :param store: where they are.
    :param keys: of the records.
    :param progress: told how far it is.
    """
    places: dict[str, Span] = {}
    remaining = iter(keys)
    while page := list(islice(remaining, _PAGE)):
        places |= {key: Span(c.document_id, c.start, c.end) for key, c in store.fetch(page).items()}
        progress("reading what was found", len(places), len(keys))
    return places


def rerank(
    retriever: Retriever,
    answers: Answers,
    rankings: Mapping[str, Sequence[Fused]],
    reranker: RerankInput,
    *,
    depth: int = RERANK_DEPTH,
    progress: Advance = quiet,
) -> dict[str, list[Fused]]:
    """Order the best candidates anew, as :meth:`retriever.Retriever.search` does it.

    :param retriever: the index.
    :param answers: for the texts of the queries.
    :param rankings: chunks by query.
    :param reranker: a reranker or its name.
    :param depth: how many candidates it reads; no others are in the result.
    :param progress: told how far it is.
    """
    judge, ordered = resolve_reranker(reranker), dict[str, list[Fused]]()
    for query, ranked in rankings.items():
        chunks = retriever.store.fetch([fused.key for fused in ranked[:depth]])
        there = [fused.key for fused in ranked[:depth] if fused.key in chunks]
        scores = judge.score(answers.queries[query], [chunks[key].text for key in there]).tolist() if there else []
        again = (Fused(key, score) for key, score in zip(there, scores, strict=True))
        ordered[query] = sorted(again, key=lambda fused: -fused.score)
        progress("reranking", len(ordered), len(rankings))
    return ordered


def document_run(answers: Answers, rankings: Mapping[str, Sequence[Fused]], k: int = HITS) -> Run:
    """Documents by query from rankings of chunks.

    :param answers: to which the chunks belong.
    :param rankings: chunks by query.
    :param k: how many documents at most.
    """
    return {query: answers.documents(ranked, k) for query, ranked in rankings.items()}
