"""A server on the loopback interface that misbehaves as it is told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Faults:
    """What the server does, and what it was asked.

    :param status: of every answer.
    :param body: of every answer.
    :param headers: of every answer.
    :param behaviour: ``answer``, ``hang`` or ``drop``.
    """

    def __init__(self, status: int = 200, body: str = "{}", headers: dict[str, str] | None = None) -> None:
        self.status, self.body, self.headers = status, body, headers or {}
        self.behaviour = "answer"
        self.seen: list[tuple[str, str]] = []
        self.released = threading.Event()
        self.port = 0


@contextmanager
def faulty_server(faults: Faults) -> Iterator[Faults]:
    """Run it until the block is left."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            faults.seen.append((self.path, self.headers.get("authorization", "")))
            length = int(self.headers.get("content-length") or 0)
            self.rfile.read(length)
            if faults.behaviour == "hang":
                faults.released.wait(30)
                return
            if faults.behaviour == "drop":
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            body = faults.body.replace("{{key}}", self.headers.get("authorization", "")).encode()
            self.send_response(faults.status)
            for name, value in faults.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - names of the base class

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    faults.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield faults
    finally:
        faults.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
