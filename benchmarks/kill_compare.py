"""Whether two indexes hold and find the same: the one that was killed again and again, and the one that was not."""

from __future__ import annotations

import random
from collections import Counter

from benchmarks.kill_child import register_embedding
from benchmarks.report import NONE, Bar, Row, say
from retriever import Retriever
from retriever.batched import batched
from retriever.indexing import BATCH
from retriever.search_options import DEPTH
from retriever.stores import Entry, Query, Store

_SAMPLE = 50
_EQUAL = 1e-4


def compare(whole: str, disturbed: str, edited: bool) -> list[Row]:
    """The two indexes, entry by entry.

    :param whole: address of the one that was never disturbed.
    :param disturbed: address of the other one.
    :param edited: files were changed meanwhile, so that the first chunks were measured as they had been.
    """
    unregister = register_embedding()
    try:
        with Retriever.open(whole) as one, Retriever.open(disturbed) as other:
            expected, found = Counter(one.store.entries()), Counter(other.store.entries())
            problems = other.verify().problems
            usual = len(one.verify().problems)
            for problem in problems:
                say(problem)
            lost = [text for text in _sample(one, expected) if not _is_found(other, text)]
            unfound = _not_found_by_their_vectors(other.store)
            unfound_anyway = _not_found_by_their_vectors(one.store) if unfound else 0
            counted = other.store.count()
            calibrated = one.manifest.calibration == other.manifest.calibration
    finally:
        unregister()
    return [
        Row(("chunks",), counted, "count", Bar(expected.total(), expected.total())),
        *(Row((what,), number, "count", NONE) for what, number in differences(expected, found).items()),
        Row(
            ("problems that verify finds",),
            len(problems),
            "count",
            NONE,
            shown={"notes": f"{usual} in the undisturbed index" if problems else ""},
        ),
        Row(
            ("vectors that their own query does not find",),
            unfound,
            "count",
            NONE,
            shown={"notes": f"{unfound_anyway} in the undisturbed index" if unfound else ""},
        ),
        Row(("calibration that differs",), int(not calibrated), "count", None if edited else NONE),
        Row((f"of {_SAMPLE} texts, not found by a search",), len(lost), "count", NONE),
    ]


def differences(expected: Counter[Entry], found: Counter[Entry]) -> dict[str, int]:
    """How two ledgers differ.

    :param expected: of the undisturbed run.
    :param found: of the other one.
    """
    identities = Counter(entry.chunk_id for entry in found.elements())
    return {
        "missing": len(expected.keys() - found.keys()),
        "extra": len(found.keys() - expected.keys()),
        "twice": sum(times - 1 for times in identities.values()),
    }


def _sample(retriever: Retriever, entries: Counter[Entry]) -> list[str]:
    chosen = random.Random(0).sample(sorted(entries), min(_SAMPLE, len(entries)))
    chunks = retriever.store.fetch([retriever.store.key(entry.chunk_id) for entry in chosen])
    return [chunk.text for chunk in chunks.values()]


def _not_found_by_their_vectors(store: Store) -> int:
    """Of all records, at the depth of a search. Among equal vectors any counts as found, and a lost one as not.

    Vectors of zeros, of chunks without a word, have no direction to be found by.
    """
    unfound = 0
    for page in batched(store.entries(), BATCH):
        vectors = store.vectors([store.key(entry.chunk_id) for entry in page])
        unfound += len(page) - len(vectors)
        for key, vector in vectors.items():
            best = store.search(Query(depth=DEPTH, vector=vector)).semantic if vector.any() else None
            unfound += best is not None and not any(
                candidate.key == key or candidate.score > 1 - _EQUAL for candidate in best
            )
    return unfound


def _is_found(retriever: Retriever, text: str) -> bool:
    return any(hit.text == text for hit in retriever.search(text, 10))
