"""A stand-in for a Qdrant server: its REST interface over real sockets, with the client's local mode behind it.

It keeps what the local mode forgets (settings of a collection, payload indexes), has the server's limit on the size of
a request, notes every request, and can be told to fail.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import TypeAdapter
from qdrant_client import QdrantClient, models

LIMIT = 32 * 2**20

Failure = Callable[[BaseHTTPRequestHandler], None]
"""What happens to a request instead of an answer."""


class StandIn:
    """A server on loopback. ``failures`` befall the next requests, one each; None lets one pass."""

    def __init__(self) -> None:
        self.local = QdrantClient(":memory:")
        self.version = "1.20.0"
        self.limit = LIMIT
        self.condition = "green"
        self.failures: list[Failure | None] = []
        self.requests: list[tuple[str, str, Any, dict[str, str]]] = []
        self.settings: dict[str, dict[str, Any]] = {}
        self.indexes: dict[str, dict[str, Any]] = {}
        self.without: set[str] = set()
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self.port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self.local.close()

    def asked(self, method: str, ending: str) -> list[Any]:
        """Bodies of the requests whose path ends like this."""
        return [body for verb, path, body, _ in self.requests if verb == method and path.endswith(ending)]

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        with self._lock:
            if path == "/":
                return 200, {"title": "qdrant - vector search engine", "version": self.version}
            _, kind, name, *rest = path.split("/")
            if kind != "collections" or (rest and rest[0] in self.without):
                return 404, ""
            try:
                return 200, _ok(self._collection(method, unquote(name), [unquote(part) for part in rest], body))
            except ValueError as error:
                status = 404 if "not found" in str(error) else 409 if "already exists" in str(error) else 400
                text = f"Not found: {error}" if status == 404 else f"Wrong input: {error}"
                return status, {"status": {"error": text}, "time": 0.0}

    def _collection(self, method: str, name: str, rest: list[str], body: Any) -> Any:
        if not rest:
            return self._whole(method, name, body)
        if rest[0] == "index":
            return self._index(method, name, rest, body)
        if rest[0] == "vectors":
            return self._vector_name(method, name, rest[1], body)
        return self._points(method, name, "/".join(rest), body)

    def _whole(self, method: str, name: str, body: Any) -> Any:
        if method == "GET":
            return self._info(name)
        if method == "DELETE":
            self.settings.pop(name, None)
            self.indexes.pop(name, None)
            return self.local.delete_collection(name)
        if method == "PATCH":
            self.local.get_collection(name)
            update = models.UpdateCollection(**body)
            self.settings[name].setdefault("hnsw_config", {}).update(body.get("hnsw_config") or {})
            return self.local.update_collection(name, metadata=update.metadata)
        made = models.CreateCollection(**body)
        self.local.create_collection(
            name,
            vectors_config=made.vectors,
            sparse_vectors_config=made.sparse_vectors,
            metadata=made.metadata,
        )
        self.settings[name] = dict(body)
        self.indexes[name] = {}
        return True

    def _info(self, name: str) -> Any:
        info = json.loads(self.local.get_collection(name).model_dump_json())
        settings = self.settings.get(name, {})
        info["config"]["hnsw_config"].update(settings.get("hnsw_config") or {})
        info["status"] = self.condition
        info["config"]["quantization_config"] = settings.get("quantization_config")
        info["payload_schema"] = {
            path.replace('"', ""): {"data_type": schema if isinstance(schema, str) else schema["type"], "points": 0}
            for path, schema in self.indexes.get(name, {}).items()
        }
        return info

    def _index(self, method: str, name: str, rest: list[str], body: Any) -> Any:
        self.local.get_collection(name)
        if method == "PUT":
            made = models.CreateFieldIndex(**body)
            self.indexes[name][made.field_name] = body["field_schema"]
        else:
            self.indexes[name].pop(rest[1], None)
        return _UPDATED

    def _vector_name(self, method: str, name: str, vector: str, body: Any) -> Any:
        if method == "PUT":
            self.local.create_vector_name(name, vector, TypeAdapter(models.VectorNameConfig).validate_python(body))
        else:
            self.local.delete_vector_name(name, vector)
        return _UPDATED

    def _points(self, method: str, name: str, what: str, body: Any) -> Any:
        local = self.local
        if (method, what) == ("PUT", "points"):
            local.upsert(name, models.PointsList(**body).points)
            return _UPDATED
        if (method, what) == ("PUT", "points/vectors"):
            local.update_vectors(name, models.UpdateVectors(**body).points)
            return _UPDATED
        if what == "points":
            asked = models.PointRequest(**body)
            return local.retrieve(name, asked.ids, with_payload=asked.with_payload, with_vectors=asked.with_vector)
        if what == "points/count":
            return local.count(name, count_filter=models.CountRequest(**body).filter)
        if what == "points/delete":
            local.delete(name, models.PointIdsList(**body))
            return _UPDATED
        if what == "points/batch":
            local.batch_update_points(name, models.UpdateOperations(**body).operations)
            return [_UPDATED for _ in body["operations"]]
        if what == "points/scroll":
            return self._scroll(name, models.ScrollRequest(**body))
        if what == "points/query/batch":
            requests = [r.model_copy(update={"params": None}) for r in models.QueryRequestBatch(**body).searches]
            return local.query_batch_points(name, requests)
        raise ValueError(f"unknown: {method} {what}")

    def _scroll(self, name: str, asked: models.ScrollRequest) -> Any:
        points, offset = self.local.scroll(
            name,
            scroll_filter=asked.filter,
            limit=asked.limit or 10,
            offset=asked.offset,
            with_payload=asked.with_payload if asked.with_payload is not None else True,
            with_vectors=asked.with_vector or False,
        )
        return {"points": points, "next_page_offset": offset}


_UPDATED = {"operation_id": 1, "status": "completed"}


def _ok(result: Any) -> Any:
    return {"result": _jsonable(result), "status": "ok", "time": 0.0}


def _jsonable(value: Any) -> Any:
    if hasattr(value, "model_dump_json"):
        return json.loads(value.model_dump_json())
    if isinstance(value, dict):
        return {key: _jsonable(part) for key, part in value.items()}
    return [_jsonable(part) for part in value] if isinstance(value, list) else value


def _handler(server: StandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            path = urlsplit(self.path).path
            size = int(self.headers.get("Content-Length") or 0)
            failure = server.failures.pop(0) if server.failures else None
            if failure is not None:
                server.requests.append((self.command, path, None, dict(self.headers)))
                failure(self)
                return
            if size > server.limit:
                self.rfile.read(size)
                text = f"JSON payload ({size} bytes) is larger than allowed (limit: {LIMIT} bytes)."
                reply(self, 400, json.dumps({"status": {"error": text}}))
                return
            body = json.loads(self.rfile.read(size)) if size else None
            server.requests.append((self.command, path, body, dict(self.headers)))
            status, result = server.answer(self.command, path, body)
            reply(self, status, json.dumps(result) if result != "" else "")

        do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = _serve  # noqa: N815 - the names that the base class looks for

        def log_message(self, *arguments: Any) -> None:
            pass

    return Handler


def reply(handler: BaseHTTPRequestHandler, status: int, text: str, headers: dict[str, str] | None = None) -> None:
    content = text.encode()
    handler.send_response(status)
    for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def status(code: int, text: str = "", headers: dict[str, str] | None = None) -> Failure:
    """Answer with a status."""
    return lambda handler: reply(handler, code, text, headers)


def hang(handler: BaseHTTPRequestHandler) -> None:
    """Say nothing for as long as the client waits."""
    handler.connection.settimeout(30)
    while handler.connection.recv(2**16):
        pass
    handler.close_connection = True


def drop(handler: BaseHTTPRequestHandler) -> None:
    """Hang up in the middle of an answer."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"result": ')
    handler.wfile.flush()
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


@contextmanager
def stand_in() -> Iterator[StandIn]:
    """A server for the time of a test."""
    server = StandIn()
    try:
        yield server
    finally:
        server.close()


def within(seconds: float) -> Callable[[], bool]:
    """Whether no more time than this has passed since the call."""
    start = time.monotonic()
    return lambda: time.monotonic() - start <= seconds
