"""A server whose latencies are known beforehand: one queue, a fixed service time, and a stall or errors where wanted.

It proves the measuring: what the open loop reports of it has to be what queueing theory says. It runs in a process of
its own and speaks HTTP on the loopback interface.
"""

from __future__ import annotations

import http.client
import json
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import numpy as np

from retriever.errors import StoreUnavailable
from retriever.evaluation.load.samples import Seconds

_HOST = "127.0.0.1"
_PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What the server does.

    :param service: seconds for which it is busy with a request.
    :param stall_after: seconds after the first request at which it stands still once.
    :param stall: for so many seconds.
    :param fail_every: answers every n-th request with an error; 0 for none.
    """

    service: float = 0.0
    stall_after: float = 0.0
    stall: float = 0.0
    fail_every: int = 0


class Line:
    """Where requests queue for the one server.

    When a request is done is computed when it comes, so a sleep that ends late delays that answer alone: the queue
    behind it is exact.

    :param behaviour: what the server does.
    """

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._lock = threading.Lock()
        self._free = 0.0
        self._stalls: float | None = None
        self._count = 0

    def served(self) -> bool:
        """Wait until this request is done; False where it fails."""
        if not self._behaviour.service and not self._behaviour.stall and not self._behaviour.fail_every:
            return True
        with self._lock:
            now = time.perf_counter()
            done = self._done(now)
            self._count += 1
            every = self._behaviour.fail_every
            failed = bool(every) and self._count % every == 0
        time.sleep(max(0.0, done - time.perf_counter()))
        return not failed

    def _done(self, now: float) -> float:
        if self._stalls is None:
            self._stalls = now + self._behaviour.stall_after
        begins = max(now, self._free)
        if self._behaviour.stall and begins >= self._stalls:
            begins = max(begins, self._stalls + self._behaviour.stall)
            self._stalls = float("inf")
        self._free = begins + self._behaviour.service
        return self._free


class _Handler(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True
    server: _Server

    def handle(self) -> None:
        while self._read_request():
            status = "200 OK" if self.server.line.served() else "503 Service Unavailable"
            self.request.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())

    def _read_request(self) -> bool:
        """Read to the blank line; False where the client has gone."""
        line = self.rfile.readline()
        while line not in (b"", b"\r\n"):
            line = self.rfile.readline()
        return line != b""


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, line: Line) -> None:
        self.line = line
        super().__init__((_HOST, 0), _Handler)


@contextmanager
def stand_in(behaviour: Behaviour) -> Iterator[int]:
    """The server, in a process of its own, until the block is left.

    :param behaviour: what it does.
    :return: the port that it listens on.
    :raises StoreUnavailable: where it does not start.
    """
    command = [sys.executable, "-m", __name__, json.dumps(asdict(behaviour))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own interpreter
        try:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            port = process.stdout.readline().strip()
            if not port:
                raise StoreUnavailable("the stand-in server did not start")
            yield int(port)
        finally:
            process.terminate()


class Client:
    """Asks the stand-in, each thread through a connection of its own that stays open until the block is left.

    :param port: of the server.
    :param timeout: seconds to wait for an answer.
    """

    def __init__(self, port: int, timeout: float = _PATIENCE) -> None:
        self._port = port
        self._timeout = timeout
        self._local = threading.local()
        self._open: list[http.client.HTTPConnection] = []

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._open:
            connection.close()

    def __call__(self, number: int) -> None:
        """Make a request.

        :param number: of the request; goes into its path.
        :raises StoreUnavailable: where the server answers with an error.
        """
        connection = self._connection()
        try:
            connection.request("GET", f"/{number}")
            reply = connection.getresponse()
            reply.read()
        except (http.client.HTTPException, OSError):
            connection.close()
            raise
        if reply.status != 200:
            raise StoreUnavailable(f"the stand-in answered {reply.status}")

    def _connection(self) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection(_HOST, self._port, timeout=self._timeout)
            self._open.append(connection)
            connection.connect()
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._local.connection = connection
        return connection


def mean_response(service: float, utilisation: float) -> float:
    """Mean seconds from arrival to answer of an M/D/1 queue: Poisson arrivals, fixed service, one server.

    Service time plus the mean wait by Pollaczek and Khinchine, ``rho * S / (2 * (1 - rho))`` (Kleinrock, Queueing
    Systems I, 1975, section 5.6).

    :param service: seconds a request, S.
    :param utilisation: arrival rate times S, rho; below 1.
    """
    return service + utilisation * service / (2 * (1 - utilisation))


def responses(arrivals: Seconds, service: float) -> Seconds:
    """Seconds from arrival to answer of each request, exactly (Lindley 1952): what the queue does with these arrivals.

    :param arrivals: ascending moments.
    :param service: seconds a request.
    """
    # Work that has come less time that has passed: how far it is above its lowest point is still to be done.
    behind = np.arange(len(arrivals)) * service - arrivals
    waits = behind - np.minimum.accumulate(behind)
    return waits + service


def main(arguments: list[str]) -> None:
    """Serve until terminated; the first line of output is the port.

    :param arguments: the behaviour, as JSON.
    """
    with _Server(Line(Behaviour(**json.loads(arguments[0])))) as server:
        sys.stdout.write(f"{server.server_address[1]}\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
