"""Which documents of an index the ids in judgements mean."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from retriever.errors import InvalidInput
from retriever.evaluation.judgements import Judgements
from retriever.planning import SEPARATOR

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Matched:
    """Judgements in the words of an index.

    :param judgements: with document ids as hits show them; ids that the index does not hold stay as they are.
    :param missing: relevant documents that the index does not hold.
    """

    judgements: Judgements
    missing: Sequence[str]


def match_documents(judgements: Judgements, documents: Iterable[str]) -> Matched:
    """Find what the judgements call by name.

    An id means the document that hits show under it; else the one that has it after ``source::``; else the row of a
    file that has it after ``#``, as ``corpus.jsonl#17``.

    :param judgements: with anybody's ids.
    :param documents: ids of the documents in the index.
    :raises InvalidInput: where no id is found, or one means several documents.
    """
    known = set(documents)
    asked = dict.fromkeys(document for grades in judgements.grades.values() for document in grades)
    names: dict[str, str] = {}
    by_path, by_row = _short_names(known)
    for document in asked:
        found = [document] if document in known else by_path.get(document) or by_row.get(document, [])
        if len(found) > 1:
            raise InvalidInput(
                f"the judgements name document {document!r}, which may be any of {_examples(found)}: write the ids as "
                "retriever search shows them"
            )
        names.update(dict.fromkeys([document], found[0]) if found else {})
    if not names:
        raise InvalidInput(
            f"none of the {len(asked):,} judged documents is in the index: ids in the judgements are like "
            f"{_examples(asked)}, ids in the index like {_examples(sorted(known)) or 'nothing, since it is empty'}"
        )
    wanted = {document for query in judgements.queries for document in judgements.relevant(query)}
    return Matched(
        _renamed(judgements, names), tuple(document for document in asked if document in wanted - names.keys())
    )


def _short_names(known: Iterable[str]) -> tuple[Mapping[str, list[str]], Mapping[str, list[str]]]:
    by_path: dict[str, list[str]] = defaultdict(list)
    by_row: dict[str, list[str]] = defaultdict(list)
    for document in sorted(known):
        source, separator, path = document.partition(SEPARATOR)
        if separator:
            by_path[path].append(document)
        _, row_separator, row = (path if separator else source).partition("#")
        if row_separator:
            by_row[row].append(document)
    return by_path, by_row


def _renamed(judgements: Judgements, names: Mapping[str, str]) -> Judgements:
    grades: dict[str, dict[str, int]] = {query: {} for query in judgements.grades}
    for query, given in judgements.grades.items():
        for document, grade in given.items():
            name = names.get(document, document)
            if grades[query].setdefault(name, grade) != grade:
                raise InvalidInput(
                    f"query {query!r}: {document!r} is another name of document {name!r}, with grade {grade} here and "
                    f"{grades[query][name]} there: keep one of them"
                )
    spans = {
        query: tuple(replace(span, document=names.get(span.document, span.document)) for span in given)
        for query, given in judgements.spans.items()
    }
    return replace(judgements, grades=grades, spans=spans)


def _examples(ids: Iterable[str]) -> str:
    shown = [repr(name) for name, _ in zip(ids, range(_SHOWN), strict=False)]
    return ", ".join(shown)
