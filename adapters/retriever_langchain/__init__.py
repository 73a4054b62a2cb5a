"""LangChain: a vector store and a retriever over any store, embeddings both ways, a text splitter, a record manager.

The names below are imported when they are first used: what LangChain's own classes need takes half a second.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from retriever.errors import MissingExtra
from retriever.lazy import lazily

for _module in ("langchain_core", "langchain_text_splitters"):
    if find_spec(_module) is None:
        raise MissingExtra("LangChain", "langchain")

if TYPE_CHECKING:
    from retriever_langchain.documents import RETRIEVAL as RETRIEVAL
    from retriever_langchain.embedding_function import LangChainEmbedding as LangChainEmbedding
    from retriever_langchain.embeddings import EmbeddingFunctionEmbeddings as EmbeddingFunctionEmbeddings
    from retriever_langchain.record_manager import StoreRecordManager as StoreRecordManager
    from retriever_langchain.retriever import HybridRetriever as HybridRetriever
    from retriever_langchain.splitter import RetrieverTextSplitter as RetrieverTextSplitter
    from retriever_langchain.vectorstore import RetrieverVectorStore as RetrieverVectorStore

_HOMES = {
    "EmbeddingFunctionEmbeddings": "embeddings",
    "LangChainEmbedding": "embedding_function",
    "HybridRetriever": "retriever",
    "RETRIEVAL": "documents",
    "RetrieverTextSplitter": "splitter",
    "RetrieverVectorStore": "vectorstore",
    "StoreRecordManager": "record_manager",
}

__all__ = sorted(_HOMES)

__getattr__, __dir__ = lazily(__name__, _HOMES)
