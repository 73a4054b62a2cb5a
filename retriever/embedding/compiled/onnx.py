"""Sentence-transformers models on ONNX Runtime."""

from __future__ import annotations

import io
import logging
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory

from retriever.embedding.compiled.base import CompiledConfig, CompiledEmbedding, Engine
from retriever.embedding.compiled.graph import Original, quietly
from retriever.embedding.compiled.shelf import About
from retriever.embedding.tokens import TokenBatch
from retriever.errors import ConfigurationError, EmbeddingError
from retriever.registry import raise_missing
from retriever.types import FloatMatrix

_FILE = "model.onnx"


class OnnxConfig(CompiledConfig):
    """Settings of :class:`OnnxEmbedding`."""


class OnnxEmbedding(CompiledEmbedding):
    """A sentence-transformers model on ONNX Runtime.

    In int8 the weights are quantised by column, and the activations by the range that they have in the text at hand,
    so there is nothing to calibrate. The texts are given to the model one by one then: ranges of a batch would let a
    text's vector depend on its neighbours.
    """

    kind = "onnx"
    Config = OnnxConfig
    config: OnnxConfig
    rows = 4
    packages = ("onnxruntime",)

    def __init__(self, config: OnnxConfig, *, threads: int | None = None) -> None:
        super().__init__(config, threads=threads)
        if config.precision == "int8":
            self.rows = 1  # type: ignore[misc]  # of this one

    def _convert(self, folder: Path) -> About:
        import onnxruntime  # noqa: F401 - a missing package is told of before the work

        original = Original(self.config)
        with TemporaryDirectory(prefix="retriever-onnx-") as scratch:
            is_exact = self.config.precision == "fp32"
            exported = (folder if is_exact else Path(scratch)) / _FILE
            _export(original, exported)
            if not is_exact:
                _quantise(exported, folder / _FILE)
        original.check(self._engine(folder, 1), self.config.precision)
        return original.describe(folder, self._made_with)

    def _engine(self, folder: Path, inferences: int) -> Engine:
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise_missing(self.name, error)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = max(1, self._threads // inferences)
        options.log_severity_level = 4  # errors are raised
        try:
            session = onnxruntime.InferenceSession(folder / _FILE, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its errors have no other base in common
            raise ConfigurationError(
                f"{self.name} cannot be loaded by ONNX Runtime: delete {folder}, and it is converted anew ({error})"
            ) from error

        def infer(tokens: TokenBatch) -> FloatMatrix:
            try:
                vectors: FloatMatrix = session.run(None, {"input_ids": tokens.ids, "attention_mask": tokens.mask})[0]
            except Exception as error:
                raise EmbeddingError(f"{self.name} failed: {error}") from error
            return vectors

        return infer


def _export(original: Original, path: Path) -> None:
    import torch

    axes = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    with quietly(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), torch.inference_mode():
        program = torch.onnx.export(
            original.module,
            original.inputs,
            dynamo=True,
            input_names=["input_ids", "attention_mask"],
            output_names=["vectors"],
            dynamic_shapes=(axes, axes),
        )
        assert program is not None  # noqa: S101 - as it is with dynamo
        program.save(path)


def _quantise(exported: Path, path: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    level = logging.root.level
    logging.root.setLevel(logging.ERROR)  # it recommends a step that this model does not need
    try:
        quantize_dynamic(
            exported, path, weight_type=QuantType.QInt8, per_channel=True, op_types_to_quantize=["MatMul", "Gemm"]
        )
    finally:
        logging.root.setLevel(level)
