"""What the kinds without torch share: settings, fingerprint, batches, and the one conversion."""

from __future__ import annotations

import logging
import os
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np

from retriever.embedding.base import Role
from retriever.embedding.compiled.shelf import TOKENISER, About, digest_of, shelved
from retriever.embedding.folder_model import FolderModel
from retriever.embedding.models import settings_digest, weights_digest
from retriever.embedding.sentence_transformers import SentenceTransformerConfig, SentenceTransformerEmbedding
from retriever.embedding.tokens import TokenBatch, ToTokens, finished
from retriever.errors import ConfigurationError, EmbeddingError, RetrieverError
from retriever.registry import raise_missing
from retriever.tokeniser import FastTokeniser
from retriever.types import FloatMatrix

Engine = Callable[[TokenBatch], FloatMatrix]
"""A loaded model. May be called from several threads."""

_RECIPE = "1"
"""Raised when the same settings are to give another converted model."""

_log = logging.getLogger("retriever")


class CompiledConfig(SentenceTransformerConfig):
    """Settings of a model that was converted."""

    precision: Literal["fp32", "int8"] = "fp32"
    """``fp32`` for the vectors that torch gives; ``int8`` for twice the speed and vectors near to those."""


class CompiledEmbedding(FolderModel):
    """A sentence-transformers model that is converted once, and then runs without torch.

    The converted model is kept in the user's cache folder. Its fp32 vectors are torch's, and so is its fingerprint: an
    index that one of them built opens with the other.

    :param config: which model, and how.
    :param threads: how many cores it takes; by default those that this process may use. Not part of an index.
    """

    is_cached = True
    Config = CompiledConfig
    config: CompiledConfig
    rows: ClassVar[int]
    """How many texts a thread is given at a time: few, so that they are of one length and stay in the core's cache."""
    packages: ClassVar[tuple[str, ...]]
    """What quantises an int8 model: other versions may make another one."""

    def __init__(self, config: CompiledConfig, *, threads: int | None = None) -> None:
        super().__init__(config)
        if threads is not None and threads < 1:
            raise ConfigurationError(f"threads is {threads}: at least one is needed")
        self._threads = threads or _cores()
        self.batch_size = max(64, 16 * self._threads)

    @classmethod
    def from_name(cls, name: str) -> Self:
        """The model of that name in fp32; in int8 where ``@int8`` follows.

        :param name: path of a folder, or name on the hub.
        :raises ConfigurationError: where the name is empty.
        """
        model = name.removesuffix("@int8")
        if not model:
            raise ConfigurationError(f"which model? write {cls.kind}:NAME or {cls.kind}:NAME@int8")
        return cls(cls.Config(model=model, precision="fp32" if model == name else "int8"))

    @classmethod
    def check_recorded(cls, config: Mapping[str, Any], fingerprint: Mapping[str, str], where: str) -> None:
        """As on torch: names that lead astray and other weights are refused before anything is loaded."""
        SentenceTransformerEmbedding.check_recorded(config, fingerprint, where)

    @property
    def name(self) -> str:
        """The kind and the model's path or hub name."""
        return f"{self.kind}:{self.config.model}" + ("@int8" if self.config.precision == "int8" else "")

    @property
    def dimension(self) -> int:
        """The model's, or the truncated one."""
        full, wanted = self._about.dimension, self.config.truncate_dim
        if wanted is not None and wanted > full:
            raise ConfigurationError(f"truncate_dim is {wanted}, but vectors of {self.name} have {full} dimensions")
        return wanted or full

    @property
    def max_tokens(self) -> int | None:
        """The model's limit."""
        return self._about.rules.max_tokens

    @cached_property
    def tokeniser(self) -> FastTokeniser:
        """A copy of the model's own."""
        from tokenizers import Tokenizer

        return FastTokeniser(Tokenizer.from_str(self._to_tokens.json))

    def prompt_tokens(self, role: Role) -> int:
        """Tokens of the prompt in force.

        :param role: whose prompt.
        """
        prompt = self._prompt(role)
        return len(self.tokeniser.encode_batch([prompt])[0]) if prompt else 0

    @cached_property
    def fingerprint(self) -> dict[str, str]:
        """In fp32 the one that the model has on torch."""
        made = {} if self.config.precision == "fp32" else {"kind": self.kind, "precision": "int8", **self._made}
        return {
            "kind": "sentence-transformers",
            "dimension": str(self.dimension),
            "weights": self._weights,
            "pooling": self._about.pooling,
            "normalize": str(self.config.normalize),
            "max_tokens": str(self.max_tokens),
            "query_prompt": self._prompt("query"),
            "document_prompt": self._prompt("document"),
            "precision": "float32",
            **self._splitting,
            **made,
        }

    @property
    def _made(self) -> dict[str, str]:
        """What else an int8 model depends on."""
        return {"made_with": self._about.made_with}

    @abstractmethod
    def _convert(self, folder: Path) -> About:
        """Write the model's files into an empty folder."""

    @abstractmethod
    def _engine(self, folder: Path, inferences: int) -> Engine:
        """Load the model from its files, for as many inferences at once, which share the threads."""

    def _prepare(self, texts: Sequence[str], role: Role) -> list[TokenBatch]:
        prompt = self._prompt(role)
        # Padding in front moves a text, and what is rounded to int8 there depends on its place.
        rows = 1 if self.config.precision == "int8" and self._about.rules.pads_left else self.rows
        return [self._to_tokens(texts[start : start + rows], prompt) for start in range(0, len(texts), rows)]

    def _embed(self, texts: Sequence[TokenBatch], role: Role) -> FloatMatrix:
        try:
            if role == "query":  # one at a time is what matters: all threads work on it
                vectors = [self._quick(batch) for batch in texts]
            else:
                vectors = list(self._workers.map(self._steady, texts))
        except RuntimeError as error:
            raise EmbeddingError(f"{self.name} failed: {error}") from error
        return finished(np.concatenate(vectors), self.dimension, self.config.normalize)

    def _prompt(self, role: Role) -> str:
        own = self.config.query_prompt if role == "query" else self.config.document_prompt
        return own if own is not None else getattr(self._about, f"{role}_prompt")

    @cached_property
    def _quick(self) -> Engine:
        return self._engine(self._shelved[0], 1)

    @cached_property
    def _steady(self) -> Engine:
        return self._engine(self._shelved[0], self._threads)

    @cached_property
    def _workers(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._threads, thread_name_prefix="retriever-embed")

    @cached_property
    def _to_tokens(self) -> ToTokens:
        return ToTokens((self._shelved[0] / TOKENISER).read_text(encoding="utf-8"), self._about.rules)

    @property
    def _about(self) -> About:
        return self._shelved[1]

    @cached_property
    def _shelved(self) -> tuple[Path, About]:
        key = digest_of(_RECIPE, self.kind, self.config.precision, *self._key)
        shelved_model = shelved(key, self._make if self._can_make else None)
        if shelved_model is None:
            raise ConfigurationError(self._why_not())
        return shelved_model

    @property
    def _key(self) -> tuple[str, ...]:
        """What the converted model depends on. Not the versions of what makes it: it is kept over their upgrades."""
        return (self._weights, settings_digest(self._folder), str(self.config.pooling))

    @property
    def _can_make(self) -> bool:
        return True

    def _why_not(self) -> str:
        return f"{self.name} cannot be converted"

    def _make(self, folder: Path) -> About:
        _log.warning("converting %s; this happens once", self.name)
        try:
            return self._convert(folder)
        except ModuleNotFoundError as error:
            raise_missing(f"converting {self.name}", error)
        except (RetrieverError, OSError):  # the latter are of the disk, and the shelf tells of them
            raise
        except Exception as error:  # each converter has errors of its own
            first, *_ = str(error).strip().splitlines() or [type(error).__name__]
            raise ConfigurationError(
                f"{self.name} cannot be converted ({first[:200]}): use sentence-transformers:{self.config.model}"
            ) from error

    @cached_property
    def _made_with(self) -> str:
        return " ".join(f"{package} {version(package)}" for package in self.packages)

    @property
    def _weights(self) -> str:
        return weights_digest(self._folder)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
