"""SPLADE and its kin, by the sentence-transformers library."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, field_validator

from retriever.embedding.base import Role
from retriever.embedding.loading import loaded
from retriever.embedding.model_names import check_model_name, check_weights
from retriever.embedding.models import local_folder, model_folder, settings_digest, weights_digest
from retriever.errors import ConfigurationError, IndexMismatch
from retriever.registry import raise_missing
from retriever.sparse.base import SparseConfig, SparseFunction
from retriever.tokeniser import FastTokeniser

if TYPE_CHECKING:
    from sentence_transformers import SparseEncoder

_NO_LIMIT = 1_000_000
"""A limit beyond this is a tokeniser's way to say that it has none."""

_SPARSE_MODULES = ("SpladePooling", "SparseStaticEmbedding", "SparseAutoEncoder")


class SpladeConfig(SparseConfig):
    """Settings of :class:`SpladeFunction`."""

    model: str
    """Path of a folder, or name on the hub."""
    revision: str | None = None
    """Branch, tag or commit on the hub; the cached, else the newest one by default."""
    max_tokens: int | None = Field(default=None, ge=8)
    """Read no more tokens of a document than this, special tokens included; by default what the model can."""
    max_terms: int | None = Field(default=None, gt=0)
    """Keep the heaviest terms of a text only; by default what the model's own settings say."""

    @field_validator("model")
    @classmethod
    def _absolute(cls, model: str) -> str:
        """A local folder by its full path, so that an index opens from any working directory."""
        folder = local_folder(model)
        return model if folder is None else str(folder)


class SpladeFunction(SparseFunction):
    """A ``SparseEncoder``: SPLADE, models that only look queries up in a table, and sparse autoencoders.

    After Formal, Piwowarski and Clinchant, "SPLADE", SIGIR 2021. Loaded when it is first needed. Weights come from
    safetensors only, and code from a model's repository is never run.

    :param config: which model, and how.
    :param device: ``cpu``, ``cuda``, ``mps``; by default the best there is. Not part of an index.
    """

    kind = "splade"
    Config = SpladeConfig
    config: SpladeConfig

    # Each token has a number for every term of the vocabulary: 2,048 tokens and 30,522 terms are 250 MB, twice.
    batch_tokens = 2_048

    def __init__(self, config: SpladeConfig, *, device: str | None = None) -> None:
        super().__init__(config)
        self._device = device

    @classmethod
    def from_name(cls, name: str) -> Self:
        """The model of that name with its own settings.

        :param name: path of a folder, or name on the hub.
        :raises ConfigurationError: where the name is empty.
        """
        if not name:
            raise ConfigurationError(f"which model? write {cls.kind}:NAME, with a folder or a hub name")
        return cls(SpladeConfig(model=name))

    @classmethod
    def check_recorded(cls, config: Mapping[str, Any], fingerprint: Mapping[str, str], where: str) -> None:
        """Refuse paths that lead astray, and files that are not the recorded ones, before anything is loaded."""
        model, revision = config.get("model"), config.get("revision")
        check_model_name(model, revision, where)
        check_weights(str(model), revision, fingerprint.get("weights", ""), where)
        if settings_digest(model_folder(str(model), revision)) != fingerprint.get("settings"):
            raise IndexMismatch(
                f"{where} was made with the model {model}, but other settings lie beside its weights here: nothing was "
                "loaded. Bring the former files back, or give the learned sparse model yourself"
            )

    @property
    def name(self) -> str:
        """``splade:`` and the model's path or hub name."""
        return f"{self.kind}:{self.config.model}"

    @cached_property
    def vocabulary(self) -> int:
        """Length of the library's vectors, which its modules state wrongly: so one is made."""
        return int(self._model.encode_document(["x"], show_progress_bar=False).shape[1])

    @property
    def max_tokens(self) -> int | None:
        """The limit of documents."""
        return self._limit("document")

    @cached_property
    def tokeniser(self) -> FastTokeniser | None:
        """A copy of the documents' own; None for the few models without a fast one."""
        own = self._first("document").tokenizer
        backend = getattr(own, "backend_tokenizer", own)
        return FastTokeniser(backend) if hasattr(backend, "no_truncation") else None

    def prompt_tokens(self, role: Role) -> int:
        """Tokens of the model's prompt.

        :param role: whose prompt.
        """
        prompt = self._model.prompts.get(role)
        return len(self.tokeniser.encode_batch([prompt])[0]) if prompt and self.tokeniser else 0

    def content_tokens(self, role: Role) -> int | None:
        """How many tokens of a text's own are read; None where queries are looked up in a table.

        :param role: documents and queries may be read by different parts of the model.
        """
        return None if self._limit(role) is None else super().content_tokens(role)

    @cached_property
    def fingerprint(self) -> dict[str, str]:
        """Weights and settings by the hashes of their files, so that a local copy and the hub's model count as one."""
        return {
            "kind": self.kind,
            "vocabulary": str(self.vocabulary),
            "weights": weights_digest(self._folder),
            "settings": settings_digest(self._folder),
            "max_tokens": str(self.max_tokens),
            "max_terms": str(self._model.max_active_dims),
            **self._splitting,
        }

    def terms(self, indices: Sequence[int]) -> list[str]:
        """Pieces of words, as the model's tokeniser writes them; numbers where dimensions are no words."""
        if "SparseAutoEncoder" in self._modules:
            return super().terms(indices)
        tokens = self._first("document").tokenizer.convert_ids_to_tokens([int(index) for index in indices])
        return [f"#{index}" if token is None else str(token) for index, token in zip(indices, tokens, strict=True)]

    def _encode(self, texts: Sequence[str], role: Role) -> Sequence[tuple[ArrayLike, ArrayLike]]:
        encode = self._model.encode_query if role == "query" else self._model.encode_document
        found: Any = encode(list(texts), batch_size=len(texts), save_to_cpu=True, show_progress_bar=False)
        found = found.coalesce()
        rows, columns = found.indices().numpy()
        weights = found.values().numpy()
        ends = np.searchsorted(rows, np.arange(len(texts) + 1))
        return [(columns[a:b], weights[a:b]) for a, b in pairwise(ends)]

    def _limit(self, role: Role) -> int | None:
        limit = self._first(role).max_seq_length
        return int(limit) if limit is not None and limit < _NO_LIMIT else None

    def _first(self, role: Role) -> Any:  # noqa: ANN401 - a module of the library
        """What reads the texts: an asymmetric model has one for queries and another for documents."""
        first: Any = self._model[0]
        return first.sub_modules[role][0] if type(first).__name__ == "Router" else first

    @property
    def _modules(self) -> set[str]:
        return {type(module).__name__ for module in self._model.modules()}

    @cached_property
    def _folder(self) -> Path:
        return model_folder(self.config.model, self.config.revision)

    @cached_property
    def _model(self) -> SparseEncoder:
        try:
            from sentence_transformers import SparseEncoder
        except ModuleNotFoundError as error:
            raise_missing(f"the learned sparse model {self.name}", error)
        except ImportError:
            raise ConfigurationError("learned sparse models need sentence-transformers 5 or newer") from None
        self._check_folder()
        model: SparseEncoder = loaded(SparseEncoder, self._folder, self.config.model, self._device)
        if self.config.max_terms is not None:
            model.max_active_dims = self.config.max_terms
        self._shorten(model)
        return model.eval()

    def _shorten(self, model: SparseEncoder) -> None:
        wanted = self.config.max_tokens
        if wanted is None:
            return
        first: Any = model[0]
        reader = first.sub_modules["document"][0] if type(first).__name__ == "Router" else first
        if wanted > reader.max_seq_length:
            raise ConfigurationError(f"max_tokens is {wanted}, but {self.name} reads {reader.max_seq_length}")
        reader.max_seq_length = wanted

    def _check_folder(self) -> None:
        """Refuse a dense model: the library would put an untrained sparse layer on top of it without a word."""
        said = [self._folder / name for name in ("modules.json", "router_config.json")]
        modules = "".join(file.read_text("utf-8", errors="replace") for file in said if file.is_file())
        if any(name in modules for name in _SPARSE_MODULES) or (not modules and self._is_masked_language_model):
            return
        raise ConfigurationError(
            f"{self.config.model} is no learned sparse model: it has none of the modules {', '.join(_SPARSE_MODULES)}; "
            "a dense one is given as embedding"
        )

    @property
    def _is_masked_language_model(self) -> bool:
        """As the first SPLADE models were published: without a word of sentence-transformers."""
        try:
            config = json.loads((self._folder / "config.json").read_text("utf-8"))
            return any(str(name).endswith("ForMaskedLM") for name in config.get("architectures") or ())
        except (OSError, ValueError, AttributeError):
            return False
