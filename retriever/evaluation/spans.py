"""How much of the gold spans the chunks found, so that chunkers which cut differently compare fairly.

After Smith and Troynikov, "Evaluating chunking strategies for retrieval", Chroma 2024, in characters instead of
tokens. Characters that several chunks share count once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from retriever.evaluation.judgements import Span

SPAN_MEASURES = ("CharRecall", "CharPrecision", "CharIoU")


def span_measures(
    found: Mapping[str, Sequence[Span]], gold: Mapping[str, Sequence[Span]], k: int = 10
) -> dict[str, dict[str, float]]:
    """Measure every query that has gold spans.

    :param found: the chunks that each query found, best first.
    :param gold: where its answers stand, in the same documents' texts.
    :param k: how many chunks count.
    :return: ``CharRecall@k`` (share of the gold characters that were found), ``CharPrecision@k`` (share of the found
        characters that are gold) and ``CharIoU@k`` (those that are both, by those that are either), by query.
    """
    rows = {query: _measured(found.get(query, ())[:k], spans) for query, spans in gold.items()}
    return {f"{name}@{k}": {q: row[i] for q, row in rows.items()} for i, name in enumerate(SPAN_MEASURES)}


def covers(chunk: Span, span: Span) -> bool:
    """Whether a chunk holds the whole of a span.

    :param chunk: where it was cut.
    :param span: to be held.
    """
    return chunk.document == span.document and chunk.start <= span.start and span.end <= chunk.end


def _measured(found: Sequence[Span], gold: Sequence[Span]) -> tuple[float, float, float]:
    of_found, of_gold = _united(found), _united(gold)
    shared = sum(_overlap(of_found.get(document, []), parts) for document, parts in of_gold.items())
    read, wanted = _length(of_found), _length(of_gold)
    either = read + wanted - shared
    return shared / wanted if wanted else 0.0, shared / read if read else 0.0, shared / either if either else 0.0


def _united(spans: Iterable[Span]) -> dict[str, list[tuple[int, int]]]:
    """By document: what the spans cover, in order, without overlaps."""
    by_document: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for span in sorted(spans, key=lambda span: (span.document, span.start, span.end)):
        parts = by_document[span.document]
        if parts and span.start <= parts[-1][1]:
            parts[-1] = parts[-1][0], max(parts[-1][1], span.end)
        else:
            parts.append((span.start, span.end))
    return by_document


def _overlap(a: Sequence[tuple[int, int]], b: Sequence[tuple[int, int]]) -> int:
    return sum(max(0, min(p[1], q[1]) - max(p[0], q[0])) for p in a for q in b)


def _length(parts: Mapping[str, Sequence[tuple[int, int]]]) -> int:
    return sum(end - start for spans in parts.values() for start, end in spans)
