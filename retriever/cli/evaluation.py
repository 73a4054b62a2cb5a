"""The commands that say how good an index is on judged queries, and that tune it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from retriever.cli.progress import step_progress
from retriever.errors import InvalidInput
from retriever.retriever import Retriever

StoreOption = Annotated[str, typer.Option("--store", "-s", help="Where the index is: a folder or an address.")]
QueriesOption = Annotated[Path, typer.Option(help='Questions: JSON Lines with "_id" and "text", or id TAB text.')]
QrelsOption = Annotated[
    Path, typer.Option(help="Which documents they should find: BEIR or TREC qrels, or JSON Lines, also with spans.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
FilterOption = Annotated[str | None, typer.Option("--filter", "-f", help="A filter as JSON, as for search.")]


def evaluate(
    store: StoreOption,
    queries: QueriesOption,
    qrels: QrelsOption,
    mode: Annotated[
        Literal["hybrid", "semantic", "keyword", "sparse"],
        typer.Option("--mode", "-m", help="hybrid shows each leg of the index beside it."),
    ] = "hybrid",
    k: Annotated[int, typer.Option("-k", min=1, help="Among so many documents the answer has to be.")] = 10,
    filter_json: FilterOption = None,
    depth: Annotated[int | None, typer.Option(min=1, help="Candidates of each leg. Default: as search does.")] = None,
    fusion: Annotated[
        Literal["relative", "rrf"] | None, typer.Option(help="How the legs are fused. Default: as search does.")
    ] = None,
    keyword_weight: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of the keyword leg. Default: as search does.")
    ] = None,
    sparse_weight: Annotated[
        float | None, typer.Option(min=0, max=1, help="A learned sparse model's part of that share.")
    ] = None,
    rerank: Annotated[str | None, typer.Option(help="A cross-encoder or KIND:NAME that orders the best anew.")] = None,
    exact: Annotated[
        bool | None,
        typer.Option("--exact/--no-exact", help="Read every chunk to explain misses. Default: up to 100,000 chunks."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many judged queries.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of intervals and tests.")] = 0,
    run_file: Annotated[Path | None, typer.Option(help="Write what was found, for trec_eval.")] = None,
    per_query: Annotated[Path | None, typer.Option(help="Write every query's figures as JSON Lines.")] = None,
    as_json: JsonOption = False,
) -> None:
    """How good the index is on your questions, and where the misses come from."""
    from retriever.cli.app import parse_filter_option
    from retriever.cli.show_evaluation import show_evaluation, write_per_query
    from retriever.evaluation.evaluating import evaluate as evaluated
    from retriever.evaluation.judgements import read_judgements
    from retriever.evaluation.runs import write_run

    for path in (run_file, per_query):
        _check_writable(path)
    judgements = read_judgements(queries, qrels, limit=limit)
    with Retriever.open(store) as retriever, step_progress(hidden=as_json) as progress:
        result = evaluated(
            retriever,
            judgements,
            k=k,
            seed=seed,
            exact=exact,
            progress=progress,
            mode=mode,
            filter=parse_filter_option(filter_json),
            depth=depth,
            fusion=fusion,
            keyword_weight=keyword_weight,
            sparse_weight=sparse_weight,
            rerank=rerank,
        )
    if run_file is not None:
        write_run(run_file, result.ways[-1].run, f"retriever-{result.ways[-1].name}")
    if per_query is not None:
        write_per_query(per_query, result)
    show_evaluation(result, as_json=as_json)


def tune(
    store: StoreOption,
    queries: Annotated[Path | None, typer.Option(help="Questions, as for evaluate.")] = None,
    qrels: Annotated[Path | None, typer.Option(help="Which documents they should find, as for evaluate.")] = None,
    measure: Annotated[str, typer.Option(help="To make as large as possible.")] = "nDCG@10",
    filter_json: FilterOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the division into halves.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be gained.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Save it even where the gain is not certain.")] = False,
    reset: Annotated[bool, typer.Option("--reset", help="Forget what was tuned.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Choose weight, method and depth of fusion on judged questions, and keep them in the index if that gains."""
    from retriever.cli.app import parse_filter_option
    from retriever.cli.show_evaluation import show_reset, show_tuning

    if reset:
        if queries or qrels or dry_run or force:
            raise typer.BadParameter("--reset takes nothing but --store and --json")
        with Retriever.open(store) as retriever:
            was = retriever.manifest.search
            retriever.set_search_defaults(None)
        show_reset(was, as_json=as_json)
        return
    if queries is None or qrels is None:
        raise typer.BadParameter("give --queries and --qrels, or --reset")
    from retriever.evaluation.judgements import read_judgements
    from retriever.evaluation.tuning import tune as tuned

    judgements = read_judgements(queries, qrels)
    with Retriever.open(store) as retriever, step_progress(hidden=as_json) as progress:
        result = tuned(
            retriever,
            judgements,
            measure=measure,
            seed=seed,
            save=not dry_run,
            force=force,
            filter=parse_filter_option(filter_json),
            progress=progress,
        )
    show_tuning(result, dry_run=dry_run, as_json=as_json)


def _check_writable(path: Path | None) -> None:
    """Before minutes of work rather than after."""
    if path is None:
        return
    if not path.resolve().parent.is_dir():
        raise InvalidInput(f"{path} cannot be written: there is no folder {path.resolve().parent}")
    try:
        if path.is_dir():
            raise InvalidInput(f"{path} cannot be written: it is a folder")
        is_new = not path.exists()
        if is_new or path.is_file():  # a pipe can be opened only once
            path.open("a").close()
        if is_new:
            path.unlink()
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror}") from error
