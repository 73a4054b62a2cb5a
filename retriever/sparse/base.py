"""What a learned sparse model is: documents and queries apart, checked once, rebuilt from its configuration."""

from __future__ import annotations

import threading
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar

from numpy.typing import ArrayLike

from retriever.embedding.base import CANARIES, EmbeddingConfig, Role, TruncationWarning
from retriever.embedding.parts import split_texts
from retriever.embedding.reading import ReadsTokens
from retriever.errors import EmbeddingError, InvalidInput
from retriever.metadata import check_text
from retriever.recorded import Recordable
from retriever.sparse.vector import SparseVector, strongest


class SparseConfig(EmbeddingConfig):
    """Base of the settings of a learned sparse model. Holds no secret: it is stored in manifests."""


class SparseFunction(ReadsTokens, Recordable, ABC):
    """Turns texts into sparse vectors.

    A new one sets ``kind`` and ``vocabulary`` and writes one method, :meth:`_encode`. With settings of its own it also
    names their model in ``Config``, and takes one as the only argument of its constructor::

        class Vowels(SparseFunction):
            kind = "vowels"
            vocabulary = 5

            def _encode(self, texts, role):
                return [(range(5), [text.count(vowel) for vowel in "aeiou"]) for text in texts]

    Of a text that is longer than the model reads, ``too_long="split"`` takes for each term the greatest weight that
    a part of it gives. The methods may be called from several threads; ``_encode`` is called by one at a time.
    """

    kind: ClassVar[str]
    """Name in the registry and in manifests."""

    Config: ClassVar[type[SparseConfig]] = SparseConfig
    config: SparseConfig

    def __init__(self, config: SparseConfig | None = None) -> None:
        super().__init__(config)
        self._encoding = threading.Lock()

    @property
    @abstractmethod
    def vocabulary(self) -> int:
        """How many terms there are; indices are below it."""

    @abstractmethod
    def _encode(self, texts: Sequence[str], role: Role) -> Sequence[tuple[ArrayLike, ArrayLike]]:
        """Indices and weights of each text, in order; indices in any order, weights from 0.

        :param texts: 1 to ``batch_size`` texts, each valid UTF-8; they may be blank.
        :param role: whether the texts are documents or queries.
        """

    @cached_property
    def fingerprint(self) -> dict[str, str]:
        """What makes vectors comparable. Two models with equal fingerprints give the same vectors."""
        settings = {key: str(value) for key, value in self.config.model_dump(mode="json").items() if key != "too_long"}
        return {"kind": self.kind, "vocabulary": str(self.vocabulary), **settings, **self._splitting}

    def encode_documents(self, texts: Sequence[str], *, warn: bool = True) -> list[SparseVector]:
        """Vectors of documents.

        :param texts: any number, in any order; longest first are encoded together, results come in order. Equal ones
            are encoded once.
        :param warn: give a :class:`~retriever.embedding.base.TruncationWarning` where a text is longer than the model
            reads.
        :raises InvalidInput: for a text with a lone surrogate, or one that is too long where the settings say so.
        :raises EmbeddingError: where ``_encode`` returned something unusable.
        """
        return self._encode_all(texts, "document", warn)

    def encode_queries(self, texts: Sequence[str], *, warn: bool = True) -> list[SparseVector]:
        """Vectors of queries; otherwise as :meth:`encode_documents`.

        :param texts: any number.
        :param warn: as for documents.
        """
        return self._encode_all(texts, "query", warn)

    def terms(self, indices: Sequence[int]) -> list[str]:
        """What the dimensions stand for, for people.

        :param indices: from a vector.
        """
        return [f"#{index}" for index in indices]

    def canaries(self) -> list[SparseVector]:
        """Vectors of :data:`~retriever.embedding.base.CANARIES`, to be compared with those that a manifest keeps.

        Not refused where the model reads less: they are not the user's texts.
        """
        documents = self._encode_all(CANARIES[:-1], "document", warn=False, refuse=False)
        return documents + self._encode_all(CANARIES[-1:], "query", warn=False, refuse=False)

    def _encode_all(self, texts: Sequence[str], role: Role, warn: bool, refuse: bool = True) -> list[SparseVector]:
        if isinstance(texts, str):
            raise InvalidInput("a list of texts is needed, not one string")
        for i, text in enumerate(texts):
            check_text(text, f"text {i} to encode")
        unique = list(dict.fromkeys(texts))
        lengths, room = self._lengths(unique, role), self.content_tokens(role)
        long = [row for row, length in enumerate(lengths) if room is not None and length > room]
        if long and self.config.too_long == "error" and refuse:
            first = long[0]
            raise InvalidInput(
                f"{self.name} reads {room} tokens, and the {role} {unique[first][:60]!r} has {lengths[first]}: cut it, "
                "or make the learned sparse model with too_long='split'"
            )
        if long and self.config.too_long == "split":
            vectors = self._in_parts(unique, role, lengths, long)
        else:
            vectors = self._in_batches(unique, role, lengths)
            self._warn(long if warn else [], room, role)
        found = dict(zip(unique, vectors, strict=True))
        return [found[text] for text in texts]

    def _warn(self, long: Sequence[int], room: int | None, role: Role) -> None:
        if long:
            warnings.warn(
                f"{self.name} reads {room} tokens: the end of {len(long)} {role} texts has no part in their vectors",
                TruncationWarning,
                stacklevel=4,
            )

    def _in_parts(
        self, texts: Sequence[str], role: Role, lengths: Sequence[int], long: Sequence[int]
    ) -> list[SparseVector]:
        parts = dict(zip(long, split_texts([texts[row] for row in long], self, role), strict=True))
        pieces = [parts.get(row, [(text, lengths[row])]) for row, text in enumerate(texts)]
        flat = [piece for group in pieces for piece in group]
        vectors = iter(self._in_batches([text for text, _ in flat], role, [length for _, length in flat]))
        return [strongest([next(vectors) for _ in group]) for group in pieces]

    def _in_batches(self, texts: Sequence[str], role: Role, lengths: Sequence[int]) -> list[SparseVector]:
        """The longest first, so that batches are of like length and what needs most memory is met at once."""
        order = sorted(range(len(texts)), key=lambda row: -lengths[row])
        found: dict[int, SparseVector] = {}
        for rows in self._batches(order, lengths):
            batch = [texts[row] for row in rows]
            with self._encoding:
                given = self._encode(batch, role)
            found.update(zip(rows, self._checked(given, batch), strict=True))
        return [found[row] for row in range(len(texts))]

    def _checked(self, given: Sequence[tuple[ArrayLike, ArrayLike]], texts: Sequence[str]) -> list[SparseVector]:
        if len(given) != len(texts):
            raise EmbeddingError(f"{self.name} returned {len(given)} sparse vectors for {len(texts)} texts")
        vectors = []
        for (indices, weights), text in zip(given, texts, strict=True):
            try:
                vector = SparseVector.of(indices, weights)
            except InvalidInput as error:
                raise EmbeddingError(f"{self.name} returned an unusable vector for {text[:80]!r}: {error}") from error
            if len(vector) and int(vector.indices[-1]) >= self.vocabulary:
                raise EmbeddingError(
                    f"{self.name} returned the index {vector.indices[-1]} for {text[:80]!r}, and has a vocabulary of "
                    f"{self.vocabulary} terms"
                )
            vectors.append(vector)
        return vectors

    @property
    def _splitting(self) -> dict[str, str]:
        """What the fingerprint says of long texts: only their parts have other vectors."""
        return {"too_long": "split"} if self.config.too_long == "split" else {}
