"""OpenAI's embedding models, and those of any server that speaks its API: vLLM, Ollama, TEI, LM Studio and others."""

from retriever.embedding.openai.config import OpenAIConfig
from retriever.embedding.openai.function import OpenAIEmbedding

__all__ = ["OpenAIConfig", "OpenAIEmbedding"]
