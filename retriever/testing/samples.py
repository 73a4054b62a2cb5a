"""Manifests, chunks and records for tests of stores."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from retriever.chunking.config import ChunkerConfig
from retriever.keyword.analyser import Analyser
from retriever.keyword.config import AnalyserConfig
from retriever.manifest import Calibration, EmbeddingManifest, FieldType, Manifest, SparseCanary, SparseManifest
from retriever.metadata import clean_metadata
from retriever.sparse.vector import SparseVector
from retriever.stores import Record
from retriever.types import Chunk, FloatMatrix, FloatVector

DIMENSION = 4
"""Of the vectors of :func:`make_record`."""

ANALYSER = Analyser(AnalyserConfig(language="none"))
"""Makes the terms of :func:`make_record`; stores that make terms anew from texts find it in the manifest."""


SPARSE = SparseManifest(
    kind="none",
    config={},
    fingerprint={},
    vocabulary=30_000,
    canaries=[SparseCanary(indices=[7], weights=[3.0]), SparseCanary(indices=[7], weights=[1.0])],
)
"""Of a learned sparse model that there is not, and whose weights are about 3 at most."""


def chunk_id(name: str) -> str:
    """An id as chunks have them, 32 hexadecimal digits, for a name that a test can read.

    :param name: any text.
    """
    return hashlib.blake2b(name.encode(), digest_size=16).hexdigest()


def make_manifest(
    dimension: int = DIMENSION,
    average_length: float | None = 3.0,
    filter_fields: Mapping[str, FieldType] | None = None,
    *,
    sparse: bool = False,
) -> Manifest:
    """A manifest of an index that no embedding function built, and whose terms are the words of the text.

    :param dimension: of its vectors.
    :param average_length: terms a record, for BM25; None leaves the index uncalibrated.
    :param filter_fields: metadata keys that have a payload index.
    :param sparse: whether its records have learned sparse vectors.
    """
    calibration = None
    if average_length is not None:
        calibration = Calibration(chunks=1, average_length=average_length, unknown_rate=0.0)
    return Manifest(
        created_with="0",
        embedding=EmbeddingManifest(kind="none", config={}, fingerprint={}, dimension=dimension, canaries=[]),
        chunker=ChunkerConfig(),
        analyser=ANALYSER.config,
        filter_fields=dict(filter_fields or {}),
        calibration=calibration,
        sparse=SPARSE if sparse else None,
    )


def make_chunk(id: str, metadata: Mapping[str, Any] | None = None, **fields: Any) -> Chunk:  # noqa: A002
    """A chunk of the document ``doc`` with the text ``word``, unless told otherwise.

    :param id: of the chunk.
    :param metadata: cleaned, as an index does it.
    :param fields: other fields of the chunk.
    """
    text = fields.pop("text", "word")
    values: dict[str, Any] = {"document_id": "doc", "source": "", "start": 0, "end": len(text)} | fields
    return Chunk(id=id, text=text, metadata=clean_metadata(metadata or {}, id), **values)


def make_record(
    id: str,  # noqa: A002
    vector: Sequence[float] | FloatVector = (1, 0, 0, 0),
    metadata: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Record:
    """A record whose terms are those of its text, as for :func:`make_chunk`.

    :param id: of the chunk.
    :param vector: made float32.
    :param metadata: cleaned, as an index does it.
    :param fields: other fields of the chunk.
    """
    chunk = make_chunk(id, metadata, **fields)
    return Record(chunk, np.array(vector, dtype=np.float32), ANALYSER.terms(chunk.text))


def with_sparse(record: Record, weights: Mapping[int, float]) -> Record:
    """The record with a learned sparse vector.

    :param record: as :func:`make_record` makes it.
    :param weights: by index.
    """
    return replace(record, sparse=SparseVector.of(list(weights), list(weights.values())))


def sparse_corpus(count: int, seed: int = 7) -> list[Record]:
    """Those of :func:`corpus`, with learned sparse vectors like a model's: a hundred terms, few of them frequent.

    :param count: how many.
    :param seed: equal seeds, equal records.
    """
    choose = np.random.default_rng(seed)
    spread = 1 / np.arange(1, SPARSE.vocabulary + 1)
    spread /= spread.sum()
    return [
        with_sparse(
            record,
            {int(n): float(choose.gamma(2, 0.5)) + 1e-3 for n in choose.choice(SPARSE.vocabulary, 100, p=spread)},
        )
        for record in corpus(count, seed)
    ]


def word(number: int) -> str:
    """A word that the analyser keeps as it is: letters only.

    :param number: equal numbers, equal words.
    """
    return "w" + "".join(chr(ord("a") + int(digit)) for digit in str(number))


def directions(count: int, seed: int = 7) -> FloatMatrix:
    """Random vectors, all different: graphs of the engines are not made for thousands of equal ones.

    :param count: how many.
    :param seed: equal seeds, equal vectors.
    """
    return np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float32)


def corpus(count: int, seed: int = 7) -> list[Record]:
    """Records with random vectors and with words as frequent as in a language: few are in most of the records.

    :param count: how many; ids are those of ``c0``, ``c1``, ...
    :param seed: equal seeds, equal records.
    """
    choose = random.Random(seed)  # noqa: S311 - no secret
    words = [word(number) for number in range(300)]
    spread = [1 / (rank + 1) for rank in range(len(words))]
    return [
        make_record(
            chunk_id(f"c{number}"),
            row,
            {"half": number % 2},
            text=" ".join(choose.choices(words, spread, k=choose.randint(1, 60))),
            document_id=f"doc {number // 4}",
        )
        for number, row in enumerate(directions(count, seed))
    ]


def average_length(records: Sequence[Record]) -> float:
    """Terms a record, as a calibration on all of them says.

    :param records: at least one.
    """
    return sum(sum(record.terms.values()) for record in records) / len(records)
