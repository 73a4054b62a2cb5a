"""What an embedding function is: documents and queries apart, checked once, rebuilt from its configuration."""

from __future__ import annotations

import threading
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict

from retriever.batched import batched
from retriever.embedding.cache import EmbeddingCache, default_cache, text_keys
from retriever.embedding.parts import SPLITTING, split_texts, weighted_means
from retriever.embedding.reading import ReadsTokens
from retriever.embedding.reading import Role as Role
from retriever.embedding.steps import PictureSteps, Steps, TextSteps, prepared
from retriever.errors import ConfigurationError, EmbeddingError, InvalidInput
from retriever.metadata import check_text
from retriever.pictures import EXAMPLE, Picture, canary
from retriever.recorded import Recordable
from retriever.types import FloatMatrix, FloatVector

if TYPE_CHECKING:
    from PIL.Image import Image

    from retriever.pictures import PictureInput

TooLong = Literal["warn", "error", "split"]
"""What becomes of a text that is longer than the model reads."""

CANARIES = (
    "The quick brown fox jumps over the lazy dog.",
    "def add(a: int, b: int) -> int: return a + b",
    "检索增强生成先查找资料，再回答问题。",
    "0123456789",
)
"""Texts whose vectors are kept in the manifest: the first three as documents, the last as a query. Where pictures are
read, that of :func:`retriever.pictures.canary` follows."""

_CHECKED_AT_ONCE = 1_024  # texts
_KEPT_AT_ONCE = 8_192  # texts: what an error or a kill can cost of a long call


class TruncationWarning(UserWarning):
    """A text is longer than the model reads; its end was not embedded."""


class EmbeddingConfig(BaseModel):
    """Base of the settings of an embedding function. Holds no secret: it is stored in manifests."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    too_long: TooLong = "warn"
    """What becomes of a text that is longer than the model reads: ``warn`` embeds its beginning and says so, ``error``
    refuses it, ``split`` embeds its parts and takes their mean, weighted by tokens."""


class EmbeddingFunction(ReadsTokens, Recordable, ABC):
    """Turns texts into vectors.

    A new one sets ``kind`` and ``dimension`` and writes one method, :meth:`_embed`. With settings of its own it also
    names their model in ``Config``, and takes one as the only argument of its constructor::

        class Lengths(EmbeddingFunction):
            kind = "lengths"
            dimension = 2

            def _embed(self, texts, role):
                return [[len(text), text.count(" ")] for text in texts]

    Batching, order, length, checks and the cache are done here, once. The methods may be called from several threads;
    ``_embed`` is called by one at a time, unless it says ``is_concurrent``.
    """

    Config: ClassVar[type[EmbeddingConfig]] = EmbeddingConfig
    config: EmbeddingConfig

    is_cached: bool = False
    """Whether vectors are kept in the user's cache. Only where making them takes long and :attr:`cache_identity` says
    all that makes them: nothing else would notice vectors of an earlier version."""

    is_concurrent: ClassVar[bool] = False
    """Whether ``_embed`` may be called from several threads at once: so it should where it waits for a server."""

    _not_pickled: ClassVar[frozenset[str]] = frozenset({"_embedding"})

    def __init__(self, config: EmbeddingConfig | None = None) -> None:
        super().__init__(config)
        self._embedding = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """Settings alone: what was loaded or computed from them is made anew where it is unpickled."""
        if not self.has_name:
            raise ConfigurationError(
                f"{self.name} cannot be pickled: it wraps an object that may hold a secret. Wrap it again in the other "
                "process"
            )
        made = {
            key for cls in type(self).__mro__ for key, value in vars(cls).items() if isinstance(value, cached_property)
        }
        return {key: value for key, value in vars(self).items() if key not in made and key not in self._not_pickled}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._embedding = threading.Lock()

    @property
    @abstractmethod
    def dimension(self) -> int:
        """Length of the vectors."""

    @abstractmethod
    def _embed(self, texts: Any, role: Role) -> ArrayLike:  # noqa: ANN401 - or what _prepare made of them
        """One vector for each text, in order.

        :param texts: 1 to ``batch_size`` texts, each valid UTF-8, a sequence; they may be blank.
        :param role: whether the texts are documents or queries.
        :return: numbers of shape ``(len(texts), dimension)``.
        """

    def _prepare(self, texts: Sequence[str], role: Role) -> Any:  # noqa: ANN401
        """What ``_embed`` is given for a batch, by default the texts. May tokenise them.

        Called in another thread while ``_embed`` works on the batch before.

        :param texts: 1 to ``batch_size`` texts.
        :param role: whether the texts are documents or queries.
        """
        del role
        return texts

    @property
    def reads_images(self) -> bool:
        """Whether pictures get vectors of the same space as texts; by default where ``_embed_images`` is written."""
        return type(self)._embed_images is not EmbeddingFunction._embed_images

    def _embed_images(self, images: Sequence[Any]) -> ArrayLike:
        """One vector for each picture, in order; written by functions that read pictures.

        :param images: 1 to ``batch_size`` pictures as ``_prepare_image`` left them.
        :return: numbers of shape ``(len(images), dimension)``.
        """
        raise InvalidInput(f"{self.name} reads no pictures: {len(images)} were given")

    def _prepare_image(self, image: Image) -> Any:  # noqa: ANN401
        """What ``_embed_images`` is given for a picture, by default all of it. May shrink it as the model does.

        Called in another thread while ``_embed_images`` works on the batch before.

        :param image: in RGB, turned as EXIF says.
        """
        return image

    @property
    def prepares(self) -> bool:
        """Whether ``_prepare`` does anything: then it gets a thread of its own."""
        return type(self)._prepare is not EmbeddingFunction._prepare

    @cached_property
    def fingerprint(self) -> dict[str, str]:
        """What makes vectors comparable. Two functions with equal fingerprints give the same vectors."""
        settings = {key: str(value) for key, value in self.config.model_dump(mode="json").items() if key != "too_long"}
        return {"kind": self.kind, "dimension": str(self.dimension), **settings, **self._splitting}

    @property
    def cache_identity(self) -> Mapping[str, str]:
        """All that makes vectors: what two functions that share the cache must have in common.

        An index notices a changed model by its test vectors, the cache by this alone.
        """
        return self.fingerprint

    def embed_documents(self, texts: Sequence[str], *, warn: bool = True, fresh: bool = False) -> FloatMatrix:
        """Vectors of documents.

        :param texts: any number, in any order; longest first are embedded together, results come in order. Equal ones
            are embedded once.
        :param warn: give a :class:`TruncationWarning` where a text is longer than the model reads.
        :param fresh: take none from the cache.
        :return: float32, shape ``(len(texts), dimension)``.
        :raises InvalidInput: for a text with a lone surrogate, or one that is too long where the settings say so.
        :raises EmbeddingError: where ``_embed`` returned something unusable.
        """
        return self._embed_all(texts, "document", warn, fresh)

    def embed_queries(self, texts: Sequence[str], *, warn: bool = True, fresh: bool = False) -> FloatMatrix:
        """Vectors of queries; otherwise as :meth:`embed_documents`.

        :param texts: any number.
        :param warn: as for documents.
        :param fresh: as for documents.
        """
        return self._embed_all(texts, "query", warn, fresh)

    def embed_query(self, text: str) -> FloatVector:
        """Vector of one query.

        :param text: the query.
        :return: float32, shape ``(dimension,)``.
        """
        vector: FloatVector = self.embed_queries([text])[0]
        return vector

    def canaries(self) -> FloatMatrix:
        """Vectors of :data:`CANARIES`, to be compared with those that a manifest keeps. Never from the cache.

        Nor refused where the model reads less: they are not the user's texts.
        """
        documents = self._embed_all(CANARIES[:-1], "document", warn=False, fresh=True, refuse=False)
        queries = self._embed_all(CANARIES[-1:], "query", warn=False, fresh=True, refuse=False)
        images = [self.embed_images([canary()], fresh=True)] if self.reads_images else []
        return np.concatenate([documents, queries, *images])

    def embed_images(self, images: Sequence[PictureInput], *, fresh: bool = False) -> FloatMatrix:
        """Vectors of pictures, to be compared with those of texts: as documents, and as what is searched for.

        :param images: paths, bytes of files, images of Pillow's, or pictures. Equal ones are embedded once.
        :param fresh: take none from the cache.
        :return: float32, shape ``(len(images), dimension)``.
        :raises InvalidInput: naming a picture that cannot be read; or where this function reads none.
        :raises EmbeddingError: where ``_embed_images`` returned something unusable.
        """
        if isinstance(images, str | bytes):
            raise InvalidInput("a list of pictures is needed, not one of them")
        pictures = [Picture.of(image) for image in images]
        vectors, unreadable = self.embed_readable(pictures, fresh=fresh)
        for error in unreadable.values():
            raise error
        result = np.empty((len(pictures), self.dimension), dtype=np.float32)
        for row, picture in enumerate(pictures):
            result[row] = vectors[picture.digest]
        return result

    def embed_readable(
        self, pictures: Sequence[Picture], *, fresh: bool = False
    ) -> tuple[dict[str, FloatVector], dict[str, InvalidInput]]:
        """As :meth:`embed_images`, but a picture that cannot be read does not keep the others from it.

        :param pictures: any number.
        :param fresh: take none from the cache.
        :return: by digest, the vectors; and what is wrong with the others.
        """
        if not self.reads_images:
            raise InvalidInput(f"{self.name} reads no pictures: use a model that does, such as {EXAMPLE}")
        steps = PictureSteps(self, {picture.digest: picture for picture in pictures})
        digests = list(dict.fromkeys(picture.digest for picture in pictures))
        cache = default_cache() if self.is_cached and not fresh else None

        def compute(some: Sequence[str]) -> FloatMatrix:
            return self._in_batches(some, steps, [0] * len(some))  # no tokens

        found = self._remembered(digests, "image", cache, compute, lambda digest: digest not in steps.unreadable)
        vectors = {digest: row for digest, row in zip(digests, found, strict=True) if digest not in steps.unreadable}
        return vectors, steps.unreadable

    def _embed_all(self, texts: Sequence[str], role: Role, warn: bool, fresh: bool, refuse: bool = True) -> FloatMatrix:
        if isinstance(texts, str):
            raise InvalidInput("a list of texts is needed, not one string")
        _check_texts(texts)
        unique = list(dict.fromkeys(texts))
        tells_length = self.max_tokens is None or self.tokeniser is not None  # else ends are cut that nobody notices
        cache = default_cache() if self.is_cached and tells_length and not fresh else None
        cut: set[str] = set()
        compute = partial(self._computed, role=role, cut=cut, refuse=refuse)
        if self.config.too_long == "warn":
            compute = partial(self._cut_before, role=role, cache=cache, compute=compute, cut=cut)
        result = self._remembered(unique, role, cache, compute, lambda text: text not in cut)
        if cut and warn:
            warnings.warn(
                f"{self.name} reads {self.content_tokens(role)} tokens: the end of {len(cut)} of {len(texts)} {role} "
                "texts is not embedded",
                TruncationWarning,
                stacklevel=3,
            )
        if len(unique) == len(texts):
            return result
        rows = {text: row for row, text in enumerate(unique)}
        return result[[rows[text] for text in texts]]

    def _remembered(
        self,
        texts: Sequence[str],
        role: str,
        cache: EmbeddingCache | None,
        compute: Callable[[Sequence[str]], FloatMatrix],
        is_kept: Callable[[str], bool],
    ) -> FloatMatrix:
        """What the cache has is not computed again. Pictures go by their digests."""
        if cache is None:
            return compute(texts)
        result = np.empty((len(texts), self.dimension), dtype=np.float32)
        keys = text_keys(self.cache_identity, role, texts)
        for missing in batched(cache.find(keys, result), _KEPT_AT_ONCE):
            result[missing] = compute([texts[row] for row in missing])
            kept = [row for row in missing if is_kept(texts[row])]
            cache.add([keys[row] for row in kept], result[kept])
        return result

    def _cut_before(
        self,
        texts: Sequence[str],
        role: Role,
        cache: EmbeddingCache | None,
        compute: Callable[[Sequence[str]], FloatMatrix],
        cut: set[str],
    ) -> FloatMatrix:
        """Texts whose ends are not embedded are kept under keys of their own, since that is told of each time."""
        computed: set[str] = set()

        def noted(some: Sequence[str]) -> FloatMatrix:
            computed.update(some)
            return compute(some)

        result = self._remembered(texts, f"{role}, cut", cache, noted, cut.__contains__)
        cut.update(text for text in texts if text not in computed)
        return result

    def _computed(self, texts: Sequence[str], role: Role, cut: set[str], refuse: bool) -> FloatMatrix:
        """Vectors of distinct texts; those whose end is not embedded are added to ``cut``."""
        lengths = self._lengths(texts, role)
        room = self.content_tokens(role)
        long = [row for row, length in enumerate(lengths) if room is not None and length > room]
        if not long:
            return self._in_batches(texts, TextSteps(self, role), lengths)
        if self.config.too_long == "error" and refuse:
            first = long[0]
            raise InvalidInput(
                f"{self.name} reads {room} tokens, and the {role} {texts[first][:60]!r} has {lengths[first]}: cut it, "
                "or make the embedding function with too_long='split'"
            )
        if self.config.too_long == "split":
            return self._in_parts(texts, role, lengths, set(long))
        cut.update(texts[row] for row in long)
        return self._in_batches(texts, TextSteps(self, role), lengths)

    def _in_parts(self, texts: Sequence[str], role: Role, lengths: Sequence[int], long: set[int]) -> FloatMatrix:
        """Long texts as the mean of their parts, weighted by tokens, and as long as the parts are on average."""
        parts = split_texts([texts[row] for row in sorted(long)], self, role)
        rows, pieces, tokens = [], [], []
        for row, text in enumerate(texts):
            for part, length in next(parts) if row in long else [(text, lengths[row])]:
                rows.append(row)
                pieces.append(part)
                tokens.append(length)
        return weighted_means(self._in_batches(pieces, TextSteps(self, role), tokens), rows, tokens)

    def _in_batches(self, texts: Sequence[str], steps: Steps, lengths: Sequence[int]) -> FloatMatrix:
        """The longest first, so that batches are of like length and what needs most memory is met at once."""
        order = sorted(range(len(texts)), key=lambda i: -lengths[i])
        result = np.empty((len(texts), self.dimension), dtype=np.float32)
        read = lengths if steps.room is None else [min(length, steps.room) for length in lengths]  # the rest is cut off
        batches = list(self._batches(order, read))
        for rows, vectors in self._embedded(batches, texts, steps):
            result[rows] = self._checked(vectors, [texts[row] for row in rows])
        return result

    def _embedded(
        self, batches: Sequence[list[int]], texts: Sequence[str], steps: Steps
    ) -> Iterator[tuple[list[int], ArrayLike]]:
        for rows, taken in prepared(batches, texts, steps):
            with nullcontext() if self.is_concurrent else self._embedding:
                vectors = steps.embed(taken)
            yield rows, vectors

    @property
    def _splitting(self) -> dict[str, str]:
        """What the fingerprint says of long texts: only their parts have other vectors."""
        return {"too_long": f"split {SPLITTING}"} if self.config.too_long == "split" else {}

    def _checked(self, vectors: ArrayLike, texts: Sequence[str], what: str = "text") -> FloatMatrix:
        wanted = (len(texts), self.dimension)
        try:
            with np.errstate(over="ignore"):  # becomes infinity, which is refused below
                array = np.asarray(vectors, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise EmbeddingError(f"{self.name} returned no array of shape {wanted}: {error}") from error
        if array.shape != wanted:
            raise EmbeddingError(f"{self.name} returned an array of shape {array.shape} where {wanted} was due")
        if not np.isfinite(array).all():
            row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
            raise EmbeddingError(f"{self.name} returned NaN or infinity for the {what} {texts[row][:80]!r}")
        return array


def _check_texts(texts: Sequence[str]) -> None:
    """Not one by one where that is not needed: else checking takes longer than a look into the cache."""
    checked = 0
    for some in batched(texts, _CHECKED_AT_ONCE):
        try:
            "".join([text for text in some if not str.isascii(text)]).encode()  # each knows that of itself
        except (TypeError, UnicodeEncodeError):
            for i, text in enumerate(some, checked):
                check_text(text, f"text {i} to embed")
        checked += len(some)
