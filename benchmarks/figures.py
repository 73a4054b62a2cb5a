"""What retrieval quality must be, and what others have.

Published figures are named by their source. Those called "exact" were computed once, outside this project, on the
first 600 judged queries of each set: exact BM25 (k1 1.2, b 0.75, English stemming), all-MiniLM-L6-v2 through
sentence-transformers, 200 candidates a leg, min-max fusion at 0.5. ``--limit 600`` measures the same queries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.report import Bar
from retriever.types import Mode

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
"""Of the semantic leg."""

MODES: tuple[Mode, ...] = ("semantic", "keyword", "hybrid")


@dataclass(frozen=True, slots=True)
class SetPlan:
    """How a set is measured.

    :param modes: those that have a bar.
    :param language: of stemming and stop words.
    """

    modes: tuple[Mode, ...] = ()
    language: str = "english"


@dataclass(frozen=True, slots=True)
class Expected:
    """What a set and a mode should give.

    :param reference: figures of others, with their source.
    :param bar: what nDCG@10 must be, where that is promised.
    """

    reference: str
    bar: Bar | None = None


SETS: Mapping[str, SetPlan] = {
    "scifact": SetPlan(MODES),
    "cmrc2018-dev": SetPlan(("keyword",)),
    "xquad-zh": SetPlan(("keyword",)),
    "xquad-de": SetPlan(("keyword",), "german"),
    "msvc-errors": SetPlan(("keyword",)),
    "xquad-en": SetPlan(),
    "codebase-rag": SetPlan(),
    "claude-docs-rag": SetPlan(),
}
"""Those without modes are measured on request: they have a reference and no bar."""

EXPECTED: Mapping[tuple[str, Mode], Expected] = {
    ("scifact", "semantic"): Expected("0.645 MTEB", Bar.around(0.645, 0.003)),
    ("scifact", "keyword"): Expected("0.679 Anserini; 0.686 exact", Bar(0.680)),
    ("scifact", "hybrid"): Expected("0.714 RRF, 0.733 min-max", Bar(0.725)),
    ("cmrc2018-dev", "keyword"): Expected("0.17 word tokeniser", Bar(0.98)),
    ("xquad-zh", "keyword"): Expected("0.969 exact", Bar(0.96)),
    ("xquad-zh", "semantic"): Expected("0.234 exact"),
    ("xquad-zh", "hybrid"): Expected("0.540 RRF, 0.899 min-max"),
    ("xquad-de", "keyword"): Expected("0.928 exact", Bar(0.92)),
    ("xquad-de", "semantic"): Expected("0.669 exact"),
    ("xquad-de", "hybrid"): Expected("0.834 RRF, 0.940 min-max"),
    ("msvc-errors", "keyword"): Expected("0.969 exact", Bar(0.96)),
    ("msvc-errors", "semantic"): Expected("0.315 exact"),
    ("msvc-errors", "hybrid"): Expected("0.712 RRF, 0.920 min-max"),
    ("xquad-en", "keyword"): Expected("0.970 exact"),
    ("xquad-en", "semantic"): Expected("0.943 exact"),
    ("xquad-en", "hybrid"): Expected("0.972 RRF, 0.979 min-max"),
    ("codebase-rag", "keyword"): Expected("0.652 exact"),
    ("codebase-rag", "semantic"): Expected("0.583 exact"),
    ("codebase-rag", "hybrid"): Expected("0.682 RRF, 0.710 min-max"),
    ("claude-docs-rag", "keyword"): Expected("0.751 exact"),
    ("claude-docs-rag", "semantic"): Expected("0.683 exact"),
    ("claude-docs-rag", "hybrid"): Expected("0.795 RRF, 0.810 min-max"),
}
