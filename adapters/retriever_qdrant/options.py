"""What a user may set about an index on a Qdrant server."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ServerOptions(BaseModel):
    """Settings of an index on a server. Those of the collection take effect when it is made, and stay with it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    timeout: int = Field(default=30, ge=1)
    """Seconds a request may take. A client that is passed to the store keeps its own."""
    deadline: float = Field(default=120.0, gt=0)
    """Seconds for a request with all its retries; no attempt begins that could outlast it."""
    shard_number: int | None = Field(default=None, ge=1)
    """Pieces that the collection is cut into; None: the server decides."""
    replication_factor: int | None = Field(default=None, ge=1)
    """Copies of each piece, on different nodes; None: the server decides."""
    write_consistency_factor: int | None = Field(default=None, ge=1)
    """Copies that have to acknowledge a write; None: the server decides."""
    quantization: Literal["scalar", "binary"] | None = None
    """Small forms of the vectors in memory: 1 byte or 1 bit a dimension. Results are rescored with the full ones."""
    on_disk: bool = False
    """Keep full vectors on disk, read as needed."""
    bulk_load: bool = False
    """Build no graph while the first records are written; ``optimise`` has it built, and so ends every indexing run."""
    tenant_fields: frozenset[str] = frozenset()
    """Filter fields of type ``keyword`` that say whose a record is: the server keeps those of one tenant together."""
