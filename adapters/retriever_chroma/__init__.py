"""Records in Chroma: in memory, in a folder, on a server and in the cloud, with a keyword index beside them.

Importing it registers our embedding functions with chromadb, so it imports chromadb, which takes 0.4 s: chromadb has no
other way to know a function that a collection names.
"""

from importlib.util import find_spec

from retriever.errors import MissingExtra

for _module in ("chromadb", "tantivy", "tenacity"):
    if find_spec(_module) is None:
        raise MissingExtra("The Chroma store", "chroma")

from retriever_chroma.bm25_function import RetrieverBM25Function  # noqa: E402 - they need those modules
from retriever_chroma.embedding_function import RetrieverEmbeddingFunction  # noqa: E402
from retriever_chroma.store import ChromaStore  # noqa: E402
from retriever_chroma.wrapped_function import ChromaEmbedding  # noqa: E402

__all__ = ["ChromaEmbedding", "ChromaStore", "RetrieverBM25Function", "RetrieverEmbeddingFunction"]
