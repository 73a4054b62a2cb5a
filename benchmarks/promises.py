"""Figures of promises that are kept, and the tables of the pages made from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from benchmarks.report import Bar, Row, Unit, formatted
from retriever.errors import InvalidInput
from retriever.evaluation.report.markdown import plain, table

FOLDER = Path(__file__).with_name("results") / "promises"

_HEADS = (
    ["ratios within one run, and what must not happen at all", "measured", "must be"],
    ["同一次运行中的比值，以及绝不能发生的事", "实测", "标准"],
)
_MISSED = (" (missed)", "（未达到）")


class _Figure(BaseModel):
    """A row; beside these it has the labels, by the headings of the table."""

    model_config = ConfigDict(frozen=True, extra="allow")

    measured: float
    unit: Unit
    at_least: float | None
    at_most: float | None
    reference: str
    verdict: str
    shown: dict[str, str]
    details: dict[str, float | str]

    @model_validator(mode="after")
    def _is_judged(self) -> Self:
        bar = None if self.at_least is None and self.at_most is None else Bar(self.at_least, self.at_most)
        if self.verdict != Row((), self.measured, self.unit, bar).verdict:
            raise ValueError(f"{self.labels}: {self.measured} is not {self.verdict!r} by its bar")
        return self

    @property
    def labels(self) -> str:
        """What was measured."""
        return ", ".join(str(label) for label in (self.model_extra or {}).values())

    @property
    def bar(self) -> str:
        """What it must be."""
        return Bar(self.at_least, self.at_most).text(self.unit)


class Promise(BaseModel):
    """What ``--json`` of a benchmark writes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    benchmark: str
    passed: bool
    settings: dict[str, JsonValue]
    environment: dict[str, JsonValue]
    rows: tuple[_Figure, ...] = Field(min_length=1)

    @property
    def name(self) -> str:
        """What it is kept as: what was measured on several stores is kept apart."""
        store = self.settings.get("store", "edge")
        return self.benchmark if store == "edge" else f"{self.benchmark}-{store}"

    def figures(self, pattern: str) -> list[_Figure]:
        """The rows whose labels fit.

        :param pattern: of the labels, with ``*``.
        :raises InvalidInput: where there is none, as where less was measured than the pattern says.
        """
        found = [row for row in self.rows if fnmatchcase(row.labels, pattern)]
        if not found:
            raise InvalidInput(f"{self.name} has no figure {pattern!r}: {'; '.join(row.labels for row in self.rows)}")
        return found


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the READMEs.

    :param rows: what it is kept as, and a pattern of labels, of each figure; they are told one after the other.
    :param english: what was measured.
    :param chinese: the same.
    :param settings: with which it must have been measured, since the words say so.
    """

    rows: tuple[tuple[str, str], ...]
    english: str
    chinese: str
    settings: Mapping[str, JsonValue] = field(default_factory=dict)


LINES = (
    Line(
        (("speed", "indexing 1,000 files, *"),),
        "indexing 1,000 files end to end, next to `SentenceTransformer.encode` alone on the same chunks",
        "端到端索引 1,000 个文件，相对于仅对同样的块运行 `SentenceTransformer.encode`",
    ),
    Line(
        (("speed", "the same files again: embedding calls"), ("speed", "the same files again: writes")),
        "the same files again: embedding calls, writing calls",
        "再次索引同样的文件：嵌入调用，写入调用",
    ),
    Line(
        (("speed", "chunking *"),),
        "chunking, next to tokenising alone, English and Chinese",
        "分块，相对于仅分词，英文和中文",
    ),
    Line(
        (("speed", "the same, next to evened texts"),),
        "… next to tokenising pieces of at most 8,000 characters, which spread better over two cores",
        "…… 相对于对最多 8,000 字符的片段分词（能更均匀地利用两个核心）",
    ),
    Line(
        (("embedding", "1,200 passages *, OpenVINO fp32"), ("embedding", "1,200 passages *, OpenVINO int8")),
        "embedding passages with OpenVINO, fp32 and int8, next to `SentenceTransformer.encode`",
        "用 OpenVINO（fp32 和 int8）嵌入段落，相对于 `SentenceTransformer.encode`",
    ),
    Line(
        (("embedding", "1,200 passages *, ONNX int8"),),
        "… with ONNX Runtime, int8",
        "…… 用 ONNX Runtime，int8",
    ),
    Line(
        (("embedding", "SciFact, semantic, nDCG@10, OpenVINO int8"),),
        "… and nDCG@10 of int8 on SciFact, by meaning alone",
        "…… int8 在 SciFact 上的 nDCG@10，仅语义",
    ),
    Line(
        (("embedding", "short queries, *, OpenVINO int8"),),
        "one short query, OpenVINO int8, next to `encode`",
        "单个短查询，OpenVINO int8，相对于 `encode`",
    ),
    Line(
        (("embedding", "the cache, all hits, 100,000 *"),),
        "vectors of 384 numbers from the cache",
        "从缓存读取 384 维向量",
    ),
    Line(
        (("speed", "hybrid query at 100,000 chunks, *"),),
        "hybrid query on embedded Qdrant at 100,000 × 384, next to two bare engine queries for 200 results each",
        "嵌入式 Qdrant，10 万 × 384 上的混合查询，相对于两次各取 200 个结果的裸引擎查询",
    ),
    Line(
        (("speed", "the same, next to bare queries for 10 results"),),
        "… next to two bare engine queries for 10 results",
        "…… 相对于两次各取 10 个结果的裸引擎查询",
    ),
    Line(
        (("speed", "hybrid query on Chroma at 50,000 chunks, *"),),
        "hybrid query on embedded Chroma at 50,000 × 384, next to bare `collection.query`, tantivy query and `get`",
        "嵌入式 Chroma，5 万 × 384 上的混合查询，相对于裸的 `collection.query`、tantivy 查询和 `get`",
    ),
    Line(
        (("speed", "writing 50,000 analysed chunks * to Chroma"),),
        "writing 50,000 analysed chunks to Chroma, next to chromadb and tantivy given the same",
        "向 Chroma 写入 5 万个已分析的块，相对于写入同样内容的 chromadb 和 tantivy",
    ),
    Line(
        (("speed", "writing 100,000 analysed chunks * to Edge"),),
        "… 100,000 to embedded Qdrant, next to the engine given the same",
        "…… 向嵌入式 Qdrant 写入 10 万个，相对于写入同样内容的引擎",
    ),
    Line(
        (("memory", "writing 200,000 documents"), ("memory", "with building *")),
        "peak memory while indexing 200,000 documents, above the bare engine; with the graph's child process",
        "索引 20 万个文档时的内存峰值，高于裸引擎；计入构建图的子进程",
    ),
    Line(
        (("attach", "attach 50,000 records * first hybrid query"), ("attach", "attach again *")),
        "attach to 50,000 records of plain chromadb until the first hybrid answer; again",
        "附加到 chromadb 写入的 5 万条记录，到第一个混合检索结果；再次附加",
    ),
    Line(
        (("readers", "errors"), ("readers", "wrong hits")),
        "4 processes reading a Chroma server while one writes, 2 minutes: errors, wrong hits",
        "4 个进程读 Chroma 服务器，同时 1 个进程写，2 分钟：错误，错误的结果",
        {"readers": 4, "seconds": 120},
    ),
    Line(
        (("langchain", "vector store, more than search, *"),),
        "LangChain's vector store on embedded Qdrant, more than our own `search`, p50",
        "LangChain 向量库（嵌入式 Qdrant）比我们自己的 `search` 多用，p50",
    ),
    Line(
        (("langchain", "32 concurrent ainvoke, *"),),
        "32 `ainvoke` at once on a Chroma server, next to the best of threads doing the same",
        "在 Chroma 服务器上同时 32 个 `ainvoke`，相对于线程的最好成绩",
    ),
    Line(
        (("langchain", "event loop held, *queries*"),),
        "longest that an event loop is held by a query: embedded Qdrant, Chroma folder, Chroma server",
        "一次查询最长占住事件循环：嵌入式 Qdrant、Chroma 文件夹、Chroma 服务器",
    ),
    Line(
        (("langchain", "event loop held, *upserts of 256, *"),),
        "… by an upsert of 256 documents, embedded with MiniLM",
        "…… 一次写入 256 篇文档（用 MiniLM 嵌入）",
        {"model": "sentence-transformers/all-MiniLM-L6-v2"},
    ),
    Line(
        tuple((name, what) for name in ("kill", "kill-chroma", "kill-chroma-server") for what in ("missing", "twice")),
        "kill -9 at 50 random moments each, then run again: embedded Qdrant, Chroma folder, client of a Chroma server: "
        "chunks missing, chunks twice",
        "各在 50 个随机时刻 kill -9，然后再次运行：嵌入式 Qdrant、Chroma 文件夹、Chroma 服务器的客户端："
        "缺失的块，重复的块",
        {"kills": 50, "edit": False},
    ),
)
"""Of the READMEs."""


def keep_promise(path: Path) -> Path:
    """Keep what a benchmark wrote.

    :param path: that ``--json`` named.
    :return: where it lies now.
    :raises InvalidInput: where it is something else, or was measured on no commit.
    """
    try:
        text = path.read_text("utf-8")
        promise = Promise.model_validate_json(text)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} is not what a benchmark writes with --json: {error}") from error
    if promise.environment.get("dirty") is not False:
        raise InvalidInput(
            f"{path} is not kept: it was measured on a checkout with changes; commit them, measure again"
        )
    FOLDER.mkdir(parents=True, exist_ok=True)
    kept = FOLDER / f"{promise.name}.json"
    kept.write_text(text, "utf-8", newline="\n")
    return kept


def read_promises(folder: Path | None = None) -> dict[str, Promise]:
    """What is kept, by its name.

    :param folder: with the files; by default that of the project.
    :raises InvalidInput: where one is damaged.
    """
    found = {}
    for path in sorted((folder or FOLDER).glob("*.json")):
        try:
            found[path.stem] = Promise.model_validate_json(path.read_text("utf-8"))
        except ValidationError as error:
            raise InvalidInput(f"{path} is damaged: {error}") from error
    return found


def summary(promises: Mapping[str, Promise], lines: tuple[Line, ...] = LINES, *, is_chinese: bool) -> Iterator[str]:
    """The table of the READMEs.

    :param promises: that are kept.
    :param lines: of the table.
    :param is_chinese: its language.
    :raises InvalidInput: where a figure is not kept.
    """
    rows = []
    for line in lines:
        figures = [figure for name, pattern in line.rows for figure in _of(promises, name).figures(pattern)]
        _check_settings(line, promises)
        measured = [
            formatted(figure.measured, figure.unit) + (_MISSED[is_chinese] if figure.verdict == "miss" else "")
            for figure in figures
        ]
        said = line.chinese if is_chinese else line.english
        rows.append([said, *(", ".join(_each(cells)) for cells in (measured, [figure.bar for figure in figures]))])
    yield from table(_HEADS[is_chinese], rows)


def whole(promise: Promise) -> Iterator[str]:
    """The table of one promise.

    :param promise: that is kept.
    """
    extra = list(dict.fromkeys(head for row in promise.rows for head in row.shown))
    yield from table(
        [promise.name, "measured", "must be", "verdict", *extra],
        [
            [
                plain(row.labels),
                formatted(row.measured, row.unit),
                row.bar,
                row.verdict,
                *(plain(row.shown.get(head, "")) for head in extra),
            ]
            for row in promise.rows
        ],
    )


def _each(cells: Sequence[str]) -> Sequence[str]:
    """One where all are equal."""
    return cells[:1] if len(set(cells)) == 1 else cells


def _check_settings(line: Line, promises: Mapping[str, Promise]) -> None:
    for name in dict.fromkeys(name for name, _ in line.rows):
        for key, value in line.settings.items():
            if (found := promises[name].settings.get(key)) != value:
                raise InvalidInput(f"{name} was measured with {key} {found!r}, not {value!r}: {line.english}")


def _of(promises: Mapping[str, Promise], name: str) -> Promise:
    if name not in promises:
        raise InvalidInput(f"no figures of {name} are kept in {FOLDER}")
    return promises[name]
