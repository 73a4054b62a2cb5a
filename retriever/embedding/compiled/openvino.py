"""Sentence-transformers models on OpenVINO."""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Self

import numpy as np

from retriever.embedding.compiled.base import CompiledConfig, CompiledEmbedding, Engine
from retriever.embedding.compiled.graph import Original, quietly
from retriever.embedding.compiled.sentences import SENTENCES
from retriever.embedding.compiled.shelf import About, digest_of
from retriever.embedding.tokens import TokenBatch
from retriever.errors import ConfigurationError, InvalidInput
from retriever.metadata import check_text
from retriever.registry import raise_missing
from retriever.types import FloatMatrix

_FILE = "model.xml"
_BUNDLED = "bundled"
_SAMPLE = 300


class OpenVINOConfig(CompiledConfig):
    """Settings of :class:`OpenVINOEmbedding`."""

    calibration: str = _BUNDLED
    """By which texts an int8 model was calibrated: those that come with this package, or the digest of one's own, see
    :meth:`OpenVINOEmbedding.calibrated`."""


class OpenVINOEmbedding(CompiledEmbedding):
    """A sentence-transformers model on OpenVINO.

    In int8, weights and activations are quantised by ranges that were measured on calibration texts.
    """

    kind = "openvino"
    Config = OpenVINOConfig
    config: OpenVINOConfig
    rows = 8
    packages = ("openvino", "nncf")

    def __init__(self, config: OpenVINOConfig, *, threads: int | None = None) -> None:
        super().__init__(config, threads=threads)
        self._texts: Sequence[str] = SENTENCES if config.calibration == _BUNDLED else ()

    @classmethod
    def calibrated(cls, config: OpenVINOConfig, texts: Sequence[str], *, threads: int | None = None) -> Self:
        """An int8 model that is quantised by the ranges that it has on the user's own texts.

        The model is made and kept at once; the texts are not kept. It is found again by the settings of what is
        returned, ``config``, wherever the same cache folder is.

        :param config: which model; its precision and calibration are replaced.
        :param texts: like those to be embedded, some hundred; of more than 300, 300 are taken evenly.
        :param threads: as for the constructor.
        :raises InvalidInput: where there are none.
        """
        if isinstance(texts, str) or not texts:
            raise InvalidInput("a list of texts is needed to calibrate with")
        for i, text in enumerate(texts):
            check_text(text, f"calibration text {i}")
        chosen = [texts[n * len(texts) // _SAMPLE] for n in range(_SAMPLE)] if len(texts) > _SAMPLE else list(texts)
        settings = {"precision": "int8", "calibration": digest_of(*chosen)}
        made = cls(config.model_copy(update=settings), threads=threads)
        made._texts = chosen
        made._about  # noqa: B018 - makes it
        return made

    @property
    def _key(self) -> tuple[str, ...]:
        return (*super()._key, self._calibration) if self.config.precision == "int8" else super()._key

    @property
    def _calibration(self) -> str:
        return digest_of(*SENTENCES) if self.config.calibration == _BUNDLED else self.config.calibration

    @property
    def _made(self) -> dict[str, str]:
        return {**super()._made, "calibration": self._calibration}

    @property
    def _can_make(self) -> bool:
        return self.config.precision == "fp32" or bool(self._texts)

    def _why_not(self) -> str:
        return (
            f"{self.name} was calibrated on texts of your own ({self.config.calibration}), and is not in the cache "
            "folder of this machine: call OpenVINOEmbedding.calibrated(config, texts) with the same texts, or copy the "
            "folder 'models' of the cache from where it was made"
        )

    def _convert(self, folder: Path) -> About:
        original = Original(self.config)
        try:
            self._write(folder, original)
        except ConfigurationError:
            original.write_attention_out()
            self._write(folder, original)
        return original.describe(folder, self._made_with)

    def _write(self, folder: Path, original: Original) -> None:
        import openvino

        with quietly(), redirect_stdout(io.StringIO()):  # progress bars
            model = openvino.convert_model(original.module, example_input=original.inputs)
            if self.config.precision == "int8":
                model = self._quantised(model, original)
            try:
                openvino.save_model(model, folder / _FILE, compress_to_fp16=False)
            except RuntimeError as error:  # it was made, so that this is the disk
                raise OSError(str(error)) from error
        original.check(self._engine(folder, 1), self.config.precision)

    def _quantised(self, model: Any, original: Original) -> Any:  # noqa: ANN401 - OpenVINO's
        import nncf

        def tokens(text: str) -> dict[str, Any]:
            batch = original.to_tokens([text])
            return {"input_ids": batch.ids, "attention_mask": batch.mask}

        nncf.set_log_level(40)
        return nncf.quantize(
            model,
            nncf.Dataset(self._texts, tokens),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(self._texts),
        )

    def _engine(self, folder: Path, inferences: int) -> Engine:
        try:
            import openvino
        except ModuleNotFoundError as error:
            raise_missing(self.name, error)
        settings = {
            # Where the processor has bfloat16, that would be the default, and vectors other ones.
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": self._threads,
            "NUM_STREAMS": str(inferences),
        }
        try:
            compiled = openvino.Core().compile_model(folder / _FILE, "CPU", settings)
        except RuntimeError as error:
            raise ConfigurationError(
                f"{self.name} cannot be loaded by OpenVINO: delete {folder}, and it is converted anew ({error})"
            ) from error
        requests = threading.local()

        def infer(tokens: TokenBatch) -> FloatMatrix:
            if not hasattr(requests, "own"):
                requests.own = compiled.create_infer_request()
            found = requests.own.infer([tokens.ids, tokens.mask], share_inputs=True, share_outputs=True)
            return np.array(found[0], dtype=np.float32)  # a copy: the next inference writes to the same place

        return infer
