"""How to search: what a caller says, and what is used where nothing is said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypedDict, get_args

import numpy as np
from numpy.typing import ArrayLike

from retriever.errors import InvalidInput
from retriever.filters import Filter, FilterInput, parse_filter
from retriever.fusion import Method, keyword_weight, sparse_weight
from retriever.manifest import Manifest
from retriever.metadata import check_text
from retriever.reranking import Reranker, RerankInput, resolve_reranker
from retriever.types import FloatVector, Mode

DEPTH = 200
"""Candidates a leg, by default."""
MOST_DEPTH = 100_000
RERANK_DEPTH = 50
"""Candidates that a reranker reads, by default."""
LEGS = ("semantic", "keyword")
"""Of an index without a learned sparse model."""


class SearchSettings(TypedDict, total=False):
    """The keyword arguments of :meth:`retriever.Retriever.search`."""

    offset: int
    mode: Mode
    filter: FilterInput
    depth: int | None
    fusion: Method | None
    keyword_weight: float | None
    sparse_weight: float | None
    min_cosine: float | None
    rerank: RerankInput | None
    rerank_depth: int
    mmr: float | None


class Defaults(NamedTuple):
    """What a search uses where the caller does not say.

    :param keyword_weight: share of the keyword leg, from 0 to 1.
    :param fusion: how the legs are fused.
    :param depth: candidates a leg; where more hits are asked for than that, :data:`DEPTH`.
    :param sparse_weight: the sparse leg's part of that share, where there is a keyword leg as well.
    :param legs: that the index has.
    """

    keyword_weight: float
    fusion: Method = "relative"
    depth: int = DEPTH
    sparse_weight: float = 0.5
    legs: tuple[str, ...] = LEGS

    @classmethod
    def of(cls, manifest: Manifest) -> Defaults:
        """What was tuned, else what suits most.

        :param manifest: of the index.
        """
        own, tuned = cls.untuned(manifest), manifest.search
        if tuned is None:
            return own
        return own._replace(keyword_weight=tuned.keyword_weight, fusion=tuned.fusion, depth=tuned.depth)

    @classmethod
    def untuned(cls, manifest: Manifest) -> Defaults:
        """What suits most indexes, by how much of the corpus the models can read.

        :param manifest: of the index.
        """
        calibration = manifest.calibration
        dense, sparse = (calibration.unknown_rate, calibration.sparse_unknown_rate) if calibration else (0.0, 0.0)
        has = {"semantic": True, "keyword": manifest.keyword, "sparse": manifest.sparse is not None}
        lexical, part = keyword_weight(dense), sparse_weight(sparse)
        if not manifest.keyword:
            lexical *= 2 * part  # what the model cannot read is the semantic leg's
        return cls(lexical, sparse_weight=part, legs=tuple(leg for leg, there in has.items() if there))


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How to search; see :meth:`retriever.Retriever.search` for the meaning.

    :raises InvalidInput: naming the option that is wrong.
    """

    k: int
    offset: int
    mode: Mode
    filter: Filter | None
    depth: int
    fusion: Method
    keyword_weight: float
    min_cosine: float | None
    mmr: float | None
    rerank: Reranker | None = None
    rerank_depth: int = RERANK_DEPTH
    sparse_weight: float = 0.0
    legs: tuple[str, ...] = LEGS

    def __post_init__(self) -> None:
        _check(_whole(self.k) and self.k >= 1, f"k is {self.k!r}: it is a whole number, at least 1")
        _check(_whole(self.offset) and self.offset >= 0, f"offset is {self.offset!r}: it is a whole number from 0")
        _check(
            _whole(self.depth) and 1 <= self.depth <= MOST_DEPTH,
            f"depth is {self.depth!r}: it is a whole number from 1 to {MOST_DEPTH:,}",
        )
        _check(
            self.offset + self.k <= self.depth,
            f"offset + k is {self.offset + self.k}, but only {self.depth} candidates of a leg are looked at: "
            "raise depth, and keep it the same for all pages",
        )
        _check(self.mode in get_args(Mode), f"unknown mode {self.mode!r}: {', '.join(get_args(Mode))}")
        _check(
            self.mode in ("hybrid", *self.legs),
            f"this index has no {self.mode} leg, only {' and '.join(self.legs)}: choose another mode, or make an index "
            f"with {'sparse=' if self.mode == 'sparse' else 'keywords'}",
        )
        _check(self.fusion in ("relative", "rrf"), f"unknown fusion {self.fusion!r}: relative or rrf")
        _check(_within(self.keyword_weight, 0, 1), f"keyword_weight is {self.keyword_weight!r}: it is from 0 to 1")
        _check(_within(self.sparse_weight, 0, 1), f"sparse_weight is {self.sparse_weight!r}: it is from 0 to 1")
        _check(self.mmr is None or _within(self.mmr, 0, 1), f"mmr is {self.mmr!r}: it is from 0 to 1")
        _check(
            self.min_cosine is None or _within(self.min_cosine, -1, 1),
            f"min_cosine is {self.min_cosine!r}: a cosine is from -1 to 1",
        )

        _check(
            _whole(self.rerank_depth) and 1 <= self.rerank_depth <= MOST_DEPTH,
            f"rerank_depth is {self.rerank_depth!r}: it is a whole number from 1 to {MOST_DEPTH:,}",
        )
        _check(
            self.rerank is None or self.offset + self.k <= self.rerank_depth,
            f"offset + k is {self.offset + self.k}, but only {self.rerank_depth} candidates are reranked: raise "
            "rerank_depth, and keep it the same for all pages",
        )

    @classmethod
    def make(cls, k: int, settings: SearchSettings, defaults: Defaults) -> SearchOptions:
        """Options from what a caller wrote.

        :param k: how many hits at most.
        :param settings: keyword arguments.
        :param defaults: for what the caller does not give, and the legs that the index has.
        :raises InvalidInput: naming an argument that there is not, or that is out of range.
        :raises FilterError: for a filter that does not parse.
        """
        if unknown := settings.keys() - SearchSettings.__annotations__.keys():
            raise InvalidInput(f"search takes no {', '.join(sorted(unknown))}")
        weight, depth, offset = settings.get("keyword_weight"), settings.get("depth"), settings.get("offset", 0)
        return cls(
            k=k,
            offset=offset,
            mode=settings.get("mode", "hybrid"),
            filter=parse_filter(settings.get("filter")),
            depth=_default_depth(k, offset, defaults.depth) if depth is None else depth,
            fusion=settings.get("fusion") or defaults.fusion,
            keyword_weight=defaults.keyword_weight if weight is None else weight,
            min_cosine=settings.get("min_cosine"),
            mmr=settings.get("mmr"),
            rerank=None if (reranker := settings.get("rerank")) is None else resolve_reranker(reranker),
            rerank_depth=settings.get("rerank_depth", RERANK_DEPTH),
            sparse_weight=_sparse_weight(settings.get("sparse_weight"), defaults.sparse_weight, defaults.legs),
            legs=defaults.legs,
        )

    @property
    def searched(self) -> tuple[str, ...]:
        """The legs that are asked."""
        return self.legs if self.mode == "hybrid" else (self.mode,)

    @property
    def needs_vector(self) -> bool:
        """Whether the query has to be embedded."""
        return "semantic" in self.searched or self.min_cosine is not None

    @property
    def needs_sparse(self) -> bool:
        """Whether the learned sparse model has to encode the query."""
        return "sparse" in self.searched


def _sparse_weight(given: float | None, default: float, legs: tuple[str, ...]) -> float:
    """Of what keyword and sparse leg have together; all of it where only one of them is there."""
    if "sparse" in legs and "keyword" in legs:
        return default if given is None else given
    _check(
        given is None,
        f"sparse_weight divides between a keyword and a sparse leg, and this index has only {' and '.join(legs)}: "
        "leave it out",
    )
    return float("sparse" in legs)


def _default_depth(k: int, offset: int, depth: int) -> int:
    """A tuned depth holds for the pages that it reaches."""
    return depth if not (_whole(k) and _whole(offset)) or offset + k <= depth else max(DEPTH, depth)


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise InvalidInput(message)


def _within(value: object, low: float, high: float) -> bool:
    return isinstance(value, int | float) and low <= value <= high


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def check_query(query: str) -> str:
    """Refuse a query that asks nothing.

    :param query: the text.
    :raises InvalidInput: where it is no string, blank, or not valid UTF-8.
    """
    if not isinstance(query, str):
        raise InvalidInput(f"a query is a string, not a {type(query).__name__}")
    if not query.strip():
        raise InvalidInput("the query is empty: write what to look for")
    check_text(query, f"the query {query!r}")
    return query


def check_vector(vector: ArrayLike, dimension: int) -> FloatVector:
    """Refuse what cannot be compared with the vectors of an index.

    :param vector: numbers.
    :param dimension: of the index.
    :return: float32, shape ``(dimension,)``.
    :raises InvalidInput: for another shape, NaN or infinity.
    """
    try:
        with np.errstate(over="ignore"):  # becomes infinity, which is refused below
            array = np.asarray(vector, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"the query vector is no list of numbers: {error}") from None
    if array.shape != (dimension,):
        raise InvalidInput(f"the query vector has shape {array.shape}, the index holds vectors of shape ({dimension},)")
    if not np.isfinite(array).all():
        raise InvalidInput("the query vector holds NaN or infinity")
    return array
