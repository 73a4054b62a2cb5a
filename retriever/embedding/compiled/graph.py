"""The torch side of a conversion: one module from tokens to vectors, what it is, and whether it came out right."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from retriever.embedding.compiled.shelf import TOKENISER, About
from retriever.embedding.sentence_transformers import SentenceTransformerConfig, SentenceTransformerEmbedding
from retriever.embedding.tokens import TokenBatch, ToTokens
from retriever.errors import ConfigurationError
from retriever.types import FloatMatrix

if TYPE_CHECKING:
    import torch

EXAMPLES = (
    "The quick brown fox jumps over the lazy dog.",
    "no",
    "检索增强生成先查找资料，再回答问题。",
    "A longer text, so that the others are padded: " + "the answer to a question is found where nobody looked. " * 4,
)
"""Texts that a model is traced with and compared by: of several lengths, so that some are padded."""

_ERROR = 1e-4  # of a converted fp32 model, as a share of the vector's length; rounding is about 1e-6
_COSINE = 0.9  # of an int8 model, to torch's vectors


class Original:
    """A model as torch has it, ready to be converted.

    :param config: of any kind that is made of a sentence-transformers model.
    :raises ConfigurationError: where it is not made of tokens, a transformer and a pooling.
    """

    def __init__(self, config: SentenceTransformerConfig) -> None:
        self._embedding = SentenceTransformerEmbedding(
            SentenceTransformerConfig(model=config.model, revision=config.revision, pooling=config.pooling),
            device="cpu",
        )
        if self._embedding.to_tokens is None:
            raise ConfigurationError(
                f"{config.model} cannot be converted: only text models made of Transformer, Pooling, Dense and "
                f"Normalize, with a fast tokeniser, can, and this one is {self._embedding.pooling}. Use "
                f"sentence-transformers:{config.model}"
            )
        self.to_tokens: ToTokens = self._embedding.to_tokens
        self.example = self.to_tokens(EXAMPLES)

    @property
    def module(self) -> torch.nn.Module:
        """Takes numbers of tokens and their mask, gives vectors."""
        import torch

        model = self._embedding.library_model

        class Whole(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.parts = torch.nn.ModuleList(model)

            def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
                features: dict[str, Any] = {"input_ids": input_ids, "attention_mask": attention_mask}
                for part in self.parts:
                    features = part(features)
                vectors: torch.Tensor = features["sentence_embedding"]
                return vectors

        return Whole().eval()

    @property
    def inputs(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The examples as the module takes them."""
        import torch

        return torch.from_numpy(self.example.ids), torch.from_numpy(self.example.mask)

    def describe(self, folder: Path, made_with: str) -> About:
        """Keep the tokeniser, and say what else has to be known without torch.

        :param folder: of the converted model.
        :param made_with: what made it.
        """
        (folder / TOKENISER).write_text(self.to_tokens.json, encoding="utf-8")
        prompts = self._embedding.library_model.prompts
        return About(
            dimension=self._embedding.dimension,
            pooling=self._embedding.pooling,
            rules=self.to_tokens.rules,
            query_prompt=prompts.get("query") or "",
            document_prompt=prompts.get("document") or "",
            made_with=made_with,
        )

    def write_attention_out(self) -> None:
        """Make attention of plain operations, instead of torch's one function for it.

        That one is free to give NaN for padding that attends to nothing, as in front of a text, and elsewhere does.
        """
        self._embedding.library_model[0].auto_model.set_attn_implementation("eager")  # type: ignore[operator,union-attr]

    def check(self, engine: Callable[[TokenBatch], FloatMatrix], precision: str) -> None:
        """Refuse a converted model that gives other vectors.

        :param engine: the converted model.
        :param precision: whether its vectors have to be equal or near.
        :raises ConfigurationError: where they are not.
        """
        wanted = self._wanted
        lengths = np.maximum(np.linalg.norm(wanted, axis=1), 1e-12)
        for row, text in enumerate(EXAMPLES):
            alone = engine(self.to_tokens([text]))[0]
            batched = engine(self.example)[row]
            for vector in (alone, batched):
                error = float(np.linalg.norm(vector - wanted[row]) / lengths[row])
                cosine = float(vector @ wanted[row] / max(np.linalg.norm(vector) * lengths[row], 1e-12))
                if not (error <= _ERROR if precision == "fp32" else cosine >= _COSINE):
                    raise ConfigurationError(
                        f"the converted {self._embedding.name} gives other vectors than torch (cosine {cosine:.4f}, "
                        f"error {error:.1e} for {text[:40]!r}): use sentence-transformers:{self._embedding.name}"
                    )

    @cached_property
    def _wanted(self) -> FloatMatrix:
        import torch

        with torch.inference_mode():
            vectors: FloatMatrix = self.module(*self.inputs).numpy()
        return vectors


@contextmanager
def quietly() -> Iterator[None]:
    """Converters warn of what they do, and report their use to their makers unless they think they are tested."""
    before = {name: os.environ.get(name) for name in ("CI", "NNCF_CI")}
    os.environ.update(CI="true", NNCF_CI="1")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
