"""Cross-encoders and late interaction, by the sentence-transformers library."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import ArrayLike

from retriever.embedding.base import TruncationWarning
from retriever.embedding.loading import loaded
from retriever.embedding.models import model_folder
from retriever.errors import ConfigurationError
from retriever.registry import raise_missing
from retriever.reranking.base import Reranker
from retriever.tokeniser import FastTokeniser

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder, MultiVectorEncoder


class _ModelReranker(Reranker):
    """One that is a model.

    :param model: path of a folder, or name on the hub. Weights come from safetensors only, and code from a model's
        repository is never run.
    :param revision: branch, tag or commit on the hub; the cached, else the newest one by default.
    :param device: ``cpu``, ``cuda``, ``mps``; by default the best there is.
    :param batch_size: how many texts are read together.
    """

    def __init__(
        self, model: str, *, revision: str | None = None, device: str | None = None, batch_size: int = 32
    ) -> None:
        super().__init__()
        self._name = model
        self._revision = revision
        self._device = device
        self._batch_size = batch_size

    @classmethod
    def from_name(cls, name: str) -> Self:
        """The model of that name.

        :param name: path of a folder, or name on the hub.
        :raises ConfigurationError: where it is empty.
        """
        if not name:
            raise ConfigurationError(f"which model? write {cls.kind}:NAME, with a folder or a hub name")
        return cls(name)

    @property
    def _folder(self) -> Path:
        return model_folder(self._name, self._revision)

    @property
    def name(self) -> str:
        """``KIND:NAME``."""
        return f"{self.kind}:{self._name}"


class CrossEncoderReranker(_ModelReranker):
    """Reads query and text as one input, and gives one number: slow, and better than comparing vectors.

    After Nogueira and Cho, "Passage re-ranking with BERT", 2019. What is longer than the model reads
    is cut off, of which a :class:`~retriever.embedding.TruncationWarning` tells.
    """

    kind = "cross-encoder"

    def _score(self, query: str, texts: Sequence[str]) -> ArrayLike:
        pairs = [(query, text) for text in texts]
        self._warn_of_long(pairs)
        scores = np.asarray(self._model.predict(pairs, batch_size=self._batch_size, show_progress_bar=False))
        if scores.ndim == 2 and scores.shape[1] == 1:
            scores = scores[:, 0]
        return scores

    def _warn_of_long(self, pairs: Sequence[tuple[str, str]]) -> None:
        most = self._model.max_seq_length
        if self._pair_tokeniser is None or most is None:
            return
        tokeniser, added = self._pair_tokeniser
        query = len(tokeniser.encode_batch([pairs[0][0]])[0]) + added
        long = sum(query + len(encoding) > most for encoding in tokeniser.encode_batch([text for _, text in pairs]))
        if long:
            warnings.warn(
                f"{self.name} reads {most} tokens of query and text together: the end of {long} of {len(pairs)} is not "
                "read",
                TruncationWarning,
                stacklevel=4,
            )

    @cached_property
    def _pair_tokeniser(self) -> tuple[FastTokeniser, int] | None:
        """A copy of the model's own, with the tokens that it adds to a pair; None for the few without a fast one."""
        own = getattr(self._model.tokenizer, "backend_tokenizer", None)
        return None if own is None else (FastTokeniser(own), own.num_special_tokens_to_add(is_pair=True))

    @cached_property
    def _model(self) -> CrossEncoder:
        try:
            from sentence_transformers import CrossEncoder
        except ModuleNotFoundError as error:
            raise_missing(f"the reranker {self.name}", error)
        model: CrossEncoder = loaded(CrossEncoder, self._folder, self._name, self._device)
        if model.num_labels != 1:
            raise ConfigurationError(
                f"{self._name} has {model.num_labels} outputs: a reranker is a cross-encoder with one, trained to rank"
            )
        return model


class LateInteractionReranker(_ModelReranker):
    """A vector for each token of query and text; the score is the mean over the query's tokens of their best match.

    After Khattab and Zaharia, "ColBERT", SIGIR 2020, whose sum is a mean here: scores of cosines stay from -1 to 1.
    """

    kind = "late-interaction"

    def _score(self, query: str, texts: Sequence[str]) -> ArrayLike:
        (asked,) = self._model.encode_query([query], convert_to_numpy=True, show_progress_bar=False)
        given = self._model.encode_document(
            list(texts), batch_size=self._batch_size, convert_to_numpy=True, show_progress_bar=False
        )
        return [float((asked @ tokens.T).max(axis=1).mean()) for tokens in given]

    @cached_property
    def _model(self) -> MultiVectorEncoder:
        try:
            from sentence_transformers import MultiVectorEncoder
        except ModuleNotFoundError as error:
            raise_missing(f"the reranker {self.name}", error)
        except ImportError:
            raise ConfigurationError("late interaction needs sentence-transformers 6 or newer") from None
        return loaded(MultiVectorEncoder, self._folder, self._name, self._device)
