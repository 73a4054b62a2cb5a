"""What peers find: given the same passages and the same vectors as we make."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from retriever.embedding import EmbeddingFunction
from retriever.errors import RetrieverError
from retriever.evaluation.answering import HITS
from retriever.evaluation.harness.answers import Answered, losses_unexplained
from retriever.evaluation.harness.configurations import Configuration
from retriever.evaluation.harness.datasets import Dataset
from retriever.evaluation.harness.passages import passages
from retriever.evaluation.harness.progress import Progress
from retriever.evaluation.runs import Scored, best_documents
from retriever.evaluation.systems import Passage, System, Unavailable, find_splitter, find_system
from retriever.search_options import DEPTH
from retriever.types import FloatVector, Mode


@contextmanager
def failures_named(name: str) -> Iterator[None]:
    """Other people's systems raise what they like: one that fails is left out, and the run goes on.

    :param name: of the system.
    :raises Unavailable: for whatever was raised in the block, but for our own errors.
    """
    try:
        yield
    except RetrieverError:
        raise
    except Exception as error:
        lines = str(error).splitlines() or [""]
        raise Unavailable(name, f"it failed: {type(error).__name__}: {lines[0][:200]}".rstrip(": ")) from error


@dataclass(frozen=True, slots=True)
class AskedPeer:
    """A peer that holds a dataset.

    :param system: the peer.
    :param dataset: what it holds.
    :param passages: by id.
    :param vectors: of the queries, by id; empty where no configuration needs them.
    :param progress: shows what is done.
    """

    system: System
    dataset: Dataset
    passages: Mapping[str, Passage]
    vectors: Mapping[str, FloatVector]
    progress: Progress

    def answered(self, configuration: Configuration) -> Answered:
        """What it finds.

        :param configuration: names the legs it is asked by.
        """
        run: dict[str, list[Scored]] = {}
        queries = self.dataset.judgements.queries
        with (
            failures_named(configuration.store),
            self.progress.task(f"{self.dataset.name}: asking {self.system.name}", len(queries)) as advance,
        ):
            for query, text in queries.items():
                run[query] = self._asked(query, text, configuration.search.mode)
                advance(1)
        return Answered(
            run=run, losses=losses_unexplained(self.dataset, run), spans={}, chunks=len(self.passages), notes=()
        )

    def _asked(self, query: str, text: str, mode: Mode) -> list[Scored]:
        words = "" if mode == "semantic" else text
        vector = None if mode == "keyword" else self.vectors[query]
        found = self.system.search(words, vector, min(DEPTH, len(self.passages)))
        return best_documents((self.passages[name].document_id, score) for name, score in found)[:HITS]


@contextmanager
def asked_peer(
    dataset: Dataset, group: Sequence[Configuration], embedding: EmbeddingFunction, parent: Path, progress: Progress
) -> Iterator[AskedPeer]:
    """A peer with a dataset in it, until the block is left.

    :param dataset: what it is given.
    :param group: configurations of one peer with one embedding function and one chunker.
    :param embedding: makes the vectors.
    :param parent: folder in which the peer's own is made.
    :param progress: shows what is done.
    :raises Unavailable: where it cannot run here.
    """
    cut = passages(dataset.documents, group[0].chunker, embedding)
    wants_vectors = any(configuration.search.needs_vectors for configuration in group)
    queries = dataset.judgements.queries
    with (
        TemporaryDirectory(prefix="retriever-benchmark-", dir=parent, ignore_cleanup_errors=True) as folder,
        _opened(group[0].store, Path(folder)) as system,
    ):
        with failures_named(group[0].store), progress.task(f"{dataset.name}: {system.name} is filled"):
            vectors = embedding.embed_documents([p.text for p in cut], warn=False) if wants_vectors else None
            system.ingest(cut, vectors)
            system.settle()
        asked: Iterable[FloatVector] = (
            embedding.embed_queries(list(queries.values()), warn=False) if wants_vectors else ()
        )
        yield AskedPeer(system, dataset, {p.id: p for p in cut}, dict(zip(queries, asked, strict=False)), progress)


def peer_class(name: str) -> type[System]:
    """The peer that a scenario names.

    :param name: its name, and for a server its address: ``NAME@HOST:PORT``.
    :raises ConfigurationError: where there is none of that name.
    """
    return find_system(name.partition("@")[0])


def peer_classes(configuration: Configuration) -> list[type]:
    """What of others a configuration is measured with.

    :param configuration: any.
    :raises ConfigurationError: where its chunker is none that is known.
    """
    splitter = [find_splitter(configuration.chunker.peer)] if configuration.chunker.peer else []
    return [*splitter, *([peer_class(configuration.store)] if configuration.is_peer else [])]


@contextmanager
def _opened(name: str, folder: Path) -> Iterator[System]:
    with failures_named(name):
        system = peer_class(name)(folder, name.partition("@")[2] or None)
    try:
        yield system
    finally:
        with failures_named(name):
            system.close()
