"""Records in Qdrant: its own engine inside the process, on a folder, which is the default store; or a server.

Neither library is imported before a store needs it.
"""

from retriever_qdrant.options import ServerOptions
from retriever_qdrant.store import QdrantStore

__all__ = ["QdrantStore", "ServerOptions"]
