"""What plugging into LangChain costs: beside our own search, to an event loop, and beside threads."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from langchain_core.documents import Document

from benchmarks.places import EDGE, place
from benchmarks.report import Bar, Result, Row, progress
from benchmarks.synthetic import texts
from retriever.embedding import EmbeddingFunction, resolve_embedding
from retriever.indexing import BATCH
from retriever_langchain import HybridRetriever, RetrieverVectorStore

OVERHEAD = Bar(at_most=0.3)
HELD = Bar(at_most=20)
TIMES = Bar(at_most=1.2)
SERVER = "chroma-server"
LOOPS = (EDGE, "chroma", SERVER)
CONCURRENT = 32
THREADS = (1, 2, 4, 8, 16, 32)
_WORDS = 60
_K = 4
_TICK = 0.001
_WARM_UP = 20


def run(documents: int, queries: int, rounds: int, model: str) -> Result:
    """Fill vector stores, and ask them alone, in an event loop, and many times at once.

    :param documents: in each store.
    :param queries: how many are measured.
    :param rounds: repetitions of what is done many times at once.
    :param model: the embedding function of the event loop's part; the others use hashed words, which cost little.
    """
    pages = [Document(page_content=text) for text in texts(documents, _WORDS)]
    asked = list(texts(queries, 6, seed=1))
    hashed = resolve_embedding("hashed")
    rows: list[Row] = []
    with progress("plugging into LangChain", 2 + len(LOOPS)) as advance:
        rows += _overhead(pages, asked, hashed)
        advance(1)
        for name in LOOPS:
            rows += _loop(name, pages[: 4 * BATCH], asked, resolve_embedding(model))
            advance(1)
        rows += _concurrency(pages, asked, hashed, rounds)
        advance(1)
    settings = {"documents": documents, "queries": queries, "rounds": rounds, "model": model}
    return Result("langchain", ("what", "where"), rows, settings)


def _overhead(pages: list[Document], asked: Sequence[str], embedding: EmbeddingFunction) -> list[Row]:
    """Each query to all contestants before the next one; they change places each time."""
    with place(EDGE) as store, RetrieverVectorStore(store, embedding) as vectorstore:
        vectorstore.add_documents(pages)
        index, retriever = vectorstore.retriever, HybridRetriever(index=vectorstore, k=_K)
        contestants: list[Callable[[str], object]] = [
            lambda query: index.search(query, _K),
            lambda query: vectorstore.similarity_search(query, _K),
            retriever.invoke,
        ]
        taken: list[list[float]] = [[], [], []]
        for n, query in enumerate([*asked[:_WARM_UP], *asked]):
            for turn in range(len(contestants)):
                which = (n + turn) % len(contestants)
                seconds = _timed(lambda: contestants[which](query))  # noqa: B023 - called at once
                if n >= _WARM_UP:
                    taken[which].append(1_000 * seconds)
    bare, ours, chain = (statistics.median(times) for times in taken)
    shown = {"search alone": f"{bare:.2f} ms"}
    return [
        Row(("vector store, more than search, p50", EDGE), ours - bare, "milliseconds", OVERHEAD, shown=shown),
        Row(("retriever's invoke, more than search, p50", EDGE), chain - bare, "milliseconds", shown=shown),
    ]


def _loop(name: str, pages: list[Document], asked: Sequence[str], embedding: EmbeddingFunction) -> list[Row]:
    """The longest that a task which wants to run every millisecond had to wait, beyond that millisecond.

    Python's own collector stops every thread for as long as it takes to look at all objects there are, which is a
    quarter of a second once torch is imported, whoever made them. What is there before the work begins is frozen, as
    servers do after they have started (``gc.freeze``), and how long a full collection took is shown beside.
    """
    with place(name) as store, RetrieverVectorStore(store, embedding) as vectorstore:
        vectorstore.add_documents(pages[:BATCH])
        retriever = HybridRetriever(index=vectorstore, k=_K)
        retriever.invoke(asked[0])

        async def query() -> None:
            for text in asked[:100]:
                await retriever.ainvoke(text)

        async def upsert() -> None:
            for start in range(BATCH, len(pages), BATCH):
                await vectorstore.aadd_documents(pages[start : start + BATCH])

        idle = asyncio.run(_held(lambda: asyncio.sleep(1)))
        shown = {"idle": f"{max(idle):.1f} ms", "full collection": f"{1_000 * _timed(gc.collect):.0f} ms"}
        rows = []
        for what, work in ((f"{min(100, len(asked))} queries", query), (f"upserts of {BATCH}", upsert)):
            gc.freeze()
            try:
                held = asyncio.run(_held(work))
            finally:
                gc.unfreeze()
            over = sum(wait > HELD.at_most for wait in held if HELD.at_most is not None)
            more = {**shown, "p99": f"{_share(held, 0.99):.1f} ms", "over the bar": f"{over} of {len(held)}"}
            rows.append(Row((f"event loop held, longest, {what}", name), max(held), "milliseconds", HELD, shown=more))
    return rows


async def _held(work: Callable[[], Awaitable[object]]) -> list[float]:
    """Milliseconds by which each tick came late while the work was being done."""
    late: list[float] = []

    async def tick() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(_TICK)
            late.append(1_000 * (time.perf_counter() - began - _TICK))

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(10 * _TICK)
    late.clear()
    await work()
    await asyncio.sleep(10 * _TICK)  # else the last wait would not be among them
    ticking.cancel()
    return late


def _concurrency(pages: list[Document], asked: Sequence[str], embedding: EmbeddingFunction, rounds: int) -> list[Row]:
    """The same queries at once: awaited, and on threads; which comes first changes with each round."""
    queries = asked[:CONCURRENT]
    with place(SERVER) as store, RetrieverVectorStore(store, embedding) as vectorstore:
        vectorstore.add_documents(pages)
        retriever = HybridRetriever(index=vectorstore, k=_K)

        async def gather() -> None:
            await asyncio.gather(*(retriever.ainvoke(query) for query in queries))

        contestants: dict[int, Callable[[], object]] = {0: lambda: asyncio.run(gather())}
        contestants |= {n: lambda n=n: _threaded(retriever, queries, n) for n in THREADS}  # type: ignore[misc]
        taken: dict[int, list[float]] = {which: [] for which in contestants}
        for _ in range(2):
            for contestant in contestants.values():
                contestant()
        for turn in range(rounds):
            order = list(contestants)
            for which in order[turn % len(order) :] + order[: turn % len(order)]:
                taken[which].append(_timed(contestants[which]))
    medians = {which: statistics.median(times) for which, times in taken.items()}
    awaited = medians.pop(0)
    best = min(medians, key=lambda which: medians[which])
    shown = {"awaited": f"{1_000 * awaited:.0f} ms", f"{best} threads": f"{1_000 * medians[best]:.0f} ms"}
    details = {f"{which} threads": seconds for which, seconds in medians.items()}
    label = f"{len(queries)} concurrent ainvoke, next to the best of threads"
    return [Row((label, SERVER), awaited / medians[best], "times", TIMES, shown=shown, details=details)]


def _threaded(retriever: HybridRetriever, queries: Sequence[str], threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(retriever.invoke, queries))


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _share(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
