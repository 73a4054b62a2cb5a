"""How good an index is on your own questions, and what would make it better.

    from retriever import Retriever
    from retriever.evaluation import evaluate, read_judgements, tune

    with Retriever.open("./index") as retriever:
        judgements = read_judgements("queries.jsonl", "qrels.tsv")
        print(evaluate(retriever, judgements).best.means)
        print(tune(retriever, judgements).held_out)

Measures come from trec_eval's own code, through the extra ``evaluation``. The names below are imported when they are
first used.
"""

from typing import TYPE_CHECKING

from retriever.lazy import lazily

if TYPE_CHECKING:
    from retriever.evaluation.evaluating import Evaluation as Evaluation
    from retriever.evaluation.evaluating import evaluate as evaluate
    from retriever.evaluation.judgements import Judgements as Judgements
    from retriever.evaluation.judgements import Span as Span
    from retriever.evaluation.judgements import read_judgements as read_judgements
    from retriever.evaluation.measures import MEASURES as MEASURES
    from retriever.evaluation.measures import measure as measure
    from retriever.evaluation.runs import read_run as read_run
    from retriever.evaluation.runs import write_run as write_run
    from retriever.evaluation.statistics import Comparison as Comparison
    from retriever.evaluation.statistics import compare as compare
    from retriever.evaluation.tuning import Tuning as Tuning
    from retriever.evaluation.tuning import tune as tune
    from retriever.evaluation.waterfall import Waterfall as Waterfall

_HOMES = {
    "evaluating": ("Evaluation", "evaluate"),
    "judgements": ("Judgements", "Span", "read_judgements"),
    "measures": ("MEASURES", "measure"),
    "runs": ("read_run", "write_run"),
    "statistics": ("Comparison", "compare"),
    "tuning": ("Tuning", "tune"),
    "waterfall": ("Waterfall",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)

__getattr__, __dir__ = lazily(__name__, _HOME)
