"""Models of the sentence-transformers library."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from retriever.embedding.base import EmbeddingConfig, EmbeddingFunction, Role
from retriever.embedding.folder_model import FolderModel, ModelName
from retriever.embedding.loading import loaded
from retriever.embedding.model_names import check_model_name, check_weights
from retriever.embedding.models import image_settings_digest, weights_digest
from retriever.embedding.processes import Processes, devices_of
from retriever.embedding.steps import Steps, TextSteps
from retriever.embedding.tokens import TokenBatch, TokenRules, ToTokens, finished
from retriever.errors import ConfigurationError, EmbeddingError
from retriever.registry import raise_missing
from retriever.tokeniser import FastTokeniser
from retriever.types import FloatMatrix

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image
    from sentence_transformers import SentenceTransformer

PoolingMode = Literal["mean", "cls", "max", "lasttoken", "weightedmean", "mean_sqrt_len_tokens"]
"""How the vectors of a text's tokens become one; the library's names."""

_NO_LIMIT = 1_000_000
"""A limit beyond this is a tokeniser's way to say that it has none."""

_ON_CPU = (64, 4_096)
"""Texts and tokens of a batch: with 32 texts, whatever their length, as much is padded, and twice the memory taken."""

_ON_GPU = (512, 65_536)

_DIRECT = {"Transformer", "Pooling", "Normalize", "Dense"}
"""Models of these modules are given tokens; for others the library's own ``encode`` makes what they take."""


class SentenceTransformerConfig(EmbeddingConfig):
    """Settings of :class:`SentenceTransformerEmbedding`."""

    model: ModelName
    """Path of a folder, or name on the hub."""
    revision: str | None = None
    """Branch, tag or commit on the hub; the cached, else the newest one by default."""
    pooling: PoolingMode | None = None
    """How the vectors of the tokens become one, instead of the model's own way."""
    truncate_dim: int | None = Field(default=None, gt=0)
    """Keep this many dimensions of a Matryoshka model, scaled to length 1 again."""
    normalize: bool = True
    """Scale vectors to length 1."""
    query_prompt: str | None = None
    """Put before queries instead of the model's own prompt; ``""`` for none."""
    document_prompt: str | None = None
    """Put before documents instead of the model's own prompt; ``""`` for none."""


class SentenceTransformerEmbedding(FolderModel):
    """A sentence-transformers model on torch, loaded when it is first needed.

    Weights come from safetensors only, and code from a model's repository is never run.

    :param config: which model, and how.
    :param device: ``cpu``, ``cuda``, ``mps``; by default the best there is. Not part of an index, nor is the rest.
    :param processes: embed many documents with so many processes beside this one, by default over all GPUs where there
        are some. They are started when first needed, and stopped by :meth:`close` or with the program.
    :param batch_tokens: how many tokens, padding included, are embedded together; by default 4,096 on a CPU, 65,536
        elsewhere.
    """

    kind = "sentence-transformers"
    _not_pickled = EmbeddingFunction._not_pickled | {"_processes"}
    _processes: Processes | None = None
    is_cached = True
    Config = SentenceTransformerConfig
    config: SentenceTransformerConfig

    def __init__(
        self,
        config: SentenceTransformerConfig,
        *,
        device: str | None = None,
        processes: int = 1,
        batch_tokens: int | None = None,
    ) -> None:
        super().__init__(config)
        if processes < 1 or (batch_tokens is not None and batch_tokens < 1):
            raise ConfigurationError(f"processes={processes}, batch_tokens={batch_tokens}: each is at least 1")
        self._device = device
        self._count = processes
        self.batch_tokens = batch_tokens

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
        """The model's limit; None for static models, which have none."""
        limit = self._model.max_seq_length
        return None if limit is None or limit == math.inf else int(limit)

    @cached_property
    def tokeniser(self) -> FastTokeniser | None:
        """A copy of the model's own; None for the few models without a fast one."""
        own = self._model.tokenizer
        backend = getattr(own, "backend_tokenizer", own)  # static models have a bare one
        return FastTokeniser(backend) if hasattr(backend, "no_truncation") else None

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
            "pooling": self.pooling,
            "normalize": str(self.config.normalize),
            "max_tokens": str(self.max_tokens),
            "query_prompt": self._prompt("query"),
            "document_prompt": self._prompt("document"),
            "precision": "float32",
            **({"images": image_settings_digest(self._folder)} if self.reads_images else {}),
            **self._splitting,
        }

    @property
    def cache_identity(self) -> dict[str, str]:
        """And by what pictures are resized."""
        own = super().cache_identity
        # With torchvision the library resizes pictures by other code, whose pixels differ a little.
        return {**own, "resized_by": type(self._image_processor).__name__} if self.reads_images else own

    @property
    def reads_images(self) -> bool:
        """Whether the model says so, as CLIP and its kin do."""
        return "image" in self._model.modalities

    def close(self) -> None:
        """Stop the other processes. They are started again when they are needed."""
        with self._embedding:
            if self._processes is not None:
                self._processes.close()
                self._processes = None

    def embed_batch(self, texts: Sequence[str]) -> FloatMatrix:
        """Vectors of a few documents of like length, as they come from the model.

        :param texts: no more than fit into memory together.
        """
        return self._embed(self._prepare(texts, "document"), "document")

    def _embedded(
        self, batches: Sequence[list[int]], texts: Sequence[str], steps: Steps
    ) -> Iterator[tuple[list[int], ArrayLike]]:
        """Starting the processes takes seconds: not for queries, nor for a few texts. Pictures stay here."""
        is_documents = isinstance(steps, TextSteps) and steps.role == "document"
        if self._count == 1 or not is_documents or len(batches) <= self._count:
            yield from super()._embedded(batches, texts, steps)
            return
        pool = self._started()
        try:
            yield from zip(batches, pool.embed([[texts[row] for row in rows] for rows in batches]), strict=True)
        except EmbeddingError:
            self.close()  # a pool that lost a process is of no use; the next call starts another
            raise

    def _started(self) -> Processes:
        with self._embedding:
            if self._processes is None or self._processes.owner != os.getpid():
                devices = devices_of(self._count, self._device)
                self._processes = Processes(type(self), self.config, devices)
            return self._processes

    def _prepare_image(self, image: Image) -> Any:  # noqa: ANN401
        """The pixels that the model looks at, where it takes nothing else; else the picture for ``encode``."""
        if "message" in self._model.modalities:  # a language model, which takes pictures within a conversation
            return image
        features = self._model.preprocess([image])
        pixels = features.pop("pixel_values", None)
        return pixels if pixels is not None and set(features) == {"modality"} else image

    def _embed_images(self, images: Sequence[Any]) -> FloatMatrix:
        import torch

        if isinstance(images[0], torch.Tensor):
            vectors = np.empty((len(images), self._full_dimension), dtype=np.float32)
            for shape in {image.shape for image in images}:  # most models have all pictures of one size
                rows = [row for row, image in enumerate(images) if image.shape == shape]
                vectors[rows] = self._looked_at(torch.cat([images[row] for row in rows]))
        else:
            vectors = self._model.encode(list(images), batch_size=len(images), show_progress_bar=False)
        return finished(np.asarray(vectors, dtype=np.float32), self.dimension, self.config.normalize)

    def _looked_at(self, pixels: torch.Tensor) -> FloatMatrix:
        import torch

        with torch.inference_mode():
            features = {"pixel_values": pixels.to(self._model.device), "modality": "image"}
            vectors: FloatMatrix = self._model(features)["sentence_embedding"].cpu().numpy()
        return vectors

    @property
    def _image_processor(self) -> object:
        return getattr(getattr(self._model[0], "processor", None), "image_processor", None)

    def _prepare(self, texts: Sequence[str], role: Role) -> Sequence[str] | TokenBatch:
        return texts if self.to_tokens is None else self.to_tokens(texts, self._prompt(role))

    def _embed(self, texts: Sequence[str] | TokenBatch, role: Role) -> FloatMatrix:
        if isinstance(texts, TokenBatch):
            vectors = self._forward(texts)
        else:
            encode = self._model.encode_query if role == "query" else self._model.encode_document
            vectors = encode(list(texts), prompt=self._prompt(role), batch_size=len(texts), show_progress_bar=False)
        return finished(np.asarray(vectors, dtype=np.float32), self.dimension, self.config.normalize)

    def _forward(self, tokens: TokenBatch) -> FloatMatrix:
        """What ``encode`` does with one batch, without what takes it longer than the model on a short query."""
        import torch

        device = self._model.device
        with torch.inference_mode():
            features: dict[str, Any] = {
                "input_ids": torch.from_numpy(tokens.ids).to(device),
                "attention_mask": torch.from_numpy(tokens.mask).to(device),
            }
            vectors: FloatMatrix = self._model(features)["sentence_embedding"].cpu().numpy()
        return vectors

    @cached_property
    def to_tokens(self) -> ToTokens | None:
        """Makes what the model takes of texts; None where only the library's ``encode`` knows how."""
        own = self._model.tokenizer
        modules = [type(module).__name__ for module in self._model]
        pooled = [module for module in self._model if hasattr(module, "include_prompt")]
        is_plain = modules[0] == "Transformer" and set(modules) <= _DIRECT
        if not is_plain or not hasattr(own, "backend_tokenizer") or own.pad_token_id is None:
            return None
        if "text" not in self._model.modalities or "message" in self._model.modalities:
            return None
        if not all(module.include_prompt for module in pooled):
            return None
        rules = TokenRules(
            max_tokens=self.max_tokens if self.max_tokens and self.max_tokens < _NO_LIMIT else None,
            pad_id=own.pad_token_id,
            pads_left=own.padding_side == "left",
            cuts_left=own.truncation_side == "left",
        )
        made = ToTokens(own.backend_tokenizer.to_str(), rules)
        return made if made.is_plain else None

    def _prompt(self, role: Role) -> str:
        own = self.config.query_prompt if role == "query" else self.config.document_prompt
        return own if own is not None else self._model.prompts.get(role) or ""

    @cached_property
    def _full_dimension(self) -> int:
        full = self._model.get_embedding_dimension()
        return full if full is not None else int(self._model.encode(["x"], show_progress_bar=False).shape[1])

    @property
    def pooling(self) -> str:
        """The modules of the model and how they pool, for the fingerprint."""
        modules = [type(module).__name__ for module in self._model]
        modes = [str(mode) for module in self._model if (mode := getattr(module, "pooling_mode", None))]
        return " ".join(modules + modes)

    @property
    def library_model(self) -> SentenceTransformer:
        """The model in the library's form."""
        return self._model

    @cached_property
    def _model(self) -> SentenceTransformer:
        model = self._loaded()
        if self.config.pooling is not None:
            self._pool(model, self.config.pooling)
        if type(model[-1]).__name__ == "Transformer" and model[-1].module_output_name != "sentence_embedding":
            raise ConfigurationError(
                f"{self.name} says nothing of how the vectors of its tokens become one: set pooling='mean', for example"
            )
        at_once, tokens = _ON_CPU if model.device.type == "cpu" else _ON_GPU
        self.batch_size, self.batch_tokens = at_once, self.batch_tokens or tokens
        return model.eval()

    def _pool(self, model: SentenceTransformer, mode: PoolingMode) -> None:
        """Pool otherwise than the model does."""
        from sentence_transformers.sentence_transformer.modules import Pooling

        places = [n for n, module in enumerate(model) if isinstance(module, Pooling)]
        if type(model[0]).__name__ != "Transformer" or len(places) > 1:
            raise ConfigurationError(f"{self.name} does not pool tokens, or more than once: leave pooling out")
        width: int = model[0].get_embedding_dimension()  # type: ignore[operator]  # a module, for mypy a tensor
        if places and model[places[0]].pooling_output_dimension != width:
            raise ConfigurationError(f"{self.name} joins several poolings into one vector: leave pooling out")
        modules = [module for module in model if not isinstance(module, Pooling)]
        modules.insert(places[0] if places else 1, Pooling(width, mode))
        names = [str(n) for n in range(len(modules))]
        for name in list(model._modules):
            del model._modules[name]
        for name, module in zip(names, modules, strict=True):
            model.add_module(name, module)

    def _loaded(self) -> SentenceTransformer:
        try:
            from sentence_transformers import SentenceTransformer
        except ModuleNotFoundError as error:
            raise_missing(f"the model {self.name}", error)
        model = loaded(SentenceTransformer, self._folder, self.name, self._device)
        if model.max_seq_length == math.inf:  # a static model, whose file may cut at 512 tokens without a word
            model.tokenizer.no_truncation()
        return model
