"""A server on the loopback interface that speaks OpenAI's embeddings API, well or as badly as it is told."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiktoken

from retriever.embedding.openai import tokens
from retriever.embedding.openai.tokens import ENCODING

DIMENSION = 8


def vector_of(text: str, dimension: int = DIMENSION) -> np.ndarray:
    """What the server answers for a text: not of length 1, and float32 to the bit."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).normal(size=dimension).astype(np.float32)


def unit_of(text: str, dimension: int = DIMENSION) -> np.ndarray:
    vector = vector_of(text, dimension)
    return vector / np.linalg.norm(vector, keepdims=True)


class StandIn:
    """What the server does, and what it was asked.

    ``faults`` names what goes wrong with the next requests, one each; afterwards all goes well.
    """

    def __init__(self) -> None:
        self.faults: list[Any] = []
        self.dimension = DIMENSION
        self.most_texts = 2048
        self.longest: int | None = None
        self.too_long = 400, "This model's maximum context length is 8192 tokens, however you requested more"
        self.key: str | None = None
        self.floats = False
        self.no_base64 = ""  # what it says where it refuses that
        self.pause = 0.0
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []
        self.embedded: Counter[str] = Counter()
        self.side_by_side = self.most_side_by_side = 0
        self.lock = threading.Lock()
        self.released = threading.Event()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def next_fault(self) -> Any:
        with self.lock:
            return self.faults.pop(0) if self.faults else None


@pytest.fixture
def server() -> Iterator[StandIn]:
    """One that answers properly until it is told otherwise."""
    with stand_in() as told:
        yield told


@pytest.fixture
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the user's own, but a proxy, which a server on this machine must not be reached through."""
    for name in [name for name in os.environ if name.startswith("OPENAI_")]:
        monkeypatch.delenv(name)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def small_encoding(monkeypatch: pytest.MonkeyPatch) -> Iterator[tiktoken.Encoding]:
    """A tokeniser of the real library in place of the one it would have to fetch: bytes, and a few pairs."""
    ranks = {bytes([byte]): byte for byte in range(256)}
    for pair in (b"th", b"the", b" the", b" a", b"in", b"ing", "\u68c0".encode()[:2]):
        ranks[pair] = len(ranks)
    encoding = tiktoken.Encoding(ENCODING, pat_str=r" ?\p{L}+|\p{N}|\s+|.", mergeable_ranks=ranks, special_tokens={})
    monkeypatch.setitem(tiktoken.registry.ENCODINGS, ENCODING, encoding)
    tokens._fetched.cache_clear()
    yield encoding
    tokens._fetched.cache_clear()


@pytest.fixture
def no_encoding(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The tokeniser is not on this machine and cannot be fetched, whatever network there is."""
    monkeypatch.delitem(tiktoken.registry.ENCODINGS, ENCODING, raising=False)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "tiktoken"))
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    tokens._fetched.cache_clear()
    yield
    tokens._fetched.cache_clear()


class Reply(Exception):
    """Ends the handling of a request."""

    def __init__(self, status: int, body: bytes | str | dict[str, Any], headers: dict[str, str] | None = None) -> None:
        self.status, self.headers = status, headers or {}
        self.body = json.dumps(body).encode() if isinstance(body, dict) else body
        self.body = self.body.encode() if isinstance(self.body, str) else self.body


def refusal(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None, **more}}


def listed(vectors: list[Any], server: StandIn) -> dict[str, Any]:
    return {
        "object": "list",
        "model": "stand-in",
        "usage": {"prompt_tokens": 1, "total_tokens": 1},
        "data": [
            {"object": "embedding", "index": index, "embedding": encoded(vector, server)}
            for index, vector in enumerate(vectors)
        ],
    }


def encoded(vector: np.ndarray, server: StandIn) -> Any:
    return vector.tolist() if server.floats else base64.b64encode(vector.astype("<f4").tobytes()).decode()


INSTEAD: dict[str, Callable[[dict[str, Any]], bytes]] = {
    "html": lambda body: b"<!doctype html><title>Sign in to the network</title>",
    "truncated": lambda body: json.dumps(body).encode()[:60],
    "garbage": lambda body: bytes(range(256)),
    "nothing": lambda body: b"",
    "error": lambda body: json.dumps(refusal("the model crashed")).encode(),
    "list": lambda body: json.dumps(body["data"]).encode(),
}
"""What comes instead of an answer, with status 200."""

HARM: dict[str, Callable[[list[dict[str, Any]]], object]] = {
    "empty": lambda data: data.clear(),
    "fewer": lambda data: data.pop(),
    "more": lambda data: data.append({**data[-1], "index": len(data)}),
    "doubled": lambda data: data[-1].update(index=0 if len(data) > 1 else 7),
    "no index": lambda data: data[0].pop("index"),
    "other dimension": lambda data: data[-1].update(embedding=[0.5] * 3),
    "nan": lambda data: data[0].update(embedding=[float("nan")] * 8),
    "no base64": lambda data: data[0].update(embedding="!" * 40),
    "half a float": lambda data: data[0].update(embedding=base64.b64encode(b"12345").decode()),
    "no vector": lambda data: data[0].update(embedding=None),
}
"""What becomes of the vectors in an answer."""

SPOILED = [*INSTEAD, *HARM]


def spoiled(fault: str, body: dict[str, Any]) -> bytes | dict[str, Any]:
    """An answer with status 200 that is of no use."""
    if fault in INSTEAD:
        return INSTEAD[fault](body)
    HARM[fault](body["data"])
    return body


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two packets, and the second would wait for 40 ms
    stand_in: StandIn

    def do_POST(self) -> None:
        server = self.stand_in
        with server.lock:
            server.side_by_side += 1
            server.most_side_by_side = max(server.most_side_by_side, server.side_by_side)
        try:
            self.answered(server)
        except Reply as reply:
            self.reply(reply)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client has given up
        finally:
            with server.lock:
                server.side_by_side -= 1

    def answered(self, server: StandIn) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with server.lock:
            server.requests.append(request)
            server.headers.append({name.lower(): value for name, value in self.headers.items()})
            server.times.append(time.monotonic())
        time.sleep(server.pause)
        if self.path != "/v1/embeddings":
            raise Reply(404, "404 page not found")
        sent = self.headers.get("authorization", "")
        if server.key is not None and sent != f"Bearer {server.key}":
            raise Reply(401, refusal(f"Incorrect API key provided: {sent}", code="invalid_api_key"))
        if server.no_base64 and request["encoding_format"] == "base64":
            raise Reply(400, refusal(server.no_base64))
        fault = server.next_fault()
        if fault is not None and fault not in SPOILED and fault != "shuffled":
            self.fail(fault, server)
        self.check(request["input"], server)
        dimension = request.get("dimensions", server.dimension)
        body = listed([vector_of(text, dimension) for text in request["input"]], server)
        if fault in SPOILED:
            raise Reply(200, spoiled(fault, body))
        if fault == "shuffled":
            body["data"].reverse()
        with server.lock:
            server.embedded.update(request["input"])
        raise Reply(200, body)

    def check(self, texts: list[str], server: StandIn) -> None:
        if not all(texts):
            raise Reply(400, refusal("'$.input' is invalid. Please check the API reference."))
        if len(texts) > server.most_texts:
            raise Reply(413, {"error": f"batch size {len(texts)} > maximum allowed batch size", "error_type": "x"})
        if server.longest is not None and max(map(len, texts)) > server.longest:
            raise Reply(server.too_long[0], refusal(server.too_long[1]))

    def fail(self, fault: Any, server: StandIn) -> None:
        if isinstance(fault, Reply):
            sent = self.headers.get("authorization", "").removeprefix("Bearer ")
            raise Reply(fault.status, fault.body.replace(b"{{key}}", sent.encode()), fault.headers)
        if isinstance(fault, int):
            raise Reply(fault, refusal(f"status {fault}"))
        self.close_connection = True
        if fault == "hang":
            server.released.wait(30)
        elif fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        elif fault == "drop":
            self.connection.shutdown(socket.SHUT_RDWR)
        elif fault == "drip headers":
            self.drip(b"HTTP/1.1 200 OK\r\nx-slow: " + b"x" * 2_000, server)
        elif fault == "drip body":
            self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2000\r\n\r\n")
            self.drip(b" " * 2_000, server)
        else:
            raise AssertionError(fault)
        raise BrokenPipeError

    def drip(self, data: bytes, server: StandIn) -> None:
        for byte in data:
            self.wfile.write(bytes([byte]))
            if server.released.wait(0.05):
                return

    def reply(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in {"content-type": "application/json", **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, *arguments: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that is gone is no error here."""


@contextmanager
def stand_in() -> Iterator[StandIn]:
    """Run one until the block is left."""
    told = StandIn()
    server = Server(("127.0.0.1", 0), type("OwnHandler", (Handler,), {"stand_in": told}))
    told.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield told
    finally:
        told.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
