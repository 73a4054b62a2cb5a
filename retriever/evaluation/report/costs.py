"""What each configuration costs: time, memory, disk, and money where prices are given.

Figures are medians over the repetitions. All of it differs from run to run.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from statistics import median

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from retriever.errors import ConfigurationError, InvalidInput
from retriever.evaluation.harness.records import RunFolder, SpeedRecord
from retriever.evaluation.load.latency import Figure
from retriever.evaluation.load.speed import AtShare, SpeedFigures
from retriever.evaluation.load.stages import Stages

_MILLION = 1_000_000
_HOUR = 3_600
SHOWN_SHARE = 0.5
"""Of the capacity: the load whose latencies stand in tables."""


class ModelPrice(BaseModel):
    """What an embedding service takes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    embedding: str
    """Pattern of embedding functions, as file names have them: ``openai:*``."""
    million_queries: float = Field(default=0.0, ge=0)
    million_passages: float = Field(default=0.0, ge=0)


class Prices(BaseModel):
    """A file of prices, TOML."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    currency: str
    machine_hour: float = Field(ge=0)
    """Of a machine like the one that was measured on."""
    models: tuple[ModelPrice, ...] = ()


class Step(Figure):
    """Open loop at one load. Times are in seconds."""

    share: float
    """Of the capacity."""
    offered: float
    """Requests a second."""
    p50: float
    p90: float
    p99: float | None
    """None below 1,000 requests."""
    errors: float
    """Share of the requests."""
    late: float
    """Share of the requests that had to wait for the generator: where it is not 0, it was too small."""


class Part(Figure):
    """Times by stage, in seconds."""

    wall: float
    seconds: dict[str, float]
    residual: float
    """Share of the time that no stage accounts for."""


class Filtering(Figure):
    """Searches by vector with a filter."""

    share: float
    """Of the records that it lets through."""
    p50: float
    recall: float
    """Of the exact nearest among these records."""


class Cost(Figure):
    """Of one configuration on one dataset."""

    dataset: str
    configuration: str
    repetitions: int
    passages: int
    acknowledged: float
    """Passages a second, until the system said that it has them."""
    searchable: float
    """Passages a second, until all of it is searched as it will be."""
    capacity: float
    """Queries a second, closed loop."""
    steps: tuple[Step, ...]
    shown: Step | None
    """The step nearest to half of the capacity."""
    ann_recall: float | None
    """Agreement with exact search on the same vectors: not how good answers are."""
    memory: int | None
    """Bytes: of a process that opened it and answered, else of the one that filled it."""
    disk: int | None
    cold: float | None
    """Seconds until a new process has answered its first query."""
    ingest: Part | None
    query: Part | None
    filters: tuple[Filtering, ...]
    million_queries: float | None
    """Price, at half of the capacity."""
    million_passages: float | None
    """Price, at the speed until searchable."""


def read_prices(path: Path) -> Prices:
    """Read a file of prices.

    :param path: of a TOML file.
    :raises InvalidInput: where there is none.
    :raises ConfigurationError: where it is no such file.
    """
    try:
        return Prices.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the prices {path} cannot be read: {error}") from error
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise ConfigurationError(
            f"{path} has no prices that can be used: it needs currency and machine_hour, and takes [[models]] with "
            f"embedding, million_queries and million_passages: {error}"
        ) from error


def costs(folder: RunFolder, prices: Prices | None) -> tuple[Cost, ...]:
    """Of everything that was timed, in the order of the run's tables.

    :param folder: of the run.
    :param prices: None where there are none.
    """
    found: dict[tuple[str, str], list[SpeedRecord]] = {}
    for record in folder.speed:
        found.setdefault((record.dataset, record.configuration), []).append(record)
    order = [key for key in folder.measured if key in found]
    order += [key for key in found if key not in order]
    return tuple(
        _cost(*key, [record.figures for record in found[key]], _prices(folder, key[1], prices)) for key in order
    )


def _prices(folder: RunFolder, configuration: str, prices: Prices | None) -> tuple[float, ModelPrice] | None:
    if prices is None:
        return None
    embedding = folder.configurations[configuration].embedding or ""
    fits = (price for price in prices.models if fnmatchcase(embedding, price.embedding))
    return prices.machine_hour, next(fits, ModelPrice(embedding=""))


def _cost(
    dataset: str, configuration: str, figures: Sequence[SpeedFigures], prices: tuple[float, ModelPrice] | None
) -> Cost:
    steps = tuple(_steps(figures))
    searchable = median(f.ingest.rate for f in figures)
    capacity = median(f.capacity.rate for f in figures)
    hour, model = prices or (0.0, ModelPrice(embedding=""))
    return Cost(
        dataset=dataset,
        configuration=configuration,
        repetitions=len(figures),
        passages=figures[0].ingest.passages,
        acknowledged=median(f.ingest.passages / f.ingest.acknowledged for f in figures),
        searchable=searchable,
        capacity=capacity,
        steps=steps,
        shown=min(steps, key=lambda step: abs(step.share - SHOWN_SHARE), default=None),
        ann_recall=_median(f.ann_recall for f in figures),
        memory=_whole(_memory(f) for f in figures),
        disk=_whole(f.disk for f in figures),
        cold=_median(f.cold.importing + f.cold.first for f in figures if f.cold is not None),
        ingest=_part([f.ingest.stages for f in figures]),
        query=_part([f.query for f in figures]),
        filters=tuple(_filters(figures)),
        million_queries=_per_million(prices, hour, capacity * SHOWN_SHARE, model.million_queries),
        million_passages=_per_million(prices, hour, searchable, model.million_passages),
    )


def _per_million(prices: object, hour: float, a_second: float, model: float) -> float | None:
    return hour / _HOUR / a_second * _MILLION + model if prices is not None and a_second else None


def _steps(figures: Sequence[SpeedFigures]) -> Iterator[Step]:
    by_share: dict[float, list[AtShare]] = {}
    for step in (step for f in figures for step in f.load):
        by_share.setdefault(step.share, []).append(step)
    for share, steps in sorted(by_share.items()):
        found = [step.latency for step in steps]
        slowest = [latency.p99.value for latency in found if latency.p99 is not None]
        yield Step(
            share=share,
            offered=median(step.rate for step in steps),
            p50=_middle([latency.p50.value for latency in found]),
            p90=_middle([latency.p90.value for latency in found]),
            p99=_middle(slowest) if slowest else None,
            errors=sum(sum(latency.errors.values()) for latency in found) / sum(latency.requests for latency in found),
            late=median(latency.late for latency in found),
        )


def _middle(values: Sequence[float]) -> float:
    """The median; of an even number the upper one of the middle two, so that infinity is never averaged."""
    return sorted(values)[len(values) // 2]


def _filters(figures: Sequence[SpeedFigures]) -> Iterator[Filtering]:
    for share in sorted({filtered.share for f in figures for filtered in f.filtered}):
        found = [filtered for f in figures for filtered in f.filtered if filtered.share == share]
        yield Filtering(
            share=share,
            p50=median(filtered.latency.p50.value for filtered in found),
            recall=median(filtered.recall for filtered in found),
        )


def _part(found: Sequence[Stages | None]) -> Part | None:
    """The repetition in the middle, whole: medians of single stages would not add up."""
    stages = sorted((s for s in found if s is not None), key=lambda s: s.wall)
    if not stages:
        return None
    middle = stages[len(stages) // 2]
    return Part(wall=middle.wall, seconds=dict(middle.seconds), residual=middle.residual)


def _memory(figures: SpeedFigures) -> int | None:
    memory = figures.cold.memory if figures.cold and figures.cold.memory else figures.memory
    return None if memory is None else memory.resident


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None and not math.isnan(value)]
    return median(known) if known else None


def _whole(values: Iterable[int | None]) -> int | None:
    found = _median(values)
    return None if found is None else round(found)


def by_configuration(found: Iterable[Cost], dataset: str) -> Mapping[str, Cost]:
    """Those of a dataset.

    :param found: of a run.
    :param dataset: its name.
    """
    return {cost.configuration: cost for cost in found if cost.dataset == dataset}
