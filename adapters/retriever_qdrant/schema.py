"""How a collection is made, and its payload indexes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qdrant_client import models

from retriever.errors import ConfigurationError
from retriever.manifest import FieldType, Manifest
from retriever_qdrant.connection import Connection
from retriever_qdrant.options import ServerOptions
from retriever_qdrant.payload import BUILT_IN, DENSE, KEYWORD, SPARSE, metadata_path

# Never Integer: a range around 0.3 finds nothing in such an index.
_SCHEMAS: Mapping[FieldType, models.PayloadSchemaType] = {
    "keyword": models.PayloadSchemaType.KEYWORD,
    "number": models.PayloadSchemaType.FLOAT,
    "bool": models.PayloadSchemaType.BOOL,
}

_QUANTIZATION: Mapping[str, models.ScalarQuantization | models.BinaryQuantization] = {
    "scalar": models.ScalarQuantization(
        scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
    ),
    "binary": models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True)),
}


def collection_settings(options: ServerOptions, manifest: Manifest) -> dict[str, Any]:
    """The arguments of ``create_collection``, without name and metadata.

    :param options: what the user wants.
    :param manifest: of the index.
    """
    dimension = manifest.embedding.dimension
    sparse = {KEYWORD: models.SparseVectorParams(modifier=models.Modifier.IDF)}
    if manifest.sparse is not None:  # whose weights hold all there is to know: no idf is applied to them
        sparse[SPARSE] = models.SparseVectorParams()
    dense = models.VectorParams(size=dimension, distance=models.Distance.COSINE, on_disk=options.on_disk or None)
    wanted = {
        "shard_number": options.shard_number,
        "replication_factor": options.replication_factor,
        "write_consistency_factor": options.write_consistency_factor,
        "quantization_config": None if options.quantization is None else _QUANTIZATION[options.quantization],
        # The cloud refuses filters on fields without an index unless told otherwise; ours hold on every key.
        "strict_mode_config": models.StrictModeConfig(unindexed_filtering_retrieve=True),
        "hnsw_config": models.HnswConfigDiff(m=0) if options.bulk_load else None,
    }
    return {
        "vectors_config": {DENSE: dense},
        "sparse_vectors_config": sparse,
        **{name: value for name, value in wanted.items() if value is not None},
    }


def check_tenants(options: ServerOptions, manifest: Manifest) -> None:
    """Refuse tenant fields that get no index, since nothing would come of them.

    :param options: with tenant fields.
    :param manifest: with filter fields.
    :raises ConfigurationError: naming the field.
    """
    for key in sorted(options.tenant_fields):
        if manifest.filter_fields.get(key) != "keyword":
            raise ConfigurationError(f"the tenant field {key!r} has to be a filter field of type keyword too")


class FieldIndexes:
    """The payload indexes of a collection. Making one that is there has no effect, nor has dropping one that is not.

    :param connection: to the server; names the collection.
    :param tenants: keys whose index is marked as the tenant's.
    """

    def __init__(self, connection: Connection, tenants: frozenset[str]) -> None:
        self._connection = connection
        self._tenants = tenants

    def complete(self, info: models.CollectionInfo, manifest: Manifest) -> None:
        """Make those that are missing, also where an earlier attempt was interrupted.

        :param info: of the collection, says which there are.
        :param manifest: says which there shall be.
        """
        if self._connection.is_local:  # which has none, and warns of it
            return
        there = {_plain(path): index.data_type for path, index in info.payload_schema.items()}
        for field in BUILT_IN:
            if field not in there:
                self._make(field, models.PayloadSchemaType.KEYWORD)
        for key, kind in manifest.filter_fields.items():
            path = metadata_path(key)
            if there.get(_plain(path), _SCHEMAS[kind]) != _SCHEMAS[kind]:
                self._drop(path)
            if there.get(_plain(path)) != _SCHEMAS[kind]:
                self._make(path, self._schema(key, kind))

    def drop(self, before: Manifest, after: Manifest) -> None:
        """Drop those that are no longer wanted.

        :param before: the manifest that made them.
        :param after: the manifest in force.
        """
        if self._connection.is_local:
            return
        for key in before.filter_fields.keys() - after.filter_fields.keys():
            self._drop(metadata_path(key))

    def _schema(self, key: str, kind: FieldType) -> models.PayloadSchemaType | models.KeywordIndexParams:
        if key in self._tenants:
            return models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)
        return _SCHEMAS[kind]

    def _make(self, path: str, schema: models.PayloadSchemaType | models.KeywordIndexParams) -> None:
        name = self._connection.collection
        self._connection.call(lambda client: client.create_payload_index(name, path, field_schema=schema, wait=True))

    def _drop(self, path: str) -> None:
        name = self._connection.collection
        self._connection.call(lambda client: client.delete_payload_index(name, path, wait=True))


def _plain(path: str) -> str:
    """A path without its quotes, which the server leaves out where it can; keys hold none of their own."""
    return path.replace('"', "")
