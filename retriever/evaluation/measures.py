"""How good a ranking is, query by query. trec_eval's own code computes it, through ir-measures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from retriever.errors import InvalidInput
from retriever.evaluation.judgements import Grades
from retriever.evaluation.runs import Run, check_found
from retriever.registry import raise_missing

if TYPE_CHECKING:
    from types import ModuleType

MEASURES = ("nDCG@10", "Recall@5", "Recall@10", "Recall@100", "MRR@10", "MAP", "Success@1", "Judged@10")
"""What is measured unless something else is asked for; the first one is the one to decide by."""

_MEANINGS = {
    "nDCG": "how near the top the relevant documents are; 1 is the best order there could be",
    "Recall": "share of the relevant documents that were found",
    "MRR": "1 / rank of the first relevant document",
    "MAP": "precision at each relevant document's rank, averaged",
    "Success": "share of questions with a relevant document among the first",
    "Judged": "share of what was found that anybody ever judged",
}

_NAME = re.compile(r"(nDCG|Recall|MRR|MAP|Success|Judged)(?:@([1-9][0-9]{0,5}))?")
_NEEDS_CUTOFF = {"Recall", "Success", "Judged"}


def measure(run: Run, grades: Grades, measures: Sequence[str] = MEASURES) -> dict[str, dict[str, float]]:
    """Measure every judged query.

    nDCG has a linear gain and a discount of log2 (Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR
    techniques", 2002), as in trec_eval. A document that nobody judged counts as not relevant. The order of the run
    counts, not its scores: equal ones are not broken again.

    :param run: what was found.
    :param grades: what should have been found.
    :param measures: names; ``nDCG``, ``Recall``, ``MRR``, ``MAP``, ``Success``, ``Judged``, with a cut-off as in
        ``@10``, which ``Recall``, ``Success`` and ``Judged`` need.
    :return: by measure, by query: from 0 to 1; 0 for a query that found nothing.
    :raises InvalidInput: for an unknown measure, or a run in which a document is twice.
    :raises MissingExtra: where ir-measures or pytrec-eval-terrier is not installed.
    """
    library = _library()
    for query in grades:
        check_found(query, run.get(query, ()))
    judged = _clipped(grades)
    result: dict[str, dict[str, float]] = {}
    for name in measures:
        kind, cutoff = split_name(name)
        ranked = _ranked(run, grades, cutoff if kind == "MRR" else None)
        wanted = _measure(library, kind, cutoff)
        provider = library.providers.registry["judged" if kind == "Judged" else "pytrec_eval"]
        values = {m.query_id: float(m.value) for m in provider.evaluator([wanted], judged).iter_calc(ranked)}
        result[name] = {query: values[query] for query in grades}
    return result


def mean(values: Mapping[str, float]) -> float:
    """The mean over the queries.

    :param values: of one measure, by query.
    """
    return sum(values.values()) / len(values) if values else 0.0


def meaning(name: str) -> str:
    """What a measure says, in words.

    :param name: of the measure.
    """
    return _MEANINGS[split_name(name)[0]]


def split_name(name: str) -> tuple[str, int | None]:
    """The parts of a measure's name: ``("nDCG", 10)`` of ``nDCG@10``.

    :param name: of the measure.
    :raises InvalidInput: where there is none of this name.
    """
    found = _NAME.fullmatch(name)
    if found is None or (found[2] is None and found[1] in _NEEDS_CUTOFF):
        raise InvalidInput(f"unknown measure {name!r}; there are {', '.join(MEASURES)}, also with other cut-offs")
    return found[1], int(found[2]) if found[2] else None


def _measure(library: ModuleType, kind: str, cutoff: int | None) -> object:
    names = {"Recall": "R", "MRR": "RR", "MAP": "AP"}
    wanted = getattr(library, names.get(kind, kind))
    # trec_eval's reciprocal rank knows no cut-off: the run is cut instead, which is the same where ranks are strict.
    return wanted if cutoff is None or kind == "MRR" else wanted @ cutoff


def _ranked(run: Run, grades: Grades, cutoff: int | None) -> dict[str, dict[str, float]]:
    """Strictly decreasing scores instead of the run's own. Whole numbers, which 32 bits keep up to 16 million."""
    found = {query: list(run.get(query, ()))[:cutoff] for query in grades}
    return {
        query: {document: float(len(documents) - rank) for rank, (document, _) in enumerate(documents)}
        for query, documents in found.items()
        if documents
    }


def _clipped(grades: Grades) -> dict[str, dict[str, int]]:
    """trec_eval takes no negative grades; 0 means the same."""
    return {query: {d: max(0, grade) for d, grade in documents.items()} for query, documents in grades.items()}


def _library() -> ModuleType:
    try:
        import ir_measures
        import pytrec_eval  # noqa: F401 - ir_measures hides that it is missing
    except ModuleNotFoundError as error:
        raise_missing("evaluation", error)
    return ir_measures
