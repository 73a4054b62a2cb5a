"""The searches of the vector store: every method that LangChain has for them, over those of the index."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore

from retriever import Hit, InvalidInput, Retriever
from retriever.search_options import DEPTH, MOST_DEPTH
from retriever.types import Mode
from retriever_langchain.asynchronous import asynchronous
from retriever_langchain.documents import to_document
from retriever_langchain.filters import FilterLike, to_filter

_ROUNDING = 1e-6
"""The cosine of two equal vectors may be this much less than 1."""


class Searches(VectorStore):
    """What a vector store over an index can be asked."""

    mode: Mode

    @property
    @abstractmethod
    def retriever(self) -> Retriever:
        """The index."""

    def similarity_search(
        self,
        query: str,
        k: int = 4,
        filter: FilterLike = None,  # noqa: A002 - LangChain's word
        *,
        mode: Mode | None = None,
        **settings: Any,
    ) -> list[Document]:
        """The best documents for a query.

        :param query: a question, words, an identifier.
        :param k: how many at most.
        :param filter: in our filter language, which Chroma's is a part of; or a filter of qdrant-client.
        :param mode: instead of the vector store's own.
        :param settings: others of :meth:`retriever.Retriever.search`.
        :raises InvalidInput: naming an argument that there is not, or that is out of range.
        :raises FilterError: for a filter that does not parse.
        """
        return [to_document(hit.chunk) for hit in self._search(query, k, filter, mode, settings)]

    def similarity_search_with_score(
        self,
        query: str,
        k: int = 4,
        filter: FilterLike = None,  # noqa: A002
        *,
        mode: Mode | None = None,
        **settings: Any,
    ) -> list[tuple[Document, float]]:
        """The same with scores, the higher the better: fused in hybrid mode, else cosine or BM25.

        :param query: as for :meth:`similarity_search`.
        :param k: as there.
        :param filter: as there.
        :param mode: as there.
        :param settings: as there.
        """
        return [(to_document(hit.chunk), hit.score) for hit in self._search(query, k, filter, mode, settings)]

    def similarity_search_with_relevance_scores(
        self,
        query: str,
        k: int = 4,
        *,
        filter: FilterLike = None,  # noqa: A002
        mode: Mode | None = None,
        score_threshold: float | None = None,
        **settings: Any,
    ) -> list[tuple[Document, float]]:
        """The same with relevance: ``(1 + cosine) / 2``, from 0 to 1, whatever the mode that found and ordered them.

        :param query: as for :meth:`similarity_search`.
        :param k: as there.
        :param filter: as there.
        :param mode: as there.
        :param score_threshold: leave out what is less relevant, before the best ``k`` are taken.
        :param settings: as there.
        """
        if score_threshold is not None:
            if settings.get("min_cosine") is not None:
                raise InvalidInput("score_threshold and min_cosine say the same: give one of them")
            settings["min_cosine"] = max(-1.0, 2 * _share(score_threshold, "score_threshold") - 1 - _ROUNDING)
        elif (mode or self.mode) == "keyword" and settings.get("min_cosine") is None:
            settings["min_cosine"] = -1.0  # cosines are not computed for keyword search otherwise
        hits = self._search(query, k, filter, mode, settings)
        return [(to_document(hit.chunk), relevance(hit.legs["semantic"].score)) for hit in hits]

    def similarity_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        filter: FilterLike = None,  # noqa: A002
        **settings: Any,
    ) -> list[Document]:
        """The documents closest to a vector.

        :param embedding: made by the index's embedding function.
        :param k: how many at most.
        :param filter: as for :meth:`similarity_search`.
        :param settings: ``offset``, ``depth``, ``min_cosine`` of :meth:`retriever.Retriever.search`.
        """
        hits = self._search_by_vector(embedding, k, filter, settings)
        return [to_document(hit.chunk) for hit in hits]

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: FilterLike = None,  # noqa: A002
        *,
        mode: Mode | None = None,
        **settings: Any,
    ) -> list[Document]:
        """Documents that are relevant and unlike each other, in the order in which they were chosen.

        :param query: as for :meth:`similarity_search`.
        :param k: as there.
        :param fetch_k: how many candidates to choose from; where it is less than ``k``, that many.
        :param lambda_mult: 1 for relevance alone, 0 for variety alone.
        :param filter: as there.
        :param mode: as there.
        :param settings: as there.
        """
        chosen = _diverse(k, fetch_k, lambda_mult, settings)
        return [to_document(hit.chunk) for hit in self._search(query, k, filter, mode, chosen)]

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: FilterLike = None,  # noqa: A002
        **settings: Any,
    ) -> list[Document]:
        """The same for a vector.

        :param embedding: as for :meth:`similarity_search_by_vector`.
        :param k: as there.
        :param fetch_k: as for :meth:`max_marginal_relevance_search`.
        :param lambda_mult: as there.
        :param filter: as there.
        :param settings: as for :meth:`similarity_search_by_vector`.
        """
        chosen = _diverse(k, fetch_k, lambda_mult, settings)
        return [to_document(hit.chunk) for hit in self._search_by_vector(embedding, k, filter, chosen)]

    asimilarity_search = asynchronous(similarity_search)
    asimilarity_search_with_score = asynchronous(similarity_search_with_score)
    asimilarity_search_with_relevance_scores = asynchronous(similarity_search_with_relevance_scores)
    asimilarity_search_by_vector = asynchronous(similarity_search_by_vector)
    amax_marginal_relevance_search = asynchronous(max_marginal_relevance_search)
    amax_marginal_relevance_search_by_vector = asynchronous(max_marginal_relevance_search_by_vector)

    def _search(self, query: str, k: int, given: FilterLike, mode: Mode | None, settings: dict[str, Any]) -> list[Hit]:
        return search(self.retriever, query, k, given, {**settings, "mode": mode or self.mode})

    def _search_by_vector(self, vector: list[float], k: int, given: FilterLike, settings: dict[str, Any]) -> list[Hit]:
        known = ("offset", "depth", "min_cosine", "mmr")
        if unknown := sorted(settings.keys() - {*known, "where_document"}):
            raise InvalidInput(f"a search by vector takes no {', '.join(unknown)}; it takes {', '.join(known)}")
        condition = to_filter(given, where_document=settings.pop("where_document", None))
        return self.retriever.search_by_vector(vector, k, filter=condition, **_deep_enough(k, settings))


def search(index: Retriever, query: str, k: int, given: FilterLike, settings: dict[str, Any]) -> list[Hit]:
    """Search an index, with a filter as LangChain's users write it and as many candidates as ``k`` needs.

    :param index: where.
    :param query: what for.
    :param k: how many hits at most.
    :param given: the filter.
    :param settings: others of :meth:`retriever.Retriever.search`.
    """
    settings = dict(settings)
    condition = to_filter(given, where_document=settings.pop("where_document", None))
    return index.search_batch([query], k, filter=condition, **_deep_enough(k, settings))[0]


def relevance(cosine: float | None) -> float:
    """How relevant a document of this cosine is, from 0 to 1.

    :param cosine: to the query; None where the record has no vector.
    """
    return 0.0 if cosine is None else min(1.0, max(0.0, (1 + cosine) / 2))


def _deep_enough(k: int, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with a depth: LangChain's ``k`` has no limit of its own."""
    return {"depth": min(MOST_DEPTH, max(DEPTH, _reach(k, settings))), **settings}


def _diverse(k: int, fetch_k: int, lambda_mult: float, settings: dict[str, Any]) -> dict[str, Any]:
    if given := sorted(settings.keys() & {"mmr", "depth"}):
        raise InvalidInput(f"this search takes no {', '.join(given)}: mmr is lambda_mult here, and depth is fetch_k")
    if not isinstance(fetch_k, int) or isinstance(fetch_k, bool) or fetch_k < 1:
        raise InvalidInput(f"fetch_k is {fetch_k!r}: it is a whole number, at least 1")
    depth = min(MOST_DEPTH, max(fetch_k, _reach(k, settings)))
    return {**settings, "mmr": _share(lambda_mult, "lambda_mult"), "depth": depth}


def _reach(k: object, settings: dict[str, Any]) -> int:
    """How many candidates are asked for; what is no number is refused by the search itself."""
    return sum(value for value in (k, settings.get("offset", 0)) if isinstance(value, int))


def _share(value: float, what: str) -> float:
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InvalidInput(f"{what} is {value!r}: it is a number from 0 to 1")
    return value
