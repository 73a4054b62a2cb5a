"""Every number that a run prints: pure functions of the records of single queries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from statistics import fmean

from retriever.evaluation.harness.records import Against, BarRecord, ConfigurationRecord, QueryRecord, Row, Summary
from retriever.evaluation.harness.scenario import BarSpec, Scenario
from retriever.evaluation.statistics import compare, groups, holm, interval

Measured = Mapping[tuple[str, str], Sequence[QueryRecord]]
"""Records by dataset and configuration id."""


def summarise(
    scenario: Scenario,
    configurations: Mapping[str, ConfigurationRecord],
    measured: Measured,
    facts: Mapping[tuple[str, str], tuple[int, tuple[str, ...]]],
) -> Summary:
    """All figures.

    :param scenario: for its measure, seed, bars and published figures.
    :param configurations: by id.
    :param measured: what every query found.
    :param facts: chunks in the index, and notes, for each dataset and configuration.
    """
    rows: list[Row] = []
    for dataset in scenario.datasets:
        here = {name: records for (of, name), records in measured.items() if of == dataset.name}
        if here:
            rows += _rows(scenario, dataset.name, configurations, here, facts)
    return Summary(rows=tuple(rows), bars=tuple(_bars(scenario, configurations, rows)))


def _rows(
    scenario: Scenario,
    dataset: str,
    configurations: Mapping[str, ConfigurationRecord],
    here: Mapping[str, Sequence[QueryRecord]],
    facts: Mapping[tuple[str, str], tuple[int, tuple[str, ...]]],
) -> Iterator[Row]:
    """The best first: so a peer that beats us stands above us."""
    values = {name: [record.measures[scenario.measure] for record in records] for name, records in here.items()}
    order = sorted(values, key=lambda name: (-fmean(values[name]), configurations[name].label))
    letters = groups({name: values[name] for name in order}, seed=scenario.seed)
    against = _against(order, values, configurations, scenario.seed)
    published = next(spec.published for spec in scenario.datasets if spec.name == dataset)
    for name in order:
        low, high = interval(values[name], seed=scenario.seed)
        chunks, notes = facts[dataset, name]
        yield Row(
            dataset=dataset,
            configuration=name,
            measures=_means(here[name]),
            low=low,
            high=high,
            group=letters[name],
            against=against.get(name),
            reasons=dict(sorted(Counter(record.reason for record in here[name]).items())),
            chunks=chunks,
            notes=notes,
            published=tuple(p for p in published if fits(configurations[name].label, p.configuration)),
        )


def fits(label: str, pattern: str) -> bool:
    """Whether a configuration is meant.

    :param label: of the configuration.
    :param pattern: as file names have them, ``*keyword*``; an empty one means none.
    """
    return bool(pattern) and fnmatchcase(label, pattern)


def _means(records: Sequence[QueryRecord]) -> dict[str, float]:
    """Over the queries that have the measure: those of spans are only of queries with a gold span."""
    names = dict.fromkeys(name for record in records for name in record.measures)
    return {name: fmean(r.measures[name] for r in records if name in r.measures) for name in names}


def _against(
    order: Sequence[str],
    values: Mapping[str, Sequence[float]],
    configurations: Mapping[str, ConfigurationRecord],
    seed: int,
) -> dict[str, Against]:
    best = next((name for name in order if not configurations[name].is_peer), order[0])
    others = [name for name in order if name != best]
    found = [compare(values[best], values[name], seed=seed) for name in others]
    adjusted = holm([comparison.p for comparison in found])
    return {
        name: Against(
            difference=c.difference,
            low=c.low,
            high=c.high,
            p=c.p,
            p_holm=p,
            effect_size=c.effect_size,
            wins=c.wins,
            ties=c.ties,
            losses=c.losses,
            detectable=c.detectable,
        )
        for name, c, p in zip(others, found, adjusted, strict=True)
    }


def _bars(
    scenario: Scenario, configurations: Mapping[str, ConfigurationRecord], rows: Sequence[Row]
) -> Iterator[BarRecord]:
    """Every configuration that a bar is about; a bar that is about none of what was measured does not hold.

    A dataset that was left out has no bars: that it was is said elsewhere.
    """
    there = {row.dataset for row in rows}
    for bar in scenario.bars:
        if bar.dataset not in there:
            continue
        meant = [
            r
            for r in rows
            if r.dataset == bar.dataset and fits(configurations[r.configuration].label, bar.configuration)
        ]
        for row in meant:
            yield _judged(bar, row.configuration, row.measures.get(bar.measure))
        if not meant:
            yield _judged(bar, "", None)


def _judged(bar: BarSpec, configuration: str, value: float | None) -> BarRecord:
    low = -1.0 if bar.at_least is None else bar.at_least
    high = 2.0 if bar.at_most is None else bar.at_most
    return BarRecord(
        dataset=bar.dataset,
        configuration=configuration,
        measure=bar.measure,
        at_least=bar.at_least,
        at_most=bar.at_most,
        value=value,
        holds=value is not None and low <= value <= high,
    )
