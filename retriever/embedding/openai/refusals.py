"""What goes wrong between here and a server, in the words of this package."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime

import openai

from retriever.embedding.openai.config import KEY_VARIABLE, OPENAI_URL, OpenAIConfig
from retriever.errors import ConfigurationError, EmbeddingError, ModelNotFound, RetrieverError

_LONGEST = 300
_BUSY = frozenset({408, 409, 424, 425, 429})  # 424: text-embeddings-inference, whose model failed
_SIZE = re.compile(
    r"too (long|large|many|big)|max(imum)?\b|max_|context length|batch size|exceed|less than \d+ tokens", re.IGNORECASE
)
_TOO_LARGE = {
    400: _SIZE,
    422: _SIZE,
    429: re.compile(r"request too large", re.IGNORECASE),  # for the tokens of a minute: no waiting helps
    500: re.compile(r"too large to process", re.IGNORECASE),  # llama.cpp, and what rests on it
}
_BASE64 = re.compile(r"base64|encoding_format", re.IGNORECASE)
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class TryAgain(EmbeddingError):
    """The server could not do it now.

    :param message: names the model and the server.
    :param wait: seconds that the server asks to wait; 0 where it does not say.
    :param attempts: how often what fails like this is tried at most; None for as long as there is time.
    """

    def __init__(self, message: str, *, wait: float = 0.0, attempts: int | None = None) -> None:
        self.wait = wait
        self.attempts = attempts
        super().__init__(message)


class TooLarge(EmbeddingError):
    """The server takes no request of this size. Smaller ones may pass."""


class Refusals:
    """Errors that name model and server, are short, and hold no key.

    :param config: of the model.
    :param key: that no message shows.
    """

    def __init__(self, config: OpenAIConfig, key: str | None) -> None:
        self._config = config
        self.key = key

    def late(self, seconds: float) -> TryAgain:
        """The server has not answered in time, or not wholly.

        :param seconds: that it had.
        """
        return TryAgain(self._say(f"did not answer within {seconds:g} seconds"))

    def unusable(self, error: ValueError) -> TryAgain:
        """The answer is not what was asked for.

        :param error: says what it is.
        """
        self._scrub(error)
        return TryAgain(self._say("answered something unusable", str(error)), attempts=3)

    def translated(self, error: Exception) -> RetrieverError:
        """The error of this package that stands for one of the client's, which loses the key if it quotes it.

        :param error: what a request raised.
        """
        self._scrub(error)
        if isinstance(error, openai.APIStatusError):
            return self._from_status(error)
        if isinstance(error, openai.APIConnectionError):
            reason = error.__cause__ or error
            nobody = type(reason).__name__ in ("ConnectError", "UnsupportedProtocol")
            detail = f"{type(reason).__name__}: {reason}"
            return TryAgain(self._say("cannot be reached", detail), attempts=5 if nobody else None)
        return TryAgain(self._say("failed", f"{type(error).__name__}: {error}"), attempts=3)

    def without_key(self, content: bytes) -> bytes:
        """An answer as it may be quoted: before it is shortened, which could leave a part of the key.

        :param content: of the answer.
        """
        return content.replace(self.key.encode(), b"***") if self.key else content

    def _from_status(self, error: openai.APIStatusError) -> RetrieverError:
        status, detail = error.status_code, _detail(error)
        if status in (401, 403):  # without the answer, which may quote what was sent
            return ConfigurationError(self._say(f"refuses access (status {status})", self._how_to_get_in()))
        if error.code == "insufficient_quota":
            return EmbeddingError(self._say("refused, since the account's quota is used up", detail))
        if status == 413 or (status in _TOO_LARGE and _TOO_LARGE[status].search(detail)):
            return TooLarge(self._say(f"does not take a request of this size (status {status})", detail))
        if status in _BUSY or status >= 500:
            wait = asked_wait(error.response.headers)
            return TryAgain(self._say(f"is not available now (status {status})", detail), wait=wait)
        if status == 404:
            hint = "check the model's name, and that base_url ends as the server's documentation says, often in /v1"
            return ModelNotFound(self._say("was not found (status 404)", f"{detail}; {hint}" if detail else hint))
        return EmbeddingError(self._say(f"refused (status {status})", detail))

    def _how_to_get_in(self) -> str:
        if self.key is not None:
            return f"check the key in {self._config.key_variable or KEY_VARIABLE} and what it may do"
        return (
            f"it wants a key: put it into the environment and name the variable with key_variable ({KEY_VARIABLE} goes "
            f"to {OPENAI_URL} and to the server in OPENAI_BASE_URL only)"
        )

    def _say(self, what: str, detail: str = "") -> str:
        detail = self._without_key(" ".join(detail.split()))
        if len(detail) > _LONGEST:
            detail = f"{detail[:_LONGEST]}…"
        return f"{self._config.model} at {self._config.url} {what}" + (f": {detail}" if detail else "")

    def _without_key(self, text: str) -> str:
        return text.replace(self.key, "***") if self.key else text

    def _scrub(self, error: BaseException | None) -> None:
        """The cause is shown along with an error, and a server may quote the key it was sent."""
        while error is not None:
            error.args = tuple(self._without_key(arg) if isinstance(arg, str) else arg for arg in error.args)
            if isinstance(error, openai.APIError):
                error.message = self._without_key(error.message)
                if self.key and self.key in repr(error.body):
                    error.body = None
            error = error.__cause__ or error.__context__


def is_about_base64(error: openai.APIStatusError) -> bool:
    """Whether a server refuses to answer in base64, as early versions of vLLM and some gateways do.

    :param error: of a request that asked for it.
    """
    return _BASE64.search(_detail(error)) is not None


def _detail(error: openai.APIStatusError) -> str:
    """What the server says went wrong; a page of HTML is not worth showing."""
    said = error.body
    if isinstance(said, Mapping):
        said = said.get("message") or said.get("error") or said
    text = str(said or "")
    return "" if text.lstrip().startswith("<") else text


def asked_wait(headers: Mapping[str, str]) -> float:
    """How many seconds a server asks to wait: by ``Retry-After``, else until the limit that was reached is reset.

    :param headers: of its answer, in lower case or taking any.
    """
    with suppress(ValueError):
        return _sane(float(headers.get("retry-after-ms", "")) / 1000)
    after = headers.get("retry-after", "")
    with suppress(ValueError):
        return _sane(float(after))
    with suppress(ValueError, OverflowError):
        return _sane(parsedate_to_datetime(after).timestamp() - time.time())
    resets = [_span(headers.get("x-ratelimit-reset-tokens", ""))]
    if headers.get("x-ratelimit-remaining-requests", "0").strip() == "0":
        resets.append(_span(headers.get("x-ratelimit-reset-requests", "")))
    return max(resets)


def _sane(seconds: float) -> float:
    if not math.isfinite(seconds):
        raise ValueError("no time to wait")
    return max(0.0, seconds)


def _span(text: str) -> float:
    """Seconds of ``6m0s``, ``120ms`` or ``1.5``; 0 for anything else."""
    with suppress(ValueError):
        return _sane(float(text))
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in _SPAN.findall(text))
    return seconds if math.isfinite(seconds) else 0.0
