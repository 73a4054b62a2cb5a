"""For testing programs and plug-ins that build on this package: fakes that are real subclasses."""

from retriever.testing.embeddings import CountingEmbedding

__all__ = ["CountingEmbedding"]
