"""Answering queries: the legs that an index has, fused, with the reasons."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from retriever.fusion import Fused, fuse_legs, leg_weights, relative_scores
from retriever.keyword.analyser import Analyser
from retriever.mmr import maximal_marginal_relevance
from retriever.reranking import Reranker
from retriever.search_options import SearchOptions
from retriever.sparse.vector import SparseVector
from retriever.stores import Candidate, KeepsSparse, Legs, Query, Store
from retriever.types import Chunk, FloatVector, Hit, Leg


def asked(vector: FloatVector | None) -> FloatVector | None:
    """What the semantic leg is asked: nothing where the model knows no word of the query, and all texts are as near.

    :param vector: of the query.
    """
    return vector if vector is not None and vector.any() else None


@dataclass(frozen=True, slots=True)
class Searcher:
    """Searches one store.

    :param store: where to look.
    :param analyser: the one that the index was built with.
    """

    store: Store
    analyser: Analyser

    def search(
        self, query: str, vector: FloatVector | None, options: SearchOptions, sparse: SparseVector | None = None
    ) -> list[Hit]:
        """At most ``k`` hits, best first.

        :param query: a checked one; empty where only a vector is given.
        :param vector: the embedded query; None where ``options.needs_vector`` is false.
        :param options: how to search.
        :param sparse: the query's learned sparse vector; None where ``options.needs_sparse`` is false.
        """
        terms = self.analyser.terms(query)
        legs = self.store.search(
            Query(
                depth=options.depth,
                vector=asked(vector) if "semantic" in options.searched else None,
                terms=terms if "keyword" in options.searched else None,
                filter=options.filter,
                sparse=sparse if "sparse" in options.searched else None,
            )
        )
        rankings = rankings_of(legs, options.searched)
        ranked = _rank(rankings, options)
        cosines = dict(legs.semantic)
        if options.min_cosine is not None and vector is not None:
            cosines |= self._cosines([f.key for f in ranked if f.key not in cosines], vector)
            ranked = [fused for fused in ranked if cosines.get(fused.key, -2.0) >= options.min_cosine]
        reranked: list[Fused] = []
        if options.rerank is not None:
            ranked = reranked = self._reranked(query, ranked[: options.rerank_depth], options.rerank)
        if options.mmr is not None:
            ranked = self._diversified(
                ranked[: options.depth], options.mmr, is_cosine=options.mode == "semantic" and not reranked
            )
        page = ranked[options.offset : options.offset + options.k]
        chunks = self.store.fetch([fused.key for fused in page])
        page = [fused for fused in page if fused.key in chunks]
        dots = dict(legs.sparse)
        if options.mode == "hybrid" and vector is not None:
            cosines |= self._cosines([fused.key for fused in page if fused.key not in cosines], vector)
        if options.mode == "hybrid" and sparse is not None:
            dots |= self._dots([fused.key for fused in page if fused.key not in dots], sparse)
        explain = _Explainer(rankings, {"semantic": cosines, "sparse": dots}, reranked)
        return [explain.hit(f, chunks[f.key], self.analyser.shared(chunks[f.key].text, terms)) for f in page]

    def _dots(self, keys: Sequence[str], sparse: SparseVector) -> dict[str, float]:
        if not keys or not isinstance(self.store, KeepsSparse):
            return {}
        return {key: stored.dot(sparse) for key, stored in self.store.sparse_vectors(keys).items()}

    def _cosines(self, keys: Sequence[str], vector: FloatVector) -> dict[str, float]:
        if not keys:
            return {}
        norm = float(np.linalg.norm(vector))
        unit = vector / norm if norm else vector
        found = self.store.vectors(keys)
        return {key: min(1.0, max(-1.0, float(stored @ unit))) for key, stored in found.items()}  # rounding goes beyond

    def _reranked(self, query: str, ranked: Sequence[Fused], reranker: Reranker) -> list[Fused]:
        """In the reranker's order, with its scores; the earlier one first among equals."""
        chunks = self.store.fetch([fused.key for fused in ranked])
        there = [fused.key for fused in ranked if fused.key in chunks]
        scores = reranker.score(query, [chunks[key].text for key in there]).tolist()
        return sorted((Fused(key, score) for key, score in zip(there, scores, strict=True)), key=lambda f: -f.score)

    def _diversified(self, ranked: Sequence[Fused], balance: float, *, is_cosine: bool) -> list[Fused]:
        """In MMR order. Relevance is the cosine where the score is one, else the score stretched to 0 … 1."""
        vectors = self.store.vectors([fused.key for fused in ranked])
        ranked = [fused for fused in ranked if fused.key in vectors]  # others were deleted meanwhile
        if not ranked:
            return []
        stretched = relative_scores(ranked)
        relevance = [fused.score if is_cosine else stretched[fused.key] for fused in ranked]
        matrix = np.stack([vectors[fused.key] for fused in ranked])
        return [ranked[i] for i in maximal_marginal_relevance(np.array(relevance), matrix, balance)]


def rankings_of(legs: Legs, searched: Collection[str], depth: int | None = None) -> dict[str, Sequence[Candidate]]:
    """The legs that were asked; where they weigh the same, going by terms comes first.

    :param legs: what was found.
    :param searched: names of those that were asked.
    :param depth: how many candidates of each count; all by default.
    """
    found = {"keyword": legs.keyword, "sparse": legs.sparse, "semantic": legs.semantic}
    return {name: ranking[:depth] for name, ranking in found.items() if name in searched}


def weights_of(rankings: Mapping[str, Sequence[Candidate]], lexical: float, sparse: float) -> dict[str, float]:
    """What each leg of one query weighs.

    :param rankings: of the legs that were asked.
    :param lexical: share of keyword and sparse leg together, from 0 to 1.
    :param sparse: the sparse leg's part of that; where one of the two finds nothing, the other has all of it.
    """
    return leg_weights(lexical, _sparse_part(rankings, sparse))


def _rank(rankings: Mapping[str, Sequence[Candidate]], options: SearchOptions) -> list[Fused]:
    if options.mode != "hybrid":
        return [Fused(*candidate) for candidate in rankings[options.mode]]
    weights = weights_of(rankings, options.keyword_weight, options.sparse_weight)
    return fuse_legs(rankings, weights, method=options.fusion)


def _sparse_part(rankings: Mapping[str, Sequence[Candidate]], part: float) -> float:
    """Where one of the two that divide a share finds nothing, the other has all of it, as if it were alone."""
    if not 0 < part < 1:  # one of them has no say, or is not there
        return part
    if not rankings["sparse"]:
        return 0.0
    return part if rankings["keyword"] else 1.0


class _Explainer:
    """Puts rank and raw score of each leg beside a hit.

    :param rankings: of the legs that were asked.
    :param scores: by leg and key, also of candidates beyond the depth.
    :param reranked: what the reranker made of them.
    """

    def __init__(
        self,
        rankings: Mapping[str, Sequence[Candidate]],
        scores: Mapping[str, Mapping[str, float]],
        reranked: Sequence[Fused],
    ) -> None:
        self._ranks = {
            name: {key: rank for rank, (key, _) in enumerate(ranking, 1)} for name, ranking in rankings.items()
        }
        self._scores = scores
        self._bm25 = dict(rankings.get("keyword", ()))
        self._reranked = {fused.key: Leg(rank, fused.score) for rank, fused in enumerate(reranked, 1)}

    def hit(self, fused: Fused, chunk: Chunk, matched: Sequence[str]) -> Hit:
        key = fused.key
        legs: dict[str, Leg] = {}
        if "semantic" in self._ranks or key in self._scores["semantic"]:
            legs["semantic"] = self._leg("semantic", key, self._scores["semantic"].get(key))
        if "keyword" in self._ranks:
            # Beyond the leg's depth the score is not known, but without a shared term it is 0.
            legs["keyword"] = self._leg("keyword", key, self._bm25.get(key, None if matched else 0.0))
        if "sparse" in self._ranks:
            legs["sparse"] = self._leg("sparse", key, self._scores["sparse"].get(key))
        if key in self._reranked:
            legs["rerank"] = self._reranked[key]
        return Hit(chunk, fused.score, legs, tuple(matched))

    def _leg(self, name: str, key: str, score: float | None) -> Leg:
        return Leg(self._ranks.get(name, {}).get(key), score)
