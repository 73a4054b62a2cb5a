"""What an index knows of itself: which model, chunker and analyser built it, and what its corpus is like."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from retriever.chunking.config import ChunkerConfig
from retriever.errors import ManifestUnreadable
from retriever.keyword.config import AnalyserConfig

SCHEMA_VERSION = 2
"""The newest that this program knows; raised when an older program could misread a newer manifest."""

_PLAIN, _TUNED = 1, 2
"""Schema versions without and with :class:`SearchDefaults`, which older programs do not know."""

FieldType = Literal["keyword", "number", "bool"]
"""What a payload index is made for: strings, ints and floats, or booleans."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EmbeddingManifest(_Model):
    """The embedding function that built the index."""

    kind: str
    """Name under which it is registered."""
    config: dict[str, Any]
    """From which it can be rebuilt. Holds no secret."""
    fingerprint: dict[str, str]
    """What makes vectors comparable: two functions with equal fingerprints give the same vectors."""
    dimension: int = Field(gt=0)
    canaries: list[list[float]]
    """Vectors of :data:`retriever.embedding.base.CANARIES`, to notice a model that changed under its name; then that of
    a picture, where the function reads pictures."""

    @field_validator("canaries")
    @classmethod
    def _rectangular(cls, canaries: list[list[float]], info: ValidationInfo) -> list[list[float]]:
        if any(len(canary) != info.data.get("dimension") for canary in canaries):
            raise ValueError("canaries are vectors of the dimension")
        return canaries


class SparseCanary(_Model):
    """A learned sparse vector of a test text."""

    indices: list[Annotated[int, Field(ge=0, lt=2**32)]]
    """Ascending."""
    weights: list[Annotated[float, Field(gt=0, lt=2.0**127, allow_inf_nan=False)]]
    """One for each index."""

    @field_validator("weights")
    @classmethod
    def _fitting(cls, weights: list[float], info: ValidationInfo) -> list[float]:
        indices = info.data.get("indices", [])
        if len(weights) != len(indices) or any(a >= b for a, b in pairwise(indices)):
            raise ValueError("a sparse canary has ascending indices, and a weight for each")
        return weights


class SparseManifest(_Model):
    """The learned sparse model that made the index's sparse vectors."""

    kind: str
    """Name under which it is registered."""
    config: dict[str, Any]
    """From which it can be rebuilt. Holds no secret."""
    fingerprint: dict[str, str]
    """What makes vectors comparable."""
    vocabulary: int = Field(gt=0)
    """How many terms there are."""
    canaries: list[SparseCanary]
    """Vectors of :data:`retriever.embedding.base.CANARIES`, to notice a model that changed under its name."""


class Calibration(_Model):
    """What was measured on the first chunks, then frozen.

    Frozen, because BM25's length normalisation is part of the stored weights.
    """

    chunks: int = Field(gt=0)
    """How many chunks it was measured on."""
    average_length: float = Field(gt=0, allow_inf_nan=False)
    """Terms a chunk, for BM25's length normalisation."""
    unknown_rate: float = Field(ge=0, le=1)
    """Share of tokens that the embedding function's tokeniser does not know, from 0 to 1."""
    sparse_unknown_rate: float = Field(default=0.0, ge=0, le=1)
    """The same of the learned sparse model's tokeniser."""
    complete: bool = True
    """False while stored weights are being rewritten for a new average length."""


class SearchDefaults(_Model):
    """How to search where the caller does not say: what ``retriever tune`` found, and how sure that is."""

    keyword_weight: float = Field(ge=0, le=1)
    """Share of the keyword leg, from 0 to 1."""
    fusion: Literal["relative", "rrf"]
    """How the legs are fused."""
    depth: int = Field(gt=0, le=100_000)
    """Candidates a leg."""
    measure: str
    """By which it was chosen."""
    queries: int = Field(gt=0)
    """On how many judged queries."""
    gain: float = Field(allow_inf_nan=False)
    """Mean difference to the settings before, on queries that had no part in the choice."""
    low: float = Field(allow_inf_nan=False)
    """Lower end of the gain's 95 % interval."""
    high: float = Field(allow_inf_nan=False)
    """Its upper end."""


class Manifest(_Model):
    """All of it. Stored as JSON beside the records."""

    schema_version: int = _PLAIN
    created_with: str
    """Version of this package."""
    embedding: EmbeddingManifest
    chunker: ChunkerConfig
    analyser: AnalyserConfig
    filter_fields: dict[str, FieldType] = Field(default_factory=dict)
    """Metadata keys that have a payload index."""
    calibration: Calibration | None = None
    """None until the first chunks were written."""
    sparse: SparseManifest | None = None
    """None where the index has no learned sparse vectors."""
    keyword: bool = True
    """False where a learned sparse model takes the place of BM25."""
    search: SearchDefaults | None = None
    """None where nothing was tuned."""

    def searched_with(self, defaults: SearchDefaults | None) -> Manifest:
        """The same manifest with other defaults for searching.

        :param defaults: None for those of the package.
        """
        return self.model_copy(update={"search": defaults, "schema_version": _TUNED if defaults else _PLAIN})


def parse_manifest(text: str, where: str) -> Manifest:
    """Read a manifest.

    :param text: JSON.
    :param where: the store's address, for messages.
    :raises ManifestUnreadable: where it is damaged or was written by a newer version.
    """
    try:
        version = _Version.model_validate_json(text).schema_version
    except ValidationError:
        raise ManifestUnreadable(
            f"the manifest of {where} is damaged: restore it, or delete the index (retriever delete --all) and index "
            "again"
        ) from None
    if version > SCHEMA_VERSION:
        raise ManifestUnreadable(
            f"the manifest of {where} has schema version {version}, this program knows {SCHEMA_VERSION}: "
            "upgrade with pip install -U hybrid-retriever"
        )
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise ManifestUnreadable(f"the manifest of {where} is damaged at {place!r}") from None


class _Version(BaseModel):
    schema_version: int


def write_manifest_file(path: Path, manifest: Manifest) -> None:
    """Replace a manifest file, all or nothing, also when the machine stops.

    :param path: of the file; its folder exists.
    :param manifest: what to write.
    """
    temporary = path.with_name(f".manifest-{os.getpid()}")  # not mkstemp: only its owner could read the file
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(manifest.model_dump_json(indent=1))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
