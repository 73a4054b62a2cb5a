"""The engine's shard: how it is made, opened and indexed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import qdrant_edge as edge

from retriever.manifest import FieldType, Manifest
from retriever_qdrant.changes import UNINDEXED
from retriever_qdrant.payload import BUILT_IN, DENSE, KEYWORD, SPARSE, metadata_path

# Never Integer: a range around 0.3 finds nothing in such an index.
_SCHEMAS: Mapping[FieldType, edge.PayloadSchemaType] = {
    "keyword": edge.PayloadSchemaType.Keyword,
    "number": edge.PayloadSchemaType.Float,
    "bool": edge.PayloadSchemaType.Bool,
}


def create_shard(path: Path, manifest: Manifest) -> edge.EdgeShard:
    """Make an empty shard with its payload indexes.

    :param path: where nothing is yet.
    :param manifest: gives the dimension and the filter fields.
    """
    dimension = manifest.embedding.dimension
    # The engine's threshold is in kilobytes, and would be 40 times as many vectors for a small dimension.
    threshold = max(1, UNINDEXED * dimension * 4 // 1024)
    config = edge.EdgeConfig(
        vectors={DENSE: edge.EdgeVectorParams(dimension, edge.Distance.Cosine)},
        sparse_vectors=_sparse_vectors(manifest),
        optimizers=edge.EdgeOptimizersConfig(indexing_threshold=threshold),
    )
    shard = edge.EdgeShard.create(str(path), config)
    for field in BUILT_IN:
        shard.update(edge.UpdateOperation.create_field_index(field, edge.PayloadSchemaType.Keyword))
    change_fields(shard, {}, manifest.filter_fields)
    return shard


def _sparse_vectors(manifest: Manifest) -> dict[str, edge.EdgeSparseVectorParams]:
    """A learned vector's weights hold all there is to know: no idf is applied to them."""
    params = {KEYWORD: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)}
    return params if manifest.sparse is None else params | {SPARSE: edge.EdgeSparseVectorParams()}


def change_fields(shard: edge.EdgeShard, before: Mapping[str, FieldType], after: Mapping[str, FieldType]) -> None:
    """Make the payload indexes that are new, and drop those that are not wanted any more.

    :param shard: open.
    :param before: metadata keys with an index, and its type.
    :param after: those that shall have one.
    """
    for key, kind in before.items():
        if after.get(key) != kind:
            shard.update(edge.UpdateOperation.delete_field_index(metadata_path(key)))
    for key, kind in after.items():
        if before.get(key) != kind:
            shard.update(edge.UpdateOperation.create_field_index(metadata_path(key), _SCHEMAS[kind]))
