"""Servers for tests and benchmarks, on the loopback interface only."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from retriever.errors import StoreUnavailable

_HOST = "127.0.0.1"
_RUN_CHROMA = "import sys; from chromadb.cli.cli import app; sys.argv[0] = 'chroma'; app()"
_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs.

    :param host: loopback.
    :param port: a free one.
    :param process: end it to see what a client does without it.
    """

    host: str
    port: int
    process: subprocess.Popen[bytes]


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def chroma_server(folder: Path | None = None, port: int | None = None) -> Iterator[Server]:
    """``chroma run`` from the package chromadb, until the block is left.

    :param folder: where it keeps its data; by default a temporary one. Its log goes to a temporary file.
    :param port: where it listens; by default a free one. Give it to start a server again where one was.
    :raises StoreUnavailable: where it does not answer within a minute; the message ends with its log.
    """
    with tempfile.TemporaryDirectory(prefix="chroma-server-") as temporary:
        path = folder if folder is not None else Path(temporary) / "data"
        log = Path(temporary) / "log"
        server = _start_chroma(path, port or free_port(), log)
        try:
            _wait(server, log)
            yield server
        finally:
            server.process.terminate()
            try:
                server.process.wait(10)
            except subprocess.TimeoutExpired:
                server.process.kill()
                server.process.wait()


def _start_chroma(path: Path, port: int, log: Path) -> Server:
    path.mkdir(parents=True, exist_ok=True)
    words = ["run", "--path", str(path), "--host", _HOST, "--port", str(port)]
    environment = os.environ | {"ANONYMIZED_TELEMETRY": "False"}
    with log.open("wb") as file:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter
            [sys.executable, "-c", _RUN_CHROMA, *words], stdout=file, stderr=file, env=environment, cwd=log.parent
        )
    return Server(_HOST, port, process)


def _wait(server: Server, log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and server.process.poll() is None:
        if _answers(f"http://{server.host}:{server.port}/api/v2/heartbeat"):
            return
        time.sleep(0.05)
    tail = log.read_text(encoding="utf-8", errors="replace")[-1_000:]
    raise StoreUnavailable(f"chroma run does not answer on port {server.port}: {tail}")


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy has no business on loopback
    try:
        with opener.open(url, timeout=2) as reply:
            ok: bool = reply.status == 200
            return ok
    except (http.client.HTTPException, OSError):
        return False
