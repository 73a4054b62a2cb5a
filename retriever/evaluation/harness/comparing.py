"""Two runs of the same questions, before and after a change: what became better, what worse, and whether it is certain.

A side is the folder of a run, or the file that ``retriever evaluate --per-query`` has written: then what was asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from retriever.errors import InvalidInput
from retriever.evaluation.harness.records import Against, RunFolder, read_run_folder
from retriever.evaluation.statistics import Comparison, Floats, compare, holm

MOST_CHANGED = 10
"""Queries that are shown for a pair."""

EVALUATED = "questions"
"""What the dataset of a file of ``retriever evaluate`` is called: it has one, without a name."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one query found.

    :param value: of the measure.
    :param text: what was asked.
    :param reason: ``found``, or why nothing relevant was.
    :param gold: the relevant document to look at, where nothing was found.
    :param page: its page, where it has pages.
    """

    value: float
    text: str
    reason: str
    gold: str | None = None
    page: str | None = None


@dataclass(frozen=True, slots=True)
class Side:
    """One configuration on one dataset.

    :param dataset: its name.
    :param id: of the configuration.
    :param label: of the configuration.
    :param outcomes: by query id.
    """

    dataset: str
    id: str
    label: str
    outcomes: Mapping[str, Outcome]


@dataclass(frozen=True, slots=True)
class Paired:
    """The same configuration, before and after.

    :param before: of the first run.
    :param after: of the second.
    :param queries: ids of those that both have, in the first one's order.
    """

    before: Side
    after: Side
    queries: Sequence[str]

    @property
    def label(self) -> str:
        """For people; both where they differ."""
        a, b = self.before.label, self.after.label
        return b if a == b else f"{a} → {b}"

    @property
    def values(self) -> tuple[list[float], list[float]]:
        """Of both, query by query."""
        return (
            [self.before.outcomes[query].value for query in self.queries],
            [self.after.outcomes[query].value for query in self.queries],
        )

    @property
    def differences(self) -> Floats:
        """After minus before, query by query."""
        import numpy as np

        before, after = self.values
        return np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64)


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Changed(_Model):
    """A query whose figure changed."""

    query: str
    text: str
    before: float
    after: float
    reason_before: str
    reason_after: str
    gold: str | None
    """The relevant document to look at, where one of the two found none."""
    page: str | None


class Pair(_Model):
    """A configuration on a dataset, before and after."""

    dataset: str
    label: str
    before: float
    after: float
    """Means over the queries that both have."""
    queries: int
    missing: int
    """Queries of the first run that the second does not have."""
    added: int
    """The other way round."""
    change: Against
    """After minus before; Holm over all pairs."""
    changed: tuple[Changed, ...]
    """The queries that changed most."""


class Compared(_Model):
    """Two runs, compared."""

    before: str
    after: str
    measure: str
    pairs: tuple[Pair, ...]
    unmatched: tuple[str, ...]
    """What only the first has."""
    added: tuple[str, ...]
    """What only the second has."""
    notes: tuple[str, ...]
    """What else differs between the two."""


@dataclass(frozen=True, slots=True)
class Matched:
    """What two runs have in common.

    :param pairs: what both have.
    :param unmatched: what only the first has, for people.
    :param added: what only the second has.
    :param notes: what else differs.
    :param measure: that the values are of.
    """

    pairs: Sequence[Paired]
    unmatched: Sequence[str]
    added: Sequence[str]
    notes: Sequence[str]
    measure: str


def match_runs(before: Path, after: Path, measure: str | None = None, pattern: str = "*") -> Matched:
    """Find what two runs have in common: by the configuration's id, else by its label, else what is alone on each side.

    :param before: folder of a run, or file of ``retriever evaluate --per-query``.
    :param after: as well.
    :param measure: by default the primary one of the first run.
    :param pattern: of labels of the first, as file names have them: only these.
    :raises InvalidInput: where they have nothing in common, or lack the measure.
    """
    folders = [read_run_folder(path) if path.is_dir() else None for path in (before, after)]
    measure = measure or (folders[0].manifest.measure if folders[0] else "nDCG@10")
    old, new = (
        list(_of_folder(folder, measure) if folder else _of_file(path, measure))
        for folder, path in zip(folders, (before, after), strict=True)
    )
    old = [side for side in old if fnmatchcase(side.label, pattern)]
    pairs: list[Paired] = []
    for side in old:
        if (other := _partner(side, old, new)) is not None:
            common = [query for query in side.outcomes if query in other.outcomes]
            pairs += [Paired(side, other, common)] if common else []
    if not pairs:
        raise InvalidInput(
            f"{before} and {after} have nothing to compare: no configuration with the same id or label asked the same "
            f"queries of the same dataset. The first has {_listed(old)}; the second {_listed(new)}"
        )
    known = [pair.before for pair in pairs], [pair.after for pair in pairs]
    return Matched(
        pairs=pairs,
        unmatched=[f"{s.dataset}: {s.label}" for s in old if s not in known[0]],
        added=[f"{s.dataset}: {s.label}" for s in new if s not in known[1] and fnmatchcase(s.label, pattern)],
        notes=list(_notes(*folders)),
        measure=measure,
    )


def compare_runs(before: Path, after: Path, matched: Matched, *, seed: int = 0) -> Compared:
    """Compare them.

    :param before: the first run, as it is to be named.
    :param after: the second.
    :param matched: what they have in common.
    :param seed: of intervals and tests.
    """
    found = [compare(*pair.values, seed=seed) for pair in matched.pairs]
    adjusted = holm([comparison.p for comparison in found])
    return Compared(
        before=str(before),
        after=str(after),
        measure=matched.measure,
        pairs=tuple(
            Pair(
                dataset=pair.before.dataset,
                label=pair.label,
                before=sum(pair.values[0]) / len(pair.queries),
                after=sum(pair.values[1]) / len(pair.queries),
                queries=len(pair.queries),
                missing=len(pair.before.outcomes) - len(pair.queries),
                added=len(pair.after.outcomes) - len(pair.queries),
                change=_against(comparison, p),
                changed=tuple(_changed(pair)),
            )
            for pair, comparison, p in zip(matched.pairs, found, adjusted, strict=True)
        ),
        unmatched=tuple(matched.unmatched),
        added=tuple(matched.added),
        notes=tuple(matched.notes),
    )


def _against(comparison: Comparison, adjusted: float) -> Against:
    figures = {name: getattr(comparison, name) for name in Against.model_fields if name != "p_holm"}
    return Against(**figures, p_holm=adjusted)


def _partner(side: Side, old: Sequence[Side], new: Sequence[Side]) -> Side | None:
    here = [other for other in new if other.dataset == side.dataset]
    same = [other for other in here if other.id == side.id] or [other for other in here if other.label == side.label]
    alone = len(here) == 1 and sum(other.dataset == side.dataset for other in old) == 1
    return same[0] if same else here[0] if alone else None


def _of_folder(folder: RunFolder, measure: str) -> Iterator[Side]:
    texts = {d.name: folder.judgements(d.name).queries for d in folder.manifest.datasets}
    for dataset, configuration in folder.measured:
        outcomes = {
            record.query: Outcome(
                record.measures[measure], texts[dataset][record.query], record.reason, record.gold, record.page
            )
            for record in folder.records(dataset, configuration)
            if measure in record.measures
        }
        if not outcomes:
            raise InvalidInput(f"{folder.path} has no {measure} of {dataset}")
        yield Side(dataset, configuration, folder.configurations[configuration].label, outcomes)


class _Failure(BaseModel):
    document: str
    page: str | int | None = None


class _Line(BaseModel):
    """Of a file of ``retriever evaluate``, as far as it is needed here."""

    query: str
    text: str
    reason: str
    measures: dict[str, dict[str, float]]
    failure: _Failure | None = None


def _of_file(path: Path, measure: str) -> Iterator[Side]:
    """What was asked for: the last way of each line. The legs beside it are there for comparison within the file."""
    outcomes: dict[str, Outcome] = {}
    way = ""
    for number, text in enumerate(_lines(path), 1):
        try:
            line = _Line.model_validate(json.loads(text))
            way = list(line.measures)[-1]
            value = line.measures[way][measure]
        except (ValueError, ValidationError, IndexError) as error:
            raise InvalidInput(
                f"{path}, line {number}: not what retriever evaluate --per-query writes: {error}"
            ) from error
        except KeyError:
            raise InvalidInput(f"{path}, line {number}: there is no {measure}; there is {_names(line, way)}") from None
        failure = line.failure
        page = None if failure is None or failure.page is None else str(failure.page)
        outcomes[line.query] = Outcome(value, line.text, line.reason, failure.document if failure else None, page)
    if not outcomes:
        raise InvalidInput(f"{path} holds no queries")
    yield Side(EVALUATED, way, way, outcomes)


def _names(line: _Line, way: str) -> str:
    return ", ".join(line.measures.get(way, {})) or "nothing"


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text("utf-8").split("\n") if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"{path} cannot be read as the folder of a run, nor as a file of retriever evaluate --per-query: {error}"
        ) from error


def _changed(pair: Paired) -> Iterator[Changed]:
    """Losses and wins alike, the largest first."""
    both = [(query, pair.before.outcomes[query], pair.after.outcomes[query]) for query in pair.queries]
    moved = [row for row in both if row[1].value != row[2].value]
    moved.sort(key=lambda row: (-abs(row[2].value - row[1].value), row[2].value - row[1].value))
    for query, before, after in moved[:MOST_CHANGED]:
        yield Changed(
            query=query,
            text=after.text,
            before=before.value,
            after=after.value,
            reason_before=before.reason,
            reason_after=after.reason,
            gold=after.gold or before.gold,
            page=after.page if after.gold else before.page,
        )


def _notes(before: RunFolder | None, after: RunFolder | None) -> Iterator[str]:
    """What may be the cause of a difference that is no change of the code."""
    if before is None or after is None:
        return
    old, new = ({d.name: d.checksums for d in folder.manifest.datasets} for folder in (before, after))
    for name in [name for name in old if name in new]:
        for part in ("corpus", "queries", "qrels"):
            if getattr(old[name], part) != getattr(new[name], part):
                yield f"{name}: the {part} of the two runs differ"
    for model, fingerprint in before.manifest.models.items():
        if after.manifest.models.get(model, fingerprint) != fingerprint:
            yield f"{model}: the two runs had different versions of it"


def _listed(sides: Sequence[Side]) -> str:
    return "; ".join(f"{side.dataset}: {side.label}" for side in sides[:8]) or "nothing that fits"
