"""A reader or the writer of :mod:`benchmarks.readers`.

``python -m benchmarks.readers_child ROLE ADDRESS SECONDS SEED``.

Document N says ``markerN`` and little else that others do not say, and its metadata repeats N. So every hit can be
judged by itself: its text, its metadata and the filter have to agree.
"""

from __future__ import annotations

import json
import random
import sys
import time
from dataclasses import asdict, dataclass, field

from benchmarks.synthetic import Words
from retriever import Document, Hit, Retriever, RetrieverError
from retriever.embedding.hashed import HashedConfig, HashedEmbedding

BATCH = 32
_WORDS = 40
_RECENT = 400
_DELETED_EVERY = 7
_CHANGED_EVERY = 5


@dataclass(slots=True)
class Tally:
    """What a process did.

    :param calls: searches, or documents that were written.
    :param found: searches that found what they looked for.
    :param errors: that were raised.
    :param wrong: hits that contradict themselves or the filter.
    :param documents: numbers of the documents that have to be there at the end; of the writer.
    """

    calls: int = 0
    found: int = 0
    errors: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    documents: list[int] = field(default_factory=list)


def embedding() -> HashedEmbedding:
    """Of all processes."""
    return HashedEmbedding(HashedConfig(dimension=384))


def marker(number: int) -> str:
    """The word that only one document has.

    :param number: of the document.
    """
    return f"marker{number}"


def write(retriever: Retriever, seconds: float, seed: int) -> Tally:
    """Add documents, change some, delete some, until the time is over.

    :param retriever: open.
    :param seconds: for how long.
    :param seed: of texts and choices.
    """
    words, dice, tally = Words(seed, _WORDS), random.Random(seed), Tally()
    there: set[int] = set()
    number, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        batch = range(number, number + BATCH)
        retriever.index(_document(n, words.text(), 0) for n in batch)
        there.update(batch)
        number += BATCH
        gone = dice.sample(sorted(there), len(batch) // _DELETED_EVERY)
        retriever.delete(documents=[str(n) for n in gone])
        there.difference_update(gone)
        changed = dice.sample(sorted(there), len(batch) // _CHANGED_EVERY)
        retriever.index(_document(n, words.text(), number) for n in changed)
        tally.calls += len(batch) + len(changed)
    tally.documents = sorted(there)
    return tally


def _document(number: int, text: str, version: int) -> Document:
    return Document(str(number), f"{marker(number)} {text}", {"n": number, "even": number % 2 == 0, "version": version})


def read(retriever: Retriever, seconds: float, seed: int) -> Tally:
    """Search for documents that may be there, until the time is over.

    :param retriever: open.
    :param seconds: for how long.
    :param seed: of the choices.
    """
    dice, tally, until = random.Random(seed), Tally(), time.monotonic() + seconds
    while time.monotonic() < until:
        newest = max(1, retriever.store.count())
        number = dice.randrange(max(0, newest - _RECENT), newest) if dice.random() < 0.5 else dice.randrange(newest)
        even = dice.choice([None, True, False])
        try:
            hits = retriever.search(
                marker(number),
                10,
                filter=None if even is None else {"even": even},
                mode=dice.choice(["hybrid", "keyword"]),
            )
        except RetrieverError as error:
            tally.errors.append(f"{type(error).__name__}: {error}")
            continue
        tally.calls += 1
        tally.found += bool(hits) and hits[0].chunk.metadata["n"] == number
        tally.wrong += [text for hit in hits if (text := judge(hit, even))]
    return tally


def judge(hit: Hit, even: bool | None) -> str:
    """What is wrong with a hit; empty where nothing is.

    :param hit: found.
    :param even: what the filter asked for.
    """
    number = hit.chunk.metadata["n"]
    if hit.document_id != str(number) or not hit.text.startswith(f"{marker(int(str(number)))} "):
        return f"{hit.document_id} holds the text of another: {hit.text[:40]!r}"
    if even is not None and hit.chunk.metadata["even"] is not even:
        return f"{hit.document_id} breaks the filter"
    return ""


def main(arguments: list[str]) -> None:
    """Read or write, and print the tally as JSON.

    :param arguments: ``read`` or ``write``, the store's address, seconds, and a seed.
    """
    role, address, seconds, seed = arguments
    with Retriever.open(address, embedding=embedding()) as retriever:
        tally = (write if role == "write" else read)(retriever, float(seconds), int(seed))
    print(json.dumps(asdict(tally)))


if __name__ == "__main__":
    main(sys.argv[1:])
