"""Static models of today: one vector for each token of a transformer's vocabulary, by model2vec."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from retriever.embedding.base import EmbeddingConfig, Role
from retriever.embedding.folder_model import FolderModel, ModelName
from retriever.embedding.models import weights_digest
from retriever.errors import ConfigurationError, ModelNotFound
from retriever.registry import raise_missing
from retriever.tokeniser import FastTokeniser
from retriever.types import FloatMatrix

if TYPE_CHECKING:
    from model2vec import StaticModel


class Model2VecConfig(EmbeddingConfig):
    """Settings of :class:`Model2VecEmbedding`."""

    model: ModelName = Field(min_length=1)
    """Path of a folder, or name on the hub."""
    revision: str | None = None
    """Branch, tag or commit on the hub; the cached, else the newest one by default."""
    normalize: bool = True
    """Scale vectors to length 1."""


class _BareTokeniser(FastTokeniser):
    """Static models leave special tokens out."""

    @property
    def special_tokens(self) -> int:
        """None."""
        return 0


class Model2VecEmbedding(FolderModel):
    """The mean of the vectors of a text's tokens, loaded when it is first needed.

    All of a text is read: the library's usual limit of 512 tokens is lifted. Unknown tokens are left out; a text
    without any other gives the zero vector. Weights come from safetensors only.

    :param config: which model, and how.
    """

    kind = "model2vec"
    batch_size = 1024
    Config = Model2VecConfig
    config: Model2VecConfig

    def __init__(self, config: Model2VecConfig) -> None:
        super().__init__(config)

    @classmethod
    def from_name(cls, name: str) -> Model2VecEmbedding:
        """``model2vec:NAME``.

        :param name: path of a folder, or name on the hub.
        :raises ConfigurationError: where it is empty.
        """
        if not name:
            raise ConfigurationError("which model? write model2vec:NAME, with a folder or a hub name")
        return cls(Model2VecConfig(model=name))

    @property
    def name(self) -> str:
        """``model2vec:NAME``."""
        return f"{self.kind}:{self.config.model}"

    @property
    def dimension(self) -> int:
        """The model's."""
        return int(self._model.embedding.shape[1])

    @cached_property
    def tokeniser(self) -> FastTokeniser:
        """A copy of the model's own."""
        return _BareTokeniser(self._model.tokenizer)

    @cached_property
    def fingerprint(self) -> dict[str, str]:
        """Weights by their hash, so that a local copy and the hub's model count as one."""
        return {
            "kind": self.kind,
            "dimension": str(self.dimension),
            "weights": weights_digest(self._folder),
            "normalize": str(self.config.normalize),
            **self._splitting,
        }

    def _embed(self, texts: Sequence[str], role: Role) -> FloatMatrix:  # noqa: ARG002 - both roles alike
        means = self._model.encode(list(texts), max_length=None, normalize=False, use_multiprocessing=False)
        vectors = np.asarray(means, dtype=np.float32)
        if self.config.normalize:
            norms = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
        return vectors

    @cached_property
    def _model(self) -> StaticModel:
        try:
            from model2vec import StaticModel
        except ModuleNotFoundError as error:
            raise_missing(f"the model {self.name}", error)
        try:
            model = StaticModel.from_pretrained(self._folder, force_download=False)
            _check(model)
        except Exception as error:  # the tokenizers library raises nothing more special
            raise ModelNotFound(f"the files in {self._folder} are not a usable model: {error}") from error
        return model


def _check(model: StaticModel) -> None:
    """Refuse what would only fail in the middle of indexing."""
    if model.embedding.ndim != 2 or not model.embedding.size:
        raise ValueError(f"the embeddings have the shape {model.embedding.shape}")
    places = np.array(list(model.tokenizer.get_vocab().values()))
    for table in (model.token_mapping, model.weights):
        if table is not None and places.max() >= len(table):
            raise ValueError(f"there is a token {places.max()}, but the weights are of {len(table)}")
    rows = places if model.token_mapping is None else np.asarray(model.token_mapping)[places]
    if rows.min() < 0 or rows.max() >= len(model.embedding):
        raise ValueError(f"there is a token of vector {rows.max()}, but there are {len(model.embedding)} vectors")
