"""A run: a scenario in, a folder of records out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, partial
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

from retriever.embedding import EmbeddingFunction, resolve_embedding
from retriever.errors import ConfigurationError, RetrieverError, StoreUnavailable
from retriever.evaluation.harness.answers import Answered, asked_index, reranker_digest
from retriever.evaluation.harness.configurations import Configuration, configurations
from retriever.evaluation.harness.datasets import Dataset, read_dataset
from retriever.evaluation.harness.manifest import machine_load, package_versions
from retriever.evaluation.harness.peers import asked_peer, peer_class, peer_classes
from retriever.evaluation.harness.places import check_place
from retriever.evaluation.harness.progress import Progress
from retriever.evaluation.harness.records import LeftOut, RunFolder, SpeedRecord, Times, read_run_folder
from retriever.evaluation.harness.scenario import Scenario, read_scenario
from retriever.evaluation.harness.steps import Workspace, code_hash, plug_in_hash
from retriever.evaluation.harness.timing import measure_speed, timed_configurations
from retriever.evaluation.harness.writing import Findings, check_out, write_run_folder
from retriever.sparse import SparseFunction, resolve_sparse

Ask = Callable[[Configuration], Answered]
Model = TypeVar("Model", EmbeddingFunction, SparseFunction)


def run_scenario(path: Path, out: Path, workspace: Workspace, progress: Progress) -> RunFolder:
    """Run a scenario. What an earlier run, also a killed one, has finished is not done again.

    :param path: of the scenario's file.
    :param out: the folder to write, all at once at the end; that of an earlier run is replaced.
    :param workspace: where results of steps are kept.
    :param progress: shows what is done.
    :return: what was written.
    :raises ConfigurationError: where the scenario makes no sense.
    :raises InvalidInput: where a dataset cannot be read, or ``out`` is something else than a run's folder.
    """
    scenario, text = read_scenario(path)
    check_out(out)
    started, clock, load = datetime.now(UTC), time.perf_counter(), machine_load()
    running = Running(scenario, path.parent, workspace, progress)
    with workspace.held():
        findings = running.findings()
        times = Times(
            started=started.isoformat(timespec="seconds"),
            seconds=time.perf_counter() - clock,
            load=load,
            steps=tuple(workspace.times),
        )
        write_run_folder(out, scenario, text, findings, times)
        running.forget_times()
    return read_run_folder(out)


@dataclass
class Running:
    """A scenario while it runs.

    :param scenario: what is measured.
    :param folder: of its file.
    :param workspace: where results of steps are kept.
    :param progress: shows what is done.
    """

    scenario: Scenario
    folder: Path
    workspace: Workspace
    progress: Progress
    left_out: list[LeftOut] = field(default_factory=list)
    _embeddings: dict[str, EmbeddingFunction] = field(default_factory=dict)
    _sparse: dict[str, SparseFunction] = field(default_factory=dict)
    _rerankers: dict[str, str | None] = field(default_factory=dict)
    _times: list[dict[str, Any]] = field(default_factory=list)

    def findings(self) -> Findings:
        """Measure everything that can be measured here."""
        grid = self._grid()
        datasets = list(self._datasets())
        found = {
            (dataset.name, configuration): answered
            for dataset in datasets
            for configuration, answered in self._answered(dataset, grid)
        }
        models = {name: function.fingerprint for name, function in sorted(self._embeddings.items())}
        models |= {f"sparse {name}": function.fingerprint for name, function in sorted(self._sparse.items())}
        speed = [record for dataset in datasets for record in self._timed(dataset, grid)]
        return Findings(datasets, found, models, self.left_out, speed)

    def forget_times(self) -> None:
        """Once a run is written: the next one is timed anew, only one that was interrupted is continued."""
        for inputs in self._times:
            self.workspace.forget("speed", inputs)

    def _timed(self, dataset: Dataset, grid: Sequence[Configuration]) -> Iterator[SpeedRecord]:
        settings = self.scenario.load
        if settings is None or not grid:
            return

        def keep(configuration: Configuration, repetition: int, make: Callable[[], SpeedRecord]) -> SpeedRecord:
            inputs = {
                **self._inputs(dataset, configuration),
                "load": settings.model_dump(mode="json"),
                "seed": self.scenario.seed,
                "repetition": repetition,
            }
            self._times.append(inputs)
            known = self.workspace.find("speed", inputs, SpeedRecord)
            label = f"{dataset.name}: {configuration.label}, repetition {repetition + 1}"
            return known or self.workspace.made("speed", inputs, label, make)

        for name in self._sparse:
            self._leave_out(f"the speed of searches that ask {name}", "what asks a learned sparse model is not timed")
        timed = timed_configurations(grid)
        if not timed:
            return
        embedding = self._embeddings[timed[0].embedding]
        yield from measure_speed(
            dataset,
            timed,
            embedding,
            settings,
            self.scenario.seed,
            keep,
            self._leave_out,
            self.workspace.indexes,
            self.progress,
        )

    def _grid(self) -> list[Configuration]:
        """Of the stores whose server answers, and the embedding functions and learned sparse models that can be had.

        What depends on no embedding function is measured with the first of those.
        """
        peers = {name: peer_class(name).legs for name in self.scenario.peers}
        stores = tuple(store for store in self.scenario.grid.stores if self._answers(store))
        embeddings = tuple(
            name
            for name in self.scenario.grid.embeddings
            if self._found(f"the embedding function {name}", name, resolve_embedding, self._embeddings)
        )
        sparse = tuple(
            name
            for name in self.scenario.grid.sparse
            if not name or self._found(f"the learned sparse model {name}", name, resolve_sparse, self._sparse)
        )
        here = self.scenario.grid.model_copy(update={"stores": stores, "embeddings": embeddings, "sparse": sparse})
        return configurations(here, peers)

    def _answers(self, store: str) -> bool:
        try:
            check_place(store)
        except StoreUnavailable as error:
            self._leave_out(f"the store {store}", str(error))
            return False
        return True

    def _found(self, what: str, name: str, resolve: Callable[[str], Model], models: dict[str, Model]) -> bool:
        """Whether a model can be had; then it is among the models."""
        try:
            function = resolve(name)
            function.fingerprint  # noqa: B018 - loads what it names
        except ConfigurationError as error:
            self._leave_out(what, str(error))
            return False
        models[name] = function
        return True

    def _datasets(self) -> Iterator[Dataset]:
        for spec in self.scenario.datasets:
            try:
                yield read_dataset(spec, self.folder, self.workspace.folder / "datasets", self.progress)
            except ConfigurationError as error:
                self._leave_out(f"the dataset {spec.name}", str(error))

    def _answered(self, dataset: Dataset, grid: Sequence[Configuration]) -> Iterator[tuple[Configuration, Answered]]:
        """In the grid's order, one index at a time."""
        for _, group in groupby(grid, lambda configuration: configuration.index):
            yield from self._of_index(dataset, list(group))

    def _of_index(self, dataset: Dataset, group: Sequence[Configuration]) -> list[tuple[Configuration, Answered]]:
        """What configurations find that share an index, which is made only if something is not there yet."""
        found = {c: self.workspace.find("answers", self._inputs(dataset, c), Answered) for c in group}
        missing = [configuration for configuration, answered in found.items() if answered is None]
        try:
            with ExitStack() as stack:
                ask: Ask | None = None
                for configuration in missing:
                    ask = ask or self._asker(stack, dataset, missing)
                    found[configuration] = self._made(dataset, configuration, ask)
        except RetrieverError as error:  # there is no index, or it broke
            for configuration in missing:
                if found[configuration] is None:
                    self._leave_out(f"{dataset.name}: {configuration.label}", str(error))
        return [(configuration, answered) for configuration, answered in found.items() if answered is not None]

    def _made(self, dataset: Dataset, configuration: Configuration, ask: Ask) -> Answered | None:
        """None where this one cannot be measured: its reranker may be missing."""
        label = f"{dataset.name}: {configuration.label}"
        try:
            return self.workspace.made(
                "answers", self._inputs(dataset, configuration), label, partial(ask, configuration)
            )
        except RetrieverError as error:
            self._leave_out(label, str(error))
            return None

    def _asker(self, stack: ExitStack, dataset: Dataset, group: Sequence[Configuration]) -> Ask:
        """An index, or a peer, with the dataset in it; what it is called with was in ``group``."""
        first, label = group[0], f"{dataset.name}: {group[0].index_label}"
        embedding = self._embeddings[first.embedding]
        with self.workspace.timed("index", label):
            if first.is_peer:
                peer = asked_peer(dataset, group, embedding, self.workspace.indexes, self.progress)
                return stack.enter_context(peer).answered
            sparse = self._sparse.get(first.sparse)
            index = stack.enter_context(
                asked_index(dataset, first, embedding, sparse, self.workspace.indexes, self.progress)
            )
        return partial(index.answered, keyword_only=not any(c.search.needs_models for c in group))

    def _inputs(self, dataset: Dataset, configuration: Configuration) -> dict[str, Any]:
        """All that answers are made from."""
        return {
            "code": self._code,
            "peers": [plug_in_hash(cls) for cls in peer_classes(configuration)],
            "packages": self._packages,
            "dataset": [dataset.checksums.model_dump(), dataset.spec.language],
            "model": self._embeddings[configuration.embedding].fingerprint,
            "sparse": self._sparse[configuration.sparse].fingerprint if configuration.sparse else None,
            "reranker": self._reranker(configuration.search.rerank),
            "configuration": configuration.inputs,
        }

    @cached_property
    def _packages(self) -> dict[str, str]:
        return package_versions()

    @cached_property
    def _code(self) -> str:
        return code_hash()

    def _reranker(self, name: str | None) -> str | None:
        if name is not None and name not in self._rerankers:
            self._rerankers[name] = reranker_digest(name)
        return None if name is None else self._rerankers[name]

    def _leave_out(self, what: str, reason: str) -> None:
        if all(what != left.what for left in self.left_out):
            self.left_out.append(LeftOut(what=what, reason=reason))
            self.progress.say(f"left out: {what}: {reason}")
