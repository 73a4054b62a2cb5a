"""The speed part of a scenario: each configuration as a system under load, with vectors that are made beforehand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from retriever.embedding import EmbeddingFunction
from retriever.errors import RetrieverError
from retriever.evaluation.harness.configurations import Configuration
from retriever.evaluation.harness.datasets import Dataset
from retriever.evaluation.harness.passages import passages
from retriever.evaluation.harness.peers import failures_named, peer_class
from retriever.evaluation.harness.places import SERVICES
from retriever.evaluation.harness.progress import Progress
from retriever.evaluation.harness.records import SpeedRecord
from retriever.evaluation.load.speed import LoadSettings, measure_system
from retriever.evaluation.systems import Passage, Question, System, Unavailable, find_system, interleaved, system_names
from retriever.types import FloatMatrix

_SERVERS = {"qdrant": "qdrant-server", "chroma": "chroma-server"}
"""Ours on a server, by the scheme of its address."""

Keep = Callable[[Configuration, int, Callable[[], SpeedRecord]], SpeedRecord]
"""Makes the record of a configuration's repetition, or finds it where an interrupted run has made it."""


def timed_configurations(grid: Sequence[Configuration]) -> list[Configuration]:
    """Those that are timed: all searches of all stores with the first embedding function and the first chunker.

    Another model or chunker changes what an index holds, not what a system does with it. Of a peer, the configuration
    with most legs. What asks a learned sparse model is not timed: systems are given vectors, and no sparse ones.

    :param grid: all of them.
    """
    first = grid[0]
    inputs = [c for c in grid if (c.embedding, c.chunker) == (first.embedding, first.chunker) and not c.sparse]
    theirs = {c.store: c for c in inputs if c.is_peer}
    theirs |= {c.store: c for c in inputs if c.is_peer and c.search.mode == "hybrid"}
    return [c for c in inputs if not c.is_peer] + list(theirs.values())


def measure_speed(
    dataset: Dataset,
    timed: Sequence[Configuration],
    embedding: EmbeddingFunction,
    settings: LoadSettings,
    seed: int,
    keep: Keep,
    left_out: Callable[[str, str], None],
    parent: Path,
    progress: Progress,
) -> Iterator[SpeedRecord]:
    """Time configurations by turns.

    :param dataset: what is indexed and asked.
    :param timed: which.
    :param embedding: makes the vectors, of which all systems get the same.
    :param settings: how much of everything.
    :param seed: of arrivals and of the order.
    :param keep: see :data:`Keep`.
    :param left_out: told what cannot run here, and why.
    :param parent: folder in which the systems' own are made.
    :param progress: shows what is done.
    """
    cut = passages(dataset.documents, timed[0].chunker, embedding)
    vectors = embedding.embed_documents([passage.text for passage in cut], warn=False)
    texts = list(dataset.judgements.queries.values())
    questions = [
        Question(text, vector) for text, vector in zip(texts, embedding.embed_queries(texts, warn=False), strict=True)
    ]
    missing: set[str] = set()
    for repetition, configuration in interleaved(list(timed), settings.repetitions, seed):
        if configuration.id in missing:
            continue
        try:
            make = partial(
                _measured, dataset, configuration, cut, vectors, questions, settings, seed, repetition, parent, progress
            )
            yield keep(configuration, repetition, make)
        except RetrieverError as error:
            missing.add(configuration.id)
            reason = error.reason if isinstance(error, Unavailable) else str(error)
            left_out(f"the speed of {configuration.label} on {dataset.name}", reason)


def _measured(
    dataset: Dataset,
    configuration: Configuration,
    cut: Sequence[Passage],
    vectors: FloatMatrix,
    questions: Sequence[Question],
    settings: LoadSettings,
    seed: int,
    repetition: int,
    parent: Path,
    progress: Progress,
) -> SpeedRecord:
    label = f"{dataset.name}: {configuration.label}, repetition {repetition + 1}"
    with (
        TemporaryDirectory(prefix="retriever-benchmark-", dir=parent, ignore_cleanup_errors=True) as folder,
        failures_named(configuration.store) if configuration.is_peer else nullcontext(),
        make_system(configuration, Path(folder) / "system", settings) as system,
        progress.task(label),
    ):
        wanted = vectors if "semantic" in system.legs else None
        figures = measure_system(system, cut, wanted, questions, settings, seed + repetition)
    return SpeedRecord(dataset=dataset.name, configuration=configuration.id, repetition=repetition, figures=figures)


def make_system(configuration: Configuration, folder: Path, settings: LoadSettings) -> System:
    """A configuration as a system, empty.

    :param configuration: ours or a peer's.
    :param folder: of its own.
    :param settings: for the fields that its filters will look at.
    :raises Unavailable: where it cannot run here.
    """
    if configuration.is_peer:
        cls, address = peer_class(configuration.store), configuration.store.partition("@")[2] or None
        given: dict[str, object] = {}
    else:
        cls, address = _ours(configuration.store)
        given = dict(configuration.search.settings)
    if "filter_fields" in cls.takes:
        given["filter_fields"] = settings.filter_fields()
    folder.mkdir(parents=True)
    return cls(folder, address, given)


def _ours(store: str) -> tuple[type[System], str | None]:
    if store in system_names("ours"):
        return find_system(store), None
    scheme, _, rest = SERVICES.get(store, store).partition("://")
    if not rest or scheme not in _SERVERS:
        raise Unavailable(
            store, f"it is not timed; these are: {', '.join(system_names('ours'))}, or a server's address"
        )
    return find_system(_SERVERS[scheme]), rest.partition("/")[0]
