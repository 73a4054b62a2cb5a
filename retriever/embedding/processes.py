"""Several processes with the same model, each on a device or on a share of the cores."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any

from retriever.errors import EmbeddingError, RetrieverError
from retriever.types import FloatMatrix

if TYPE_CHECKING:
    from retriever.embedding.sentence_transformers import SentenceTransformerConfig, SentenceTransformerEmbedding

_own: SentenceTransformerEmbedding | None = None
"""In such a process: its model."""


class Processes:
    """Started with the first work, stopped by :meth:`close`, with the object, or with the program.

    Each does what this process would do with a batch, so vectors are the same. They are spawned, never forked: a
    script that uses them keeps its work under ``if __name__ == "__main__":``.

    :param cls: of the embedding function.
    :param config: its settings.
    :param devices: one for each process.
    """

    def __init__(
        self, cls: type[SentenceTransformerEmbedding], config: SentenceTransformerConfig, devices: Sequence[str]
    ) -> None:
        context = multiprocessing.get_context("spawn")
        waiting = context.SimpleQueue()
        for device in devices:
            waiting.put(device)
        self.owner = os.getpid()
        self._pool = ProcessPoolExecutor(
            len(devices), context, initializer=_start, initargs=(cls, config, waiting, _share(len(devices)))
        )

    def embed(self, batches: Sequence[Sequence[str]]) -> Iterator[FloatMatrix]:
        """Vectors of documents, batch by batch, in order.

        :param batches: texts that are embedded together.
        :raises EmbeddingError: where a process fails or dies.
        """
        try:
            yield from self._pool.map(_embedded, batches)
        except RetrieverError:
            raise
        except Exception as error:
            raise EmbeddingError(
                f"a process that embeds failed ({type(error).__name__}: {str(error)[:300]}). Where none can be "
                "started: a script's own work belongs under if __name__ == '__main__', since each process reads it"
            ) from error

    def close(self) -> None:
        """Stop them; what they work on is finished first."""
        if self.owner == os.getpid():  # a process that was forked does not have them
            self._pool.shutdown(cancel_futures=True)


def devices_of(count: int, device: str | None) -> list[str]:
    """The device of each process: the given one, else the GPUs that there are in turn, else the CPU.

    :param count: of the processes.
    :param device: for all of them.
    """
    import torch

    if device is None and torch.cuda.is_available():
        return [f"cuda:{n % torch.cuda.device_count()}" for n in range(count)]
    return [device or "cpu"] * count


def _share(count: int) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // count)


def _start(
    cls: type[SentenceTransformerEmbedding],
    config: SentenceTransformerConfig,
    waiting: Any,  # noqa: ANN401 - a queue has no name before Python 3.12
    threads: int,
) -> None:
    import torch

    global _own
    torch.set_num_threads(threads)
    _own = cls(config, device=waiting.get())


def _embedded(texts: Sequence[str]) -> FloatMatrix:
    assert _own is not None  # noqa: S101 - _start made it
    return _own.embed_batch(texts)
