"""Manifests and records for these tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from retriever.chunking.config import ChunkerConfig
from retriever.keyword.config import AnalyserConfig
from retriever.manifest import Calibration, EmbeddingManifest, FieldType, Manifest
from retriever.metadata import clean_metadata
from retriever.stores import Record
from retriever.types import Chunk

DIMENSION = 4


def make_manifest(
    dimension: int = DIMENSION,
    average_length: float | None = 3.0,
    filter_fields: Mapping[str, FieldType] | None = None,
) -> Manifest:
    calibrated = average_length is not None
    return Manifest(
        created_with="0",
        embedding=EmbeddingManifest(kind="none", config={}, fingerprint={}, dimension=dimension, canaries=[]),
        chunker=ChunkerConfig(),
        analyser=AnalyserConfig(),
        filter_fields=dict(filter_fields or {}),
        calibration=Calibration(chunks=1, average_length=average_length, unknown_rate=0.0) if calibrated else None,
    )


def make_chunk(name: str, metadata: Mapping[str, Any] | None = None, **fields: Any) -> Chunk:
    text = fields.pop("text", f"text of {name}")
    values = {"document_id": "doc", "source": "", "start": 0, "end": len(text)} | fields
    return Chunk(id=name, text=text, metadata=clean_metadata(metadata or {}, name), **values)


def make_record(
    name: str,
    vector: Sequence[float] = (1, 0, 0, 0),
    terms: Mapping[str, int] | None = None,
    metadata: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Record:
    return Record(
        chunk=make_chunk(name, metadata, **fields),
        vector=np.array(vector, dtype=np.float32),
        terms={"word": 1} if terms is None else terms,
    )
