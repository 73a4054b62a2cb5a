"""Models of the sentence-transformers library."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field, field_validator

from retriever.embedding.base import EmbeddingConfig, EmbeddingFunction, Role
from retriever.embedding.model_names import check_model_name, check_weights
from retriever.embedding.models import local_folder, model_folder, weights_digest
from retriever.errors import ConfigurationError, ModelNotFound
from retriever.registry import raise_missing
from retriever.tokeniser import FastTokeniser
from retriever.types import FloatMatrix

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class SentenceTransformerConfig(EmbeddingConfig):
    """Settings of :class:`SentenceTransformerEmbedding`."""

    model: str
    """Path of a folder, or name on the hub."""
    revision: str | None = None
    """Branch, tag or commit on the hub; the cached, else the newest one by default."""
    truncate_dim: int | None = Field(default=None, gt=0)
    """Keep this many dimensions of a Matryoshka model, scaled to length 1 again."""
    normalize: bool = True
    """Scale vectors to length 1."""
    query_prompt: str | None = None
    """Put before queries instead of the model's own prompt; ``""`` for none."""
    document_prompt: str | None = None
    """Put before documents instead of the model's own prompt; ``""`` for none."""

    @field_validator("model")
    @classmethod
    def _absolute(cls, model: str) -> str:
        """A local folder by its full path, so that an index opens from any working directory."""
        folder = local_folder(model)
        return model if folder is None else str(folder)


class SentenceTransformerEmbedding(EmbeddingFunction):
    """A sentence-transformers model on torch, loaded when it is first needed.

    Weights come from safetensors only, and code from a model's repository is never run.

    :param config: which model, and how.
    :param device: ``cpu``, ``cuda``, ``mps``; by default the best there is. Not part of an index.
    """

    kind = "sentence-transformers"
    Config = SentenceTransformerConfig
    config: SentenceTransformerConfig

    def __init__(self, config: SentenceTransformerConfig, *, device: str | None = None) -> None:
        super().__init__(config)
        self._device = device

    @classmethod
    def from_name(cls, name: str) -> SentenceTransformerEmbedding:
        """The model of that name with its own settings.

        :param name: path of a folder, or name on the hub.
        :raises ConfigurationError: where the name is empty.
        """
        if not name:
            raise ConfigurationError("which model? write sentence-transformers:NAME, with a folder or a hub name")
        return cls(SentenceTransformerConfig(model=name))

    @classmethod
    def check_recorded(cls, config: Mapping[str, Any], fingerprint: Mapping[str, str], where: str) -> None:
        """Refuse paths that lead astray, and weights that are not the recorded ones, before they are loaded."""
        model, revision = config.get("model"), config.get("revision")
        check_model_name(model, revision, where)
        check_weights(str(model), revision, fingerprint.get("weights", ""), where)

    @property
    def name(self) -> str:
        """The model's path or hub name."""
        return self.config.model

    @property
    def dimension(self) -> int:
        """The model's, or the truncated one."""
        full = self._full_dimension
        wanted = self.config.truncate_dim
        if wanted is not None and wanted > full:
            raise ConfigurationError(f"truncate_dim is {wanted}, but vectors of {self.name} have {full} dimensions")
        return wanted or full

    @property
    def max_tokens(self) -> int | None:
        """The model's limit."""
        limit: int | None = self._model.max_seq_length
        return limit

    @cached_property
    def tokeniser(self) -> FastTokeniser | None:
        """A copy of the model's own; None for the few models without a fast one."""
        backend = getattr(self._model.tokenizer, "backend_tokenizer", None)
        return None if backend is None else FastTokeniser(backend)

    def prompt_tokens(self, role: Role) -> int:
        """Tokens of the prompt in force.

        :param role: whose prompt.
        """
        prompt = self._prompt(role)
        return len(self.tokeniser.encode_batch([prompt])[0]) if prompt and self.tokeniser else 0

    @cached_property
    def fingerprint(self) -> dict[str, str]:
        """Weights by their hash, so that a local copy and the hub's model count as one."""
        return {
            "kind": self.kind,
            "dimension": str(self.dimension),
            "weights": weights_digest(self._folder),
            "pooling": self._pooling,
            "normalize": str(self.config.normalize),
            "max_tokens": str(self.max_tokens),
            "query_prompt": self._prompt("query"),
            "document_prompt": self._prompt("document"),
            "precision": "float32",
        }

    def _embed(self, texts: Sequence[str], role: Role) -> FloatMatrix:
        encode = self._model.encode_query if role == "query" else self._model.encode_document
        vectors = encode(list(texts), prompt=self._prompt(role), batch_size=len(texts), show_progress_bar=False)
        vectors = np.asarray(vectors, dtype=np.float32)[:, : self.dimension]
        if self.config.normalize:
            norms = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
        return vectors

    def _prompt(self, role: Role) -> str:
        own = self.config.query_prompt if role == "query" else self.config.document_prompt
        return own if own is not None else self._model.prompts.get(role) or ""

    @cached_property
    def _full_dimension(self) -> int:
        full = self._model.get_embedding_dimension()
        return full if full is not None else int(self._model.encode(["x"], show_progress_bar=False).shape[1])

    @property
    def _pooling(self) -> str:
        modules = [type(module).__name__ for module in self._model]
        modes = [str(mode) for module in self._model if (mode := getattr(module, "pooling_mode", None))]
        return " ".join(modules + modes)

    @cached_property
    def _folder(self) -> Path:
        return model_folder(self.config.model, self.config.revision)

    @cached_property
    def _model(self) -> SentenceTransformer:
        try:
            from safetensors import SafetensorError
            from sentence_transformers import SentenceTransformer
        except ModuleNotFoundError as error:
            raise_missing(f"the model {self.name}", error)
        # float32 whatever the checkpoint was saved in: vectors must not depend on that.
        weights: dict[str, Any] = {"use_safetensors": True, "dtype": "float32"}
        with _no_progress_bars():
            try:
                return SentenceTransformer(
                    str(self._folder),
                    device=self._device,
                    trust_remote_code=False,
                    local_files_only=True,
                    model_kwargs=weights,
                )
            except (OSError, ValueError, KeyError, SafetensorError) as error:
                raise ModelNotFound(f"the files in {self._folder} are not a usable model: {error}") from error
            except (
                RuntimeError,
                AssertionError,
            ) as error:  # torch's way to say: no such device, wrong shapes, no memory
                where = self._device or "this machine"
                raise ConfigurationError(f"{self.name} cannot be loaded on {where}: {error}") from error


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Loading is part of a longer work with a bar of its own."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
