"""Query by query: what each configuration made of it, and the queries on which two of them differ most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from pydantic import BaseModel, ConfigDict

from retriever.errors import InvalidInput
from retriever.evaluation.harness.records import FOUND, QueryRecord, RunFolder
from retriever.evaluation.judgements import Judgements

MOST_SHOWN = 20
"""Queries in the table of a report."""
MOST_FATES = 20_000
"""Queries times configurations, of all datasets, that a report holds to compare any two: about a megabyte."""
_LONGEST = 300
_MOST_RELEVANT = 3


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Asked(_Model):
    """A query, and where to look when it fails."""

    id: str
    text: str
    relevant: tuple[str, ...]
    """Documents that answer it, the first few."""
    more: int
    """How many others there are."""


class Fate(_Model):
    """What one configuration made of a query."""

    value: float
    reason: int
    """Place in the list of reasons."""
    gold: str | None = None
    """The relevant document that came furthest, where none is among the best ten."""
    page: str | None = None
    """Its page; where it has none, the characters."""


class Queries(_Model):
    """Queries on which configurations differ, those that differ most first."""

    asked: tuple[Asked, ...]
    reasons: tuple[str, ...]
    fates: dict[str, tuple[Fate, ...]]
    """By configuration id, one a query."""
    left_out: int
    """Queries that differ, too, but are not here: too many."""
    a: str
    """Id of the configuration that the table shows first."""
    b: str
    shown: tuple[int, ...]
    """Places of the queries in that table."""


def queries_of(folder: RunFolder, dataset: str, order: Sequence[str], chosen: Sequence[str], most: int) -> Queries:
    """The queries of a dataset.

    :param folder: of the run.
    :param dataset: its name.
    :param order: configuration ids, the best first; at least two.
    :param chosen: two patterns of labels, or ids: what to compare; by default the best and the next one.
    :param most: queries.
    """
    measure = folder.manifest.measure
    records = {name: folder.records(dataset, name) for name in order}
    judgements = folder.judgements(dataset)
    values = {name: [record.measures[measure] for record in of] for name, of in records.items()}
    spread = [max(at) - min(at) for at in zip(*values.values(), strict=True)]
    places = sorted((i for i, width in enumerate(spread) if width > 0), key=lambda i: (-spread[i], i))
    kept = places[:most]
    reasons = list(dict.fromkeys(record.reason for of in records.values() for record in of))
    a, b = _chosen(folder, order, chosen)
    gaps = [abs(values[a][i] - values[b][i]) for i in kept]
    differing = [n for n, gap in enumerate(gaps) if gap > 0]
    return Queries(
        asked=tuple(_asked(records[a][i].query, judgements) for i in kept),
        reasons=tuple(reasons),
        fates={name: tuple(_fate(of[i], measure, reasons) for i in kept) for name, of in records.items()},
        left_out=len(places) - len(kept),
        a=a,
        b=b,
        shown=tuple(sorted(differing, key=lambda n: (-gaps[n], n))[:MOST_SHOWN]),
    )


def _chosen(folder: RunFolder, order: Sequence[str], chosen: Sequence[str]) -> tuple[str, str]:
    found: list[str] = []
    for pattern in chosen:
        fits = (n for n in order if pattern == n or fnmatchcase(folder.configurations[n].label, pattern))
        name = next((n for n in fits if n not in found), None)
        if name is None:
            known = "; ".join(folder.configurations[n].label for n in order)
            raise InvalidInput(f"no configuration is called {pattern}; there are: {known}")
        found.append(name)
    found += [name for name in order if name not in found]
    return found[0], found[1]


def _asked(query: str, judgements: Judgements) -> Asked:
    relevant = sorted(judgements.relevant(query))
    text = judgements.queries[query]
    return Asked(
        id=query,
        text=text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…",
        relevant=tuple(relevant[:_MOST_RELEVANT]),
        more=max(0, len(relevant) - _MOST_RELEVANT),
    )


def _fate(record: QueryRecord, measure: str, reasons: Sequence[str]) -> Fate:
    page = f"page {record.page}" if record.page else None
    if page is None and record.span is not None:
        page = f"characters {record.span[0]:,} to {record.span[1]:,}"
    return Fate(
        value=record.measures[measure],
        reason=reasons.index(record.reason),
        gold=record.gold if record.reason != FOUND else None,
        page=page,
    )


def lost(reasons: Mapping[str, int]) -> dict[str, int]:
    """What failed, the most frequent reason first.

    :param reasons: queries by what became of them.
    """
    return dict(sorted(((r, n) for r, n in reasons.items() if r != FOUND), key=lambda item: (-item[1], item[0])))
