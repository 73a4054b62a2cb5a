"""Our keyword weights for plain chromadb: a sparse embedding function for the schema of Chroma Cloud."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from chromadb.api.types import Documents, SparseEmbeddingFunction, SparseVectors
from chromadb.base_types import SparseVector
from chromadb.utils.embedding_functions import register_sparse_embedding_function
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from retriever.errors import ConfigurationError, IndexMismatch, InvalidInput
from retriever.keyword import bm25
from retriever.keyword.analyser import Analyser
from retriever.keyword.config import AnalyserConfig
from retriever.metadata import check_text
from retriever_chroma.configuration import HERE, first_problem

NAME = "hybrid-retriever-bm25"
"""Under which chromadb knows our sparse function. Stored in collections: it never changes."""

_LONGEST_DOCUMENT = 1e9

_AverageLength = Annotated[float, Field(gt=0, le=_LONGEST_DOCUMENT, allow_inf_nan=False)]


class _Analyser(AnalyserConfig):
    model_config = ConfigDict(strict=True, hide_input_in_errors=True)

    language: str = Field(max_length=100)
    version: int


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    analyser: _Analyser
    average_length: _AverageLength


@register_sparse_embedding_function
class RetrieverBM25Function(SparseEmbeddingFunction[Documents]):
    """What a ``SparseVectorIndexConfig`` takes as ``embedding_function=``, with ``bm25=True``.

    The weights of documents hold all of BM25 but the idf, which the engine applies: so the average length of a
    document is part of what is stored. :meth:`calibrated` measures it.

    :param average_length: terms a document, on average.
    :param language: of stemming and stop words, or ``none``.
    :raises InvalidInput: for a length that is not a number above 0.
    :raises ConfigurationError: for an unknown language.
    """

    def __init__(self, average_length: float, *, language: str = "english") -> None:
        if not isinstance(average_length, int | float) or not 0 < average_length <= _LONGEST_DOCUMENT:
            raise InvalidInput(f"average_length is a number above 0, not {average_length!r}")
        self._analyser = Analyser(AnalyserConfig(language=language.lower()))
        self._average_length = float(average_length)

    @classmethod
    def calibrated(cls, texts: Iterable[str], *, language: str = "english") -> RetrieverBM25Function:
        """One whose average length was measured.

        :param texts: the documents to come, or a sample of some thousand.
        :param language: of stemming and stop words, or ``none``.
        :raises InvalidInput: where there are no words in them, or they are one string.
        """
        if isinstance(texts, str):
            raise InvalidInput("a list of texts is needed, not one string")
        analyser = Analyser(AnalyserConfig(language=language.lower()))
        lengths = [analyser.terms(text).total() for text in texts]
        if not sum(lengths):
            raise InvalidInput("there are no words to measure the average length of a document with")
        return cls(sum(lengths) / len(lengths), language=language)

    @staticmethod
    def name() -> str:
        """``hybrid-retriever-bm25``."""
        return NAME

    def __call__(self, input: Documents) -> SparseVectors:  # noqa: A002 - chromadb's word
        """Weights of documents.

        :param input: their texts.
        """
        return [_sorted(bm25.document_vector(terms, self._average_length)) for terms in self._terms(input)]

    def embed_query(self, input: Documents) -> SparseVectors:  # noqa: A002
        """Weights of queries: how often each term was asked for.

        :param input: their texts.
        """
        return [_sorted(bm25.query_vector(terms)) for terms in self._terms(input)]

    def get_config(self) -> dict[str, Any]:
        """The analyser's settings and the average length."""
        return {"analyser": self._analyser.config.model_dump(mode="json"), "average_length": self._average_length}

    @staticmethod
    def build_from_config(config: dict[str, Any]) -> RetrieverBM25Function:
        """Build the function that a collection describes.

        :param config: from the collection.
        :raises ConfigurationError: for anything that this package does not write.
        :raises IndexMismatch: for an analyser of another version.
        """
        settings = _parse(config)
        return RetrieverBM25Function(settings.average_length, language=settings.analyser.language)

    @staticmethod
    def validate_config(config: dict[str, Any]) -> None:
        """Look at every value.

        :param config: from a collection, or about to be stored.
        :raises ConfigurationError: for anything that this package does not write.
        :raises IndexMismatch: for an analyser of another version.
        """
        _parse(config)

    def validate_config_update(self, old_config: dict[str, Any], new_config: dict[str, Any]) -> None:
        """Refuse every change: each changes the weights.

        :param old_config: of the collection.
        :param new_config: about to take its place.
        :raises IndexMismatch: naming both sides.
        """
        old, new = _parse(old_config), _parse(new_config)
        if old != new:
            raise IndexMismatch(f"the collection holds the weights of {old!r}, not of {new!r}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._average_length}, language={self._analyser.config.language!r})"

    def _terms(self, texts: Documents) -> Iterable[dict[str, int]]:
        for i, text in enumerate(texts):
            check_text(text, f"text {i} to embed")
            yield self._analyser.terms(text)


def _parse(config: object) -> _Settings:
    try:
        settings = _Settings.model_validate(config)
    except ValidationError as error:
        raise ConfigurationError(f"{HERE} of {NAME!r} is not understood: {first_problem(error)}") from None
    Analyser(settings.analyser)  # refuses other versions and unknown languages
    return settings


def _sorted(vector: bm25.SparseVector) -> SparseVector:
    """As Chroma wants it."""
    pairs = sorted(zip(vector.indices, vector.values, strict=True))
    return SparseVector([index for index, _ in pairs], [float(weight) for _, weight in pairs])
