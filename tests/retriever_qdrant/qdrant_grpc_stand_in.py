"""The gRPC interface of the stand-in for a Qdrant server: real sockets, the client's own messages and conversions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc as rpc
from qdrant_client import QdrantClient, grpc, models
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc
from qdrant_client.grpc import collections_service_pb2_grpc, points_service_pb2_grpc, qdrant_pb2_grpc
from qdrant_stand_in import StandIn, stand_in

Failure = tuple[rpc.StatusCode, str, tuple[tuple[str, str], ...]]
"""Code, details and trailing metadata."""


class GrpcStandIn:
    """What befalls the next calls is in ``failures``, one each; None lets one pass."""

    def __init__(self, rest: StandIn) -> None:
        self.rest = rest
        self.failures: list[Failure | None] = []
        self.calls: list[str] = []
        self.metadata: list[dict[str, str]] = []
        self._server = rpc.server(ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", -1)])
        qdrant_pb2_grpc.add_QdrantServicer_to_server(_guarded(_Root(), self), self._server)
        collections_service_pb2_grpc.add_CollectionsServicer_to_server(_guarded(_Collections(rest), self), self._server)
        points_service_pb2_grpc.add_PointsServicer_to_server(_guarded(_Points(rest.local), self), self._server)
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def client(self, **settings: Any) -> QdrantClient:
        given = {"timeout": 10, "check_compatibility": False} | settings
        return QdrantClient(host="127.0.0.1", grpc_port=self.port, prefer_grpc=True, **given)

    def close(self) -> None:
        self._server.stop(0).wait()


@contextmanager
def grpc_stand_in() -> Iterator[GrpcStandIn]:
    """A server for the time of a test."""
    with stand_in() as rest:
        server = GrpcStandIn(rest)
        try:
            yield server
        finally:
            server.close()


def _guarded(servicer: Any, server: GrpcStandIn) -> Any:
    """Notes calls, lets failures befall them, and turns errors of the local mode into codes."""

    class Guarded:
        def __getattr__(self, name: str) -> Callable[[Any, rpc.ServicerContext], Any]:
            def call(request: Any, context: rpc.ServicerContext) -> Any:
                server.calls.append(name)
                server.metadata.append(dict(context.invocation_metadata()))
                failure = server.failures.pop(0) if server.failures else None
                if failure is not None:
                    code, details, trailing = failure
                    context.set_trailing_metadata(trailing)
                    context.abort(code, details)
                try:
                    with server.rest._lock:
                        return getattr(servicer, name)(request)
                except ValueError as error:
                    missing = "not found" in str(error)
                    context.abort(rpc.StatusCode.NOT_FOUND if missing else rpc.StatusCode.INVALID_ARGUMENT, str(error))

            return call

    return Guarded()


class _Root:
    def HealthCheck(self, request: Any) -> Any:
        return grpc.HealthCheckReply(title="qdrant", version="1.20.0")


class _Collections:
    def __init__(self, rest: StandIn) -> None:
        self._rest = rest

    def __getattr__(self, name: str) -> Any:
        raise ValueError(f"unknown: {name}")

    def Get(self, request: Any) -> Any:
        info = models.CollectionInfo(**self._rest._info(request.collection_name))
        return grpc.GetCollectionInfoResponse(result=RestToGrpc.convert_collection_info(info))

    def Create(self, request: Any) -> Any:
        made = models.CreateCollection(
            vectors=GrpcToRest.convert_vectors_config(request.vectors_config),
            sparse_vectors=GrpcToRest.convert_sparse_vector_config(request.sparse_vectors_config),
            metadata=GrpcToRest.convert_payload(request.metadata),
            hnsw_config=GrpcToRest.convert_hnsw_config_diff(request.hnsw_config),
        )
        body = json.loads(made.model_dump_json(exclude_none=True))
        self._rest._whole("PUT", request.collection_name, body)
        return grpc.CollectionOperationResponse(result=True)

    def Update(self, request: Any) -> Any:
        body: dict[str, Any] = {"metadata": GrpcToRest.convert_payload(request.metadata)}
        if request.HasField("hnsw_config"):
            body["hnsw_config"] = json.loads(
                GrpcToRest.convert_hnsw_config_diff(request.hnsw_config).model_dump_json(exclude_none=True)
            )
        self._rest._whole("PATCH", request.collection_name, body)
        return grpc.CollectionOperationResponse(result=True)

    def Delete(self, request: Any) -> Any:
        return grpc.CollectionOperationResponse(result=self._rest._whole("DELETE", request.collection_name, None))


class _Points:
    def __init__(self, local: QdrantClient) -> None:
        self._local = local

    def __getattr__(self, name: str) -> Any:
        raise ValueError(f"unknown: {name}")

    def Upsert(self, request: Any) -> Any:
        points = [GrpcToRest.convert_point_struct(point) for point in request.points]
        return _updated(self._local.upsert(request.collection_name, points))

    def Get(self, request: Any) -> Any:
        points = self._local.retrieve(
            request.collection_name,
            [GrpcToRest.convert_point_id(point) for point in request.ids],
            with_payload=GrpcToRest.convert_with_payload_selector(request.with_payload),
            with_vectors=GrpcToRest.convert_with_vectors_selector(request.with_vectors),
        )
        return grpc.GetResponse(result=_retrieved(points))

    def Scroll(self, request: Any) -> Any:
        points, offset = self._local.scroll(
            request.collection_name,
            scroll_filter=_filter(request),
            limit=request.limit,
            offset=GrpcToRest.convert_point_id(request.offset) if request.HasField("offset") else None,
            with_payload=GrpcToRest.convert_with_payload_selector(request.with_payload),
            with_vectors=GrpcToRest.convert_with_vectors_selector(request.with_vectors),
        )
        return grpc.ScrollResponse(
            result=_retrieved(points),
            next_page_offset=None if offset is None else RestToGrpc.convert_extended_point_id(offset),
        )

    def Count(self, request: Any) -> Any:
        counted = self._local.count(request.collection_name, count_filter=_filter(request))
        return grpc.CountResponse(result=RestToGrpc.convert_count_result(counted))

    def Delete(self, request: Any) -> Any:
        return _updated(self._local.delete(request.collection_name, GrpcToRest.convert_points_selector(request.points)))

    def UpdateBatch(self, request: Any) -> Any:
        operations = [GrpcToRest.convert_points_update_operation(operation) for operation in request.operations]
        self._local.batch_update_points(request.collection_name, operations)
        done = grpc.UpdateResult(operation_id=1, status=grpc.UpdateStatus.Completed)
        return grpc.UpdateBatchResponse(result=[done for _ in operations])

    def QueryBatch(self, request: Any) -> Any:
        asked = [GrpcToRest.convert_query_points(query) for query in request.query_points]
        requests = [query.model_copy(update={"params": None}) for query in asked]
        answers = self._local.query_batch_points(request.collection_name, requests)
        found = [[RestToGrpc.convert_scored_point(_whole(point)) for point in answer.points] for answer in answers]
        return grpc.QueryBatchResponse(result=[grpc.BatchResult(result=points) for points in found])

    def UpdateVectors(self, request: Any) -> Any:
        points = [GrpcToRest.convert_point_vectors(point) for point in request.points]
        return _updated(self._local.update_vectors(request.collection_name, points))

    def CreateVectorName(self, request: Any) -> Any:
        modifier = GrpcToRest.convert_modifier(request.sparse_config.modifier)
        sparse = models.SparseVectorNameConfig(sparse=models.SparseVectorConfig(modifier=modifier))
        return _updated(self._local.create_vector_name(request.collection_name, request.vector_name, sparse))

    def DeleteVectorName(self, request: Any) -> Any:
        return _updated(self._local.delete_vector_name(request.collection_name, request.vector_name))

    def CreateFieldIndex(self, request: Any) -> Any:
        return _updated(self._local.get_collection(request.collection_name))

    DeleteFieldIndex = CreateFieldIndex


def _filter(request: Any) -> models.Filter | None:
    return GrpcToRest.convert_filter(request.filter) if request.HasField("filter") else None


def _whole(point: Any) -> Any:
    """The conversion knows no point without a payload."""
    return point.model_copy(update={"payload": point.payload or {}})


def _retrieved(points: list[models.Record]) -> list[Any]:
    return [RestToGrpc.convert_retrieved_point(_whole(point)) for point in points]


def _updated(_: Any) -> Any:
    done = grpc.UpdateResult(operation_id=1, status=grpc.UpdateStatus.Completed)
    return grpc.PointsOperationResponse(result=done)
