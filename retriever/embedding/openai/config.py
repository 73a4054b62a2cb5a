"""Settings of a model behind OpenAI's API, and the environment's part in them: where it is, and the key."""

from __future__ import annotations

import os
import re
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, field_validator, model_validator

from retriever.embedding.base import EmbeddingConfig
from retriever.errors import ConfigurationError

OPENAI_URL = "https://api.openai.com/v1"
KEY_VARIABLE = "OPENAI_API_KEY"
URL_VARIABLE = "OPENAI_BASE_URL"

_KEY = re.compile(r"[\x21-\x7e]+")
_QUOTES = frozenset("\"'\\")  # written otherwise in JSON and in Python: such a key would not be found in what quotes it


class KnownModel(NamedTuple):
    """What OpenAI says of a model of its own."""

    dimension: int
    max_tokens: int
    shortens: bool
    """Whether it gives fewer dimensions when asked to."""


KNOWN = {
    "text-embedding-3-large": KnownModel(3072, 8191, True),
    "text-embedding-3-small": KnownModel(1536, 8191, True),
    "text-embedding-ada-002": KnownModel(1536, 8191, False),
}
"""https://platform.openai.com/docs/guides/embeddings"""


class OpenAIConfig(EmbeddingConfig):
    """Settings of :class:`OpenAIEmbedding`. A key is not among them: it comes from the environment."""

    model_config = ConfigDict(hide_input_in_errors=True)  # a key that was put in the wrong place is not repeated

    model: str = Field(min_length=1)
    """As the server calls it."""
    base_url: str | None = Field(default_factory=lambda: os.environ.get(URL_VARIABLE) or None, validate_default=True)
    """Where the server is, such as ``http://localhost:11434/v1``; by default what ``OPENAI_BASE_URL`` says, else
    OpenAI's own. Kept, so that an index opens by its address and no text goes to another server because a variable is
    unset. Not part of the fingerprint: a server may move, and canaries tell if it is another model."""
    key_variable: str | None = Field(default=None, pattern=r"^[A-Z][A-Z0-9_]*_(API_KEY|TOKEN)$")
    """Name of the environment's variable that holds the key. By default ``OPENAI_API_KEY``, which goes to OpenAI and to
    the server in ``OPENAI_BASE_URL`` and to no other."""
    revision: str | None = None
    """What you call the version that the server runs, where the model's name does not say: ``q8_0``, a date. Vectors
    of models other than OpenAI's are cached only with it, since a server may give another model the same name."""
    dimensions: int | None = Field(default=None, gt=0)
    """Ask the server for vectors of this many dimensions; by default the model's own."""
    normalize: bool = True
    """Scale vectors to length 1."""
    query_prompt: str | None = None
    """Put before queries: ``"query: "`` for E5, for example."""
    document_prompt: str | None = None
    """Put before documents."""
    max_tokens: int | None = Field(default=None, gt=0)
    """How many tokens the model reads, special tokens and prompt included; known for OpenAI's own."""
    tokeniser: str | None = None
    """Path or hub name of the model's ``tokenizer.json``, or of the folder that holds it. Not for OpenAI's own."""

    @field_validator("model")
    @classmethod
    def _not_a_key(cls, model: str) -> str:
        if model.startswith("sk-") or model != model.strip():
            raise ValueError(f"this is no name of a model; a key belongs in {KEY_VARIABLE}")
        return model

    @field_validator("base_url")
    @classmethod
    def _plain_url(cls, url: str | None) -> str | None:
        """OpenAI's own is None; nothing that could be a secret passes."""
        if url is None:
            return None
        url = url.rstrip("/")
        parts = _split(url)
        if parts is None or parts[0] not in ("http", "https") or not parts[1]:
            raise ValueError("base_url is not of the form http://HOST:PORT/v1")
        if set(url) & set("@?#"):
            raise ValueError(
                "base_url holds a user, a password, a query or a fragment: a key belongs in the environment "
                f"({KEY_VARIABLE}, or another variable that key_variable names)"
            )
        return None if url == OPENAI_URL else url

    @field_validator("tokeniser")
    @classmethod
    def _absolute(cls, tokeniser: str | None) -> str | None:
        """A local path in full, so that an index opens from any working directory."""
        path = Path(tokeniser).expanduser() if tokeniser else None
        return str(path.resolve()) if path is not None and path.exists() else tokeniser

    @model_validator(mode="after")
    def _as_openai_says(self) -> Self:
        known = KNOWN.get(self.model)
        if known is None or self.dimensions in (None, known.dimension):
            return self
        if not known.shortens:
            raise ValueError(f"{self.model} has {known.dimension} dimensions and cannot be asked for others")
        if self.dimensions is not None and self.dimensions > known.dimension:
            raise ValueError(f"{self.model} has at most {known.dimension} dimensions")
        return self

    @property
    def url(self) -> str:
        """Where the server is."""
        return self.base_url or OPENAI_URL

    @property
    def is_trusted(self) -> bool:
        """Whether the server is OpenAI's, or the one that the environment names."""
        return self.base_url is None or origin(self.url) == origin(os.environ.get(URL_VARIABLE, ""))

    def is_meant(self, variable: str) -> bool:
        """Whether a key is for this server by its name: where only an index says so, nothing else does.

        :param variable: of the environment.
        """
        if self.base_url is None:
            return variable.startswith("OPENAI_")
        return self.is_trusted

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine, so that no proxy leads to it."""
        parts = _split(self.url)
        host = parts[1] if parts else ""
        try:
            return host == "localhost" or ip_address(host).is_loopback
        except ValueError:
            return False


def find_key(config: OpenAIConfig) -> str | None:
    """The key for a server, from the environment; None where it needs none.

    The configuration may come from an index that somebody else made, and must not send OpenAI's key anywhere.

    :param config: names the server and perhaps the variable.
    :raises ConfigurationError: where the variable is unset or holds no key, or the server must not get it.
    """
    trusted = config.is_trusted
    if config.key_variable is None and not trusted:
        return None
    variable = config.key_variable or KEY_VARIABLE
    if variable == KEY_VARIABLE and not trusted:
        raise ConfigurationError(
            f"{KEY_VARIABLE} is sent to OpenAI and to the server in {URL_VARIABLE}, not to {config.url}: put the key "
            "of that server into a variable of its own and name it with key_variable"
        )
    key = os.environ.get(variable, "").strip()
    if not key:
        if config.base_url is not None and config.key_variable is None:
            return None
        raise ConfigurationError(f"{config.url} wants a key: put it into the environment as {variable}")
    if not _KEY.fullmatch(key) or _QUOTES.intersection(key):
        del key  # what shows an error may show the variables beside it
        raise ConfigurationError(f"the key in {variable} holds a space, a quotation mark or what else no key has")
    return key


def origin(url: str) -> tuple[str, str, int | None] | None:
    """Scheme, host and port of a server; None where it is no URL.

    :param url: anywhere on it.
    """
    parts = _split(url)
    if parts is None:
        return None
    scheme, host, port = parts
    return scheme, host, port or {"http": 80, "https": 443}.get(scheme)


def _split(url: str) -> tuple[str, str, int | None] | None:
    """Scheme, host and port; None where it is no URL."""
    if re.search(r"[\s\x00-\x1f\ud800-\udfff]", url):
        return None
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname or "", parts.port
    except ValueError:
        return None
