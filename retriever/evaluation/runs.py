"""What was found: by query, documents with scores, best first. TREC run files.

The order of a run is its truth: equal scores keep it. trec_eval knows scores alone, casts them to 32 bits and orders
equal ones by document id, descending; so whatever is passed to it, here and in files, has strictly decreasing scores.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote

import numpy as np

from retriever.errors import InvalidInput

Scored = tuple[str, float]
"""A document's id and its score; higher is better."""

Run = Mapping[str, Sequence[Scored]]
"""Documents by query id, best first, each once."""

_UNSAFE = re.compile(r"[%\s\x00-\x1f\x7f\ufeff]")


def best_documents(hits: Iterable[Scored]) -> list[Scored]:
    """Documents from their chunks: each where its best chunk is, with that one's score.

    :param hits: id of the document and score of each chunk, best first.
    """
    best: dict[str, float] = {}
    for document, score in hits:
        best.setdefault(document, score)
    return list(best.items())


def write_run(path: str | os.PathLike[str], run: Run, tag: str) -> None:
    """Write a TREC run file: query id, ``Q0``, document id, rank from 1, score, tag.

    Scores are written with 32 bits, and as much smaller as it takes to be below the one before. Per cent signs, white
    space and control characters in ids are written as ``%20``; see :func:`escape`.

    :param path: of the file.
    :param run: what was found.
    :param tag: name of the system.
    :raises InvalidInput: where a document is there twice, or a score is not finite.
    """
    with Path(path).open("w", encoding="utf-8", newline="\n") as file:
        for query, found in run.items():
            check_found(query, found)
            scores = _strictly_decreasing([score for _, score in found])
            for rank, ((document, _), score) in enumerate(zip(found, scores, strict=True), 1):
                file.write(f"{escape(query)} Q0 {escape(document)} {rank} {score:.9g} {escape(tag)}\n")


def read_run(path: str | os.PathLike[str]) -> dict[str, list[Scored]]:
    """Read a TREC run file, in the order that trec_eval gives it.

    :param path: of the file; ids as :func:`write_run` writes them.
    :return: queries in the file's order; one that found nothing is not in a run file.
    :raises InvalidInput: for a line that cannot be read; the message has its number.
    """
    found: dict[str, list[Scored]] = {}
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        columns = line.split()
        try:
            query, _, document, _, score, _ = columns
            found.setdefault(unescape(query), []).append((unescape(document), float(score)))
        except ValueError:
            raise InvalidInput(
                f"{path}, line {number}: a line of a run is query id, Q0, document id, rank, score and tag"
            ) from None
    for query, documents in found.items():
        check_found(query, documents)
        documents.sort(key=lambda scored: (float(np.float32(scored[1])), scored[0].encode()), reverse=True)
    return found


def check_found(query: str, found: Sequence[Scored]) -> None:
    """Refuse what is no ranking.

    :param query: its id, for the message.
    :param found: documents with scores.
    :raises InvalidInput: where a document is there twice, or a score is not finite.
    """
    seen: set[str] = set()
    for document, score in found:
        if document in seen:
            raise InvalidInput(f"query {query!r}: document {document!r} is in the run twice; see best_documents")
        if not math.isfinite(score):
            raise InvalidInput(f"query {query!r}: the score of document {document!r} is {score}")
        seen.add(document)


def escape(name: str) -> str:
    """An id as one word, for files with columns; :func:`unescape` takes it back.

    :param name: any text; an empty one becomes ``%``.
    """
    return _UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), name) or "%"


def unescape(word: str) -> str:
    """An id from what :func:`escape` made of it.

    :param word: as it stands in the file.
    """
    return "" if word == "%" else unquote(word)


def _strictly_decreasing(scores: Sequence[float]) -> list[float]:
    lowered: list[float] = []
    below = np.float32(np.inf)
    for score in scores:
        below = min(np.float32(score), np.nextafter(below, np.float32(-np.inf)))
        lowered.append(float(below))
    return lowered
