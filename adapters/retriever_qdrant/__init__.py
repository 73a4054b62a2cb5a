"""Records in Qdrant's own engine, inside the process, on a folder: the default store."""

from retriever.errors import MissingExtra

try:
    from retriever_qdrant.store import QdrantStore
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "qdrant_edge":
        raise
    raise MissingExtra("The embedded Qdrant store", "qdrant") from None

__all__ = ["QdrantStore"]
