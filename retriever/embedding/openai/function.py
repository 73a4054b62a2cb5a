"""The embedding function for models behind OpenAI's API."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from retriever.embedding.base import EmbeddingFunction, Role
from retriever.embedding.models import file_digest
from retriever.embedding.openai.config import KNOWN, URL_VARIABLE, OpenAIConfig
from retriever.embedding.openai.tokens import (
    ENCODING,
    EstimatingTokeniser,
    cut,
    openai_tokeniser,
    read_tokeniser,
    tokeniser_file,
)
from retriever.embedding.tokens import finished
from retriever.errors import ConfigurationError
from retriever.registry import raise_missing
from retriever.tokeniser import Tokeniser
from retriever.types import FloatMatrix

if TYPE_CHECKING:
    from retriever.embedding.openai.service import Service

_OPENAI_TEXTS = 2048  # the API's limit
_OTHER_TEXTS = 32  # what text-embeddings-inference takes unless told otherwise
_REQUEST_TOKENS = 300_000  # OpenAI's limit
_AT_URL = re.compile(r"(.+?)@(https?://.*)", re.DOTALL)


class OpenAIEmbedding(EmbeddingFunction):
    """A model of OpenAI, or of a server that speaks its API.

    A request that fails for the moment is sent again until the deadline; what the server asks to wait is waited. Of
    each answer the vectors are put in order by their index, and counted. An empty text, which the API refuses, is sent
    as one space. The end of a text beyond ``max_tokens`` is cut off here, since servers either refuse such a text or
    cut it without a word.

    The key comes from the environment, never from here.

    :param config: which model, where, and how.
    :param timeout: seconds for one request. This and the rest are not part of an index.
    :param deadline: seconds for one request with all that is tried again. Each half of one that is halved has as much.
    :param request_texts: most texts of a request; by default 2,048 for OpenAI, 32 for other servers. A request that the
        server finds too large is halved.
    :param requests_at_once: how many requests one call has under way side by side.
    """

    kind = "openai"
    is_concurrent = True
    Config = OpenAIConfig
    config: OpenAIConfig

    def __init__(
        self,
        config: OpenAIConfig,
        *,
        timeout: float = 60.0,
        deadline: float = 180.0,
        request_texts: int | None = None,
        requests_at_once: int = 4,
    ) -> None:
        super().__init__(config)
        if not 0 < timeout <= deadline or requests_at_once < 1 or (request_texts is not None and request_texts < 1):
            raise ConfigurationError(
                f"timeout={timeout}, deadline={deadline}, request_texts={request_texts}, requests_at_once="
                f"{requests_at_once}: each is above 0, and the deadline is not shorter than the timeout"
            )
        self._timeout = timeout
        self._deadline = deadline
        self._request_texts = request_texts or (_OPENAI_TEXTS if config.base_url is None else _OTHER_TEXTS)
        self._at_once = requests_at_once
        self.batch_size = self._request_texts * requests_at_once
        is_openai = config.base_url is None and config.model in KNOWN
        self.is_cached = is_openai or config.revision is not None  # else the name does not say all

    @classmethod
    def from_name(cls, name: str) -> OpenAIEmbedding:
        """``MODEL``, or ``MODEL@URL`` for another server than OpenAI's: ``bge-m3@http://localhost:11434/v1``.

        :param name: the model, and perhaps where it is.
        :raises ConfigurationError: where it is empty, or the address is none.
        """
        if not name:
            raise ConfigurationError("which model? write openai:text-embedding-3-small, for example")
        place = _AT_URL.fullmatch(name)
        settings = {"model": place[1], "base_url": place[2]} if place else {"model": name}
        try:
            return cls(OpenAIConfig.model_validate(settings))
        except ValidationError as error:  # without what was written: a key may be in it
            raise ConfigurationError(f"not a name of a model for openai: {error.errors()[0]['msg']}") from None

    @classmethod
    def check_recorded(cls, config: Mapping[str, Any], fingerprint: Mapping[str, str], where: str) -> None:
        """Refuse to send texts or keys to a place that only a manifest names.

        :raises ConfigurationError: for a server that is neither on this machine, nor OpenAI's, nor the one in
            ``OPENAI_BASE_URL``; and for a variable whose key is not meant for the server.
        """
        del fingerprint
        try:
            settings = OpenAIConfig.model_validate(dict(config))
        except ValidationError:  # from_config says so
            return
        if not (settings.is_trusted or settings.is_local):
            raise ConfigurationError(
                f"{where} was made with a model at {settings.url}, which would get every query. Whoever can write to "
                f"an index could name any server: give the embedding function yourself, or set {URL_VARIABLE} to that "
                "address"
            )
        if settings.key_variable is not None and not settings.is_meant(settings.key_variable):
            raise ConfigurationError(
                f"{where} was made with a model at {settings.url} and asks for the key in {settings.key_variable}. "
                "Whoever can write to an index could ask for any key: give the embedding function yourself, or set "
                f"{URL_VARIABLE} to that address"
            )

    @property
    def name(self) -> str:
        """``openai:MODEL`` or ``openai:MODEL@URL``."""
        place = f"@{self.config.base_url}" if self.config.base_url else ""
        return f"{self.kind}:{self.config.model}{place}"

    @property
    def dimension(self) -> int:
        """As asked for, or known; else that of a first vector."""
        known = KNOWN.get(self.config.model)
        return self.config.dimensions or (known.dimension if known else self._found_dimension)

    @property
    def max_tokens(self) -> int | None:
        """The limit as configured, or known for OpenAI's models."""
        known = KNOWN.get(self.config.model)
        return self.config.max_tokens or (known.max_tokens if known else None)

    @cached_property
    def tokeniser(self) -> Tokeniser | None:
        """The model's own; where there is a limit but no tokeniser to be had, an estimate, of which a warning tells."""
        if self.config.tokeniser:
            return read_tokeniser(self._tokeniser_file)
        if self.max_tokens is None:
            return None
        own = openai_tokeniser() if self.config.model in KNOWN else None
        if own is None:
            warnings.warn(f"{self.name}: lengths of texts are estimated. {self._how_to_count}", stacklevel=3)
        return own or EstimatingTokeniser()

    def prompt_tokens(self, role: Role) -> int:
        """Tokens of the prompt.

        :param role: whose prompt.
        """
        prompt = self._prompt(role)
        return len(self.tokeniser.encode_batch([prompt])[0]) if prompt and self.tokeniser else 0

    @cached_property
    def fingerprint(self) -> dict[str, str]:
        """All that makes vectors. Where the server is, is not part of it."""
        settings = {
            "kind": self.kind,
            "dimension": str(self.dimension),
            "model": self.config.model,
            "revision": str(self.config.revision),
            "normalize": str(self.config.normalize),
            "max_tokens": str(self.max_tokens),
            "query_prompt": self._prompt("query"),
            "document_prompt": self._prompt("document"),
            **self._splitting,
        }
        if self.config.tokeniser:
            settings["tokeniser"] = file_digest(self._tokeniser_file)
        elif self._splitting and self.tokeniser is not None:  # parts are cut elsewhere where tokens are estimated
            settings["tokeniser"] = "estimate" if isinstance(self.tokeniser, EstimatingTokeniser) else ENCODING
        return settings

    def _prepare(self, texts: Sequence[str], role: Role) -> list[list[str]]:
        """The requests: as many texts as fit, whole where the model reads them whole, prompts before them."""
        room = self.content_tokens(role)
        if room is not None and room < 1:
            raise ConfigurationError(
                f"{self.name} reads {self.max_tokens} tokens, and the {role} prompt takes all of them: shorten it"
            )
        lengths = self._lengths(texts, role)
        prompt, prompt_tokens = self._prompt(role), self.prompt_tokens(role)
        requests: list[list[str]] = []
        tokens = 0
        for text, length in zip(texts, lengths, strict=True):
            if room is not None and self.tokeniser is not None and length > room:
                text, length = cut(text, room, self.tokeniser), room
            tokens += length + prompt_tokens
            if not requests or len(requests[-1]) == self._request_texts or tokens > _REQUEST_TOKENS:
                requests.append([])
                tokens = length + prompt_tokens
            requests[-1].append(f"{prompt}{text}" or " ")
        return requests

    def _embed(self, texts: Sequence[Sequence[str]], role: Role) -> FloatMatrix:  # noqa: ARG002 - it is in the texts
        return finished(self._service.embed(texts, self.dimension), self.dimension, self.config.normalize)

    def _prompt(self, role: Role) -> str:
        return (self.config.query_prompt if role == "query" else self.config.document_prompt) or ""

    @cached_property
    def _found_dimension(self) -> int:
        return int(self._service.embed([["dimension"]], None).shape[1])

    @cached_property
    def _tokeniser_file(self) -> Path:
        return tokeniser_file(self.config.tokeniser or "")

    @property
    def _how_to_count(self) -> str:
        if self.config.model in KNOWN:
            return (
                f"The tokeniser {ENCODING} is not on this machine and could not be fetched: copy it from one where it "
                "is, and name its folder with TIKTOKEN_CACHE_DIR"
            )
        return "Give the model's tokenizer.json as tokeniser to have them counted"

    @cached_property
    def _service(self) -> Service:
        try:
            from retriever.embedding.openai.service import Limits, Service
        except ModuleNotFoundError as error:
            raise_missing(self.name, error)
        return Service(self.config, Limits(self._timeout, self._deadline, self._at_once))
