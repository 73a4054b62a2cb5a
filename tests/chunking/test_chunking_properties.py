"""What holds for every text, tokeniser and size."""

from __future__ import annotations

import re
from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retriever.chunking import Chunked, Chunker, ChunkerConfig
from retriever.tokeniser import Tokeniser

ODD = [
    *"\x00\x0b\x0c\x1c\x85\xa0\u0301\u200b\u200d\u2028\u3000\ufdfa\ufeffﬁ。，）#|\r\n",
    *("👨\u200d👩\u200d👧", "e\u0301", "[SEP]", "[MASK]", "...", "```", "---", "가나다"),
]
WORDS = ("retrieval", "chunk", "e.g.", "naïve", "foo_bar", "10.0.0.1,", "end.", "Why?", "(so)", "_x_", "İstanbul")
PHRASES = (
    "今天天气很好，",
    "我们去公园散步。",
    "使用FastAPI创建应用；",
    "（参见文档）",
    "“你好！”",
    "龘",
    "日本語の文章、",
    "吗？",
)

prose = st.lists(st.sampled_from(WORDS), min_size=1, max_size=40).map(" ".join)
chinese = st.lists(st.sampled_from(PHRASES), min_size=1, max_size=20).map("".join)
anything = st.lists(st.one_of(st.sampled_from(ODD), st.characters(exclude_categories=["Cs"])), max_size=40).map("".join)
line = st.one_of(prose, chinese, anything)
heading = st.tuples(st.integers(1, 6), line).map(lambda x: f"{'#' * x[0]} {x[1]}")
underlined = st.tuples(line, st.sampled_from(["====", "---"])).map("\n".join)
fence = st.lists(line, max_size=8).map(lambda x: "\n".join(["```python", *x, "```"]))
table = st.lists(line, min_size=1, max_size=8).map(lambda x: "\n".join(f"| {y} | {y} |" for y in x))
items = st.lists(line, min_size=1, max_size=8).map(lambda x: "\n".join(f"- {y}" for y in x))
giant = st.tuples(
    st.sampled_from(["x", "aB3/", "中", "가", "é", "ab.", "\u0301", " ", "f\x0cg"]), st.integers(50, 3000)
).map(lambda x: x[0] * x[1])
block = st.one_of(line, heading, underlined, fence, table, items, giant)
markdown = st.tuples(
    st.lists(st.tuples(block, st.sampled_from(["\n\n", "\n", " ", "", "\n\n\n"])), max_size=12),
    st.sampled_from(["", "---\ntitle: a\n# no heading\n---\n"]),
    st.booleans(),
).map(lambda x: (x[1] + "".join(y + z for y, z in x[0])).replace("\n", "\r\n" if x[2] else "\n"))
sizes = st.sampled_from([(8, 3), (16, 0), (20, 9), (64, 20), (256, 32)])

many = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def split(tokeniser: Tokeniser, text: str, size: tuple[int, int]) -> Chunked:
    return Chunker(tokeniser, ChunkerConfig(size=size[0], overlap=size[1])).split([text])[0]


@many
@given(text=markdown, size=sizes)
def test_spans_are_ordered_trimmed_and_leave_nothing_out(tokeniser: Tokeniser, text: str, size: tuple[int, int]):
    spans = split(tokeniser, text, size).spans
    covered = 0
    for before, span in zip([None, *spans], spans, strict=False):
        assert 0 <= span.start < span.end <= len(text)
        assert text[span.start : span.end] == text[span.start : span.end].strip()
        if before:
            assert span.start > before.start
            assert span.end > before.end
        assert not text[covered : max(covered, span.start)].strip()
        covered = span.end
    assert not text[covered:].strip()


@many
@given(text=markdown, size=sizes)
def test_no_chunk_is_larger_than_its_budget_and_counts_are_true(tokeniser: Tokeniser, text: str, size: tuple[int, int]):
    spans = split(tokeniser, text, size).spans
    encodings = tokeniser.encode_batch([text[span.start : span.end] for span in spans])
    for span, encoding in zip(spans, encodings, strict=True):
        assert len(encoding) <= size[0] or span.end == span.start + 1
        assert span.tokens == len(encoding)
        assert span.end - span.start <= 16 * size[0]


@many
@given(text=markdown, size=sizes)
def test_overlap_is_bounded_and_begins_at_a_boundary(local_tokeniser: Tokeniser, text: str, size: tuple[int, int]):
    spans = split(local_tokeniser, text, size).spans
    for before, span in pairwise(spans):
        if span.start >= before.end:
            continue
        [repeated] = local_tokeniser.encode_batch([text[span.start : before.end]])
        assert len(repeated) <= size[1]
        behind_mark = re.search(r"[。！？；｡，：、､][”’」』）】》〉)\]]*$", text[: span.start])
        assert (
            text[span.start - 1].isspace()
            or behind_mark
            or re.match("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0002a6df]", text[span.start])
        )


@many
@given(texts=st.lists(markdown, max_size=4), size=sizes)
def test_a_text_is_split_the_same_whatever_is_beside_it(tokeniser: Tokeniser, texts: list[str], size: tuple[int, int]):
    chunker = Chunker(tokeniser, ChunkerConfig(size=size[0], overlap=size[1]))
    assert chunker.split(texts) == [chunker.split([text])[0] for text in texts]


@many
@given(text=st.one_of(prose, chinese, items, table))
def test_tokens_of_the_whole_text_are_counted(local_tokeniser: Tokeniser, text: str):
    chunked = split(local_tokeniser, text, (256, 32))
    [encoding] = local_tokeniser.encode_batch([text])
    assert chunked.tokens == len(encoding)
    assert chunked.unknown == encoding.ids.count(local_tokeniser.unknown_id)


@many
@given(text=markdown)
def test_whole_makes_one_span_of_every_text(tokeniser: Tokeniser, text: str):
    spans = Chunker(tokeniser, ChunkerConfig(kind="whole")).split([text])[0].spans
    assert [text[span.start : span.end] for span in spans] == [text.strip()] * bool(text.strip())
