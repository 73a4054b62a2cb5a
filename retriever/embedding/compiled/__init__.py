"""Sentence-transformers models that run without torch, on OpenVINO or ONNX Runtime, after one conversion."""

from __future__ import annotations

from retriever.embedding.compiled.base import CompiledConfig, CompiledEmbedding
from retriever.embedding.compiled.onnx import OnnxConfig, OnnxEmbedding
from retriever.embedding.compiled.openvino import OpenVINOConfig, OpenVINOEmbedding

__all__ = [
    "CompiledConfig",
    "CompiledEmbedding",
    "OnnxConfig",
    "OnnxEmbedding",
    "OpenVINOConfig",
    "OpenVINOEmbedding",
]
