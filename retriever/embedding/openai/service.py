"""A model behind a server: requests in, vectors out, in order and each once; or a typed error in time."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import openai
from openai import AsyncOpenAI, DefaultAsyncHttpxClient, Omit, omit
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_before_delay, wait_random_exponential

from retriever.embedding.openai.answers import read_answer
from retriever.embedding.openai.background import Background
from retriever.embedding.openai.config import KNOWN, OpenAIConfig, find_key, origin
from retriever.embedding.openai.refusals import Refusals, TooLarge, TryAgain, is_about_base64
from retriever.errors import ConfigurationError, EmbeddingError, InvalidInput
from retriever.types import FloatMatrix

_PLAIN_HEADERS = frozenset(
    {"accept", "accept-encoding", "authorization", "connection", "content-length", "content-type", "host", "user-agent"}
)
_BACKOFF = wait_random_exponential(multiplier=0.2, max=5.0)


@dataclass(frozen=True)
class Limits:
    """How patient requests are, and how many there are at a time.

    :param timeout: seconds for one request.
    :param deadline: seconds for one request with all that is tried again.
    :param at_once: requests side by side.
    """

    timeout: float
    deadline: float
    at_once: int


class Service:
    """A client that is made when it is needed. May be used from several threads.

    :param config: which model, and where.
    :param limits: of time and number.
    """

    def __init__(self, config: OpenAIConfig, limits: Limits) -> None:
        self._config = config
        self._limits = limits
        self._making = threading.Lock()
        self._connection: _Connection | None = None

    def embed(self, requests: Sequence[Sequence[str]], dimension: int | None) -> FloatMatrix:
        """Vectors of all texts, in order.

        :param requests: texts that are sent together.
        :param dimension: of the vectors; None where that is not known yet.
        :return: float32, one row for each text.
        :raises EmbeddingError: where the server does not give them.
        :raises ConfigurationError: where it does not know the model, or refuses the key.
        :raises InvalidInput: for a text that is too long for it.
        """
        connection = self._connected()
        return connection.background.run(connection.embed(requests, dimension))

    def _connected(self) -> _Connection:
        """A connection of this process: one that was forked along has no thread."""
        with self._making:
            if self._connection is None or self._connection.process != os.getpid():
                self._connection = _Connection(self._config, self._limits)
            return self._connection


class _Connection:
    def __init__(self, config: OpenAIConfig, limits: Limits) -> None:
        self.process = os.getpid()
        self._config = config
        self._limits = limits
        self._refusals = Refusals(config, find_key(config))
        self._encoding: Literal["base64", "float"] = "base64"
        self._headers: dict[str, str | Omit] = {} if self._refusals.key else {"Authorization": omit}
        try:
            self._client = _client(config, limits, self._refusals.key)
        except Exception as error:  # the library's own, and those of sockets, TLS and text
            raise ConfigurationError(
                f"{config.url} cannot be asked ({type(error).__name__}): check that address, and in the environment "
                "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE and SSL_CERT_DIR"
            ) from error.with_traceback(None)  # which could show the key
        self.background = Background(self._client.close)

    async def embed(self, requests: Sequence[Sequence[str]], dimension: int | None) -> FloatMatrix:
        gate = asyncio.Semaphore(self._limits.at_once)

        async def answered(texts: Sequence[str]) -> FloatMatrix:
            async with gate:
                return await self._halved(texts, dimension)

        tasks = [asyncio.create_task(answered(texts)) for texts in requests]
        try:
            return np.concatenate(await asyncio.gather(*tasks))
        except BaseException:  # also where the caller is interrupted: what is under way is of no use any more
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

    async def _halved(self, texts: Sequence[str], dimension: int | None) -> FloatMatrix:
        """In halves where the server takes no request of this size, since nobody but the server knows what it takes."""
        try:
            return await self._retried(texts, dimension)
        except TooLarge as error:
            if len(texts) == 1:
                raise InvalidInput(
                    f"{error}. The text {texts[0][:60]!r} has {len(texts[0])} characters: cut it, or say with "
                    "max_tokens and tokeniser how much the model reads"
                ) from error.__cause__
        middle = len(texts) // 2
        first = await self._halved(texts[:middle], dimension)
        return np.concatenate([first, await self._halved(texts[middle:], dimension)])

    async def _retried(self, texts: Sequence[str], dimension: int | None) -> FloatMatrix:
        """Again until the deadline leaves no time for another attempt.

        Pauses grow at random, and are never shorter than what the server asks for.
        """
        attempts = AsyncRetrying(
            stop=stop_before_delay(max(0.0, self._limits.deadline - self._limits.timeout)),
            wait=_pause,
            retry=retry_if_exception(_worth_it()),
            reraise=True,
        )
        try:
            return await attempts(self._once, texts, dimension)
        except TryAgain as error:
            tries = attempts.statistics["attempt_number"]
            times = "once" if tries == 1 else f"{tries} times within a deadline of {self._limits.deadline:g} seconds"
            raise EmbeddingError(f"{error} (tried {times})") from error.__cause__

    async def _once(self, texts: Sequence[str], dimension: int | None) -> FloatMatrix:
        try:
            async with asyncio.timeout(self._limits.timeout):
                content = await self._ask(texts)
        except TimeoutError as error:
            raise self._refusals.late(self._limits.timeout) from error
        except openai.APITimeoutError as error:
            raise self._refusals.late(self._limits.timeout) from error
        except Exception as error:
            raise self._refusals.translated(error) from error
        try:
            return read_answer(content, len(texts), dimension)
        except ValueError:  # of which a part will be quoted: a short key may also be a part of a vector by chance
            content = self._refusals.without_key(content)
        try:
            return read_answer(content, len(texts), dimension)
        except ValueError as error:
            raise self._refusals.unusable(error) from error

    async def _ask(self, texts: Sequence[str]) -> bytes:
        """base64 is float32 to the bit, and a quarter of the size of decimal numbers; but some servers refuse it."""
        encoding = self._encoding
        try:
            return await self._sent(texts, encoding)
        except openai.APIStatusError as error:
            if encoding == "float" or not is_about_base64(error):
                raise
        self._encoding = "float"
        return await self._sent(texts, "float")

    async def _sent(self, texts: Sequence[str], encoding: Literal["base64", "float"]) -> bytes:
        known = KNOWN.get(self._config.model)
        wanted = self._config.dimensions
        is_own = known is not None and wanted == known.dimension
        answer = await self._client.embeddings.with_raw_response.create(
            model=self._config.model,
            input=list(texts),
            dimensions=omit if wanted is None or is_own else wanted,
            encoding_format=encoding,
            extra_headers=self._headers,
        )
        return answer.content


def _client(config: OpenAIConfig, limits: Limits, key: str | None) -> AsyncOpenAI:
    http = DefaultAsyncHttpxClient(
        timeout=limits.timeout,
        trust_env=not config.is_local,
        event_hooks={"request": [_stripping(config.url if config.is_trusted else None)]},
    )
    return AsyncOpenAI(
        api_key=key or "none",  # which is not sent
        base_url=config.url,
        timeout=limits.timeout,
        max_retries=0,  # its own know no deadline
        default_headers={"Authorization": f"Bearer {key}"} if key else None,
        http_client=http,
    )


def _stripping(trusted: str | None) -> Callable[[Any], Awaitable[None]]:
    """Keeps headers that the client takes from the environment by itself from all servers but one.

    They are those of ``OPENAI_CUSTOM_HEADERS``, which may be keys, of ``OPENAI_ORG_ID`` and of ``OPENAI_PROJECT_ID``.
    A server may redirect to another, and each request on the way comes by here.
    """

    async def strip(request: Any) -> None:  # noqa: ANN401 - of the HTTP library that the client has
        if trusted is None or origin(str(request.url)) != origin(trusted):
            for name in set(request.headers) - _PLAIN_HEADERS:
                if not name.startswith("x-stainless-"):  # the client's own, which it reads again later
                    del request.headers[name]

    return strip


def _worth_it() -> Callable[[BaseException], bool]:
    """Whether an error of one request is tried again; each sort has its own number of attempts."""
    seen: Counter[int] = Counter()

    def again(error: BaseException) -> bool:
        if not isinstance(error, TryAgain):
            return False
        if error.attempts is None:
            return True
        seen[error.attempts] += 1
        return seen[error.attempts] < error.attempts

    return again


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    return max(error.wait if isinstance(error, TryAgain) else 0.0, _BACKOFF(state))
