"""Examples by name: what a reader of the chunks would expect."""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Callable
from itertools import pairwise

import pytest
from pydantic import ValidationError

from retriever.chunking import Chunker, ChunkerConfig, Span
from retriever.errors import ConfigurationError
from retriever.markdown import heading_title
from retriever.tokeniser import CountsWords, FastTokeniser, Tokeniser, WordTokeniser

WORDS = WordTokeniser()


def spans(text: str, size: int = 40, overlap: int = 0, tokeniser: Tokeniser = WORDS) -> list[Span]:
    return Chunker(tokeniser, ChunkerConfig(size=size, overlap=overlap)).split([text])[0].spans


def chunks(text: str, size: int = 40, overlap: int = 0, tokeniser: Tokeniser = WORDS) -> list[str]:
    return [text[span.start : span.end] for span in spans(text, size, overlap, tokeniser)]


def words(count: int, word: str = "word") -> str:
    return " ".join(f"{word}{i}" for i in range(count))


def sentences(count: int, length: int = 8) -> str:
    return " ".join("This " + " ".join(f"w{i}x{k}" for k in range(length - 2)) + "." for i in range(count))


def test_a_short_text_is_one_chunk():
    assert chunks("  Some text.\n\nMore of it.\n") == ["Some text.\n\nMore of it."]


@pytest.mark.parametrize("text", ["", " \n\t\r\n", "\u3000\u2028", "\x0c\x1c"])
def test_a_blank_text_has_no_chunks(text: str, tokeniser: Tokeniser):
    chunked = Chunker(tokeniser).split([text])[0]
    assert chunked.spans == []
    assert chunked.unknown == 0


def test_no_texts_no_chunks(tokeniser: Tokeniser):
    assert Chunker(tokeniser).split([]) == []


class TestHeadings:
    def test_a_chunk_begins_at_a_heading_once_the_one_before_is_half_full(self):
        text = f"# One\n\n{words(25)}\n\n## Two\n\n{words(25)}"
        assert [chunk.split("\n")[0] for chunk in chunks(text)] == ["# One", "## Two"]

    def test_short_sections_share_a_chunk(self):
        text = "\n\n".join(f"## Section {i}\n\n{words(4)}" for i in range(8))
        assert [chunk.count("##") for chunk in chunks(text)] == [5, 3]

    def test_a_higher_heading_is_the_better_place(self):
        text = f"# A\n\n{words(20)}\n\n# B\n\n{words(5)}\n\n### C\n\n{words(30)}"
        assert chunks(text)[1].startswith("# B")

    @pytest.mark.parametrize("before", range(1, 40))
    def test_a_heading_is_not_left_at_the_end(self, before: int):
        text = f"{words(before)}\n\n## Heading\n\n### Sub\n\n{sentences(6)}"
        for chunk in chunks(text, overlap=5):
            assert not chunk.endswith(("Heading", "Sub"))

    def test_path(self):
        filler = words(30)
        text = (
            f"{filler}\n\n# A {'{ #a-anchor }'}\n\n{filler}\n\n## B ##\n\n{filler}\n\n### C\n\n{filler}\n\n"
            f"## D {'{#d .class}'}\n\n{filler}\n\n# E {'{1, 2}'} C#\n\n{filler}"
        )
        assert [span.headings for span in spans(text)] == [
            (),
            ("A",),
            ("A", "B"),
            ("A", "B", "C"),
            ("A", "D"),
            ("E {1, 2} C#",),
        ]

    def test_underlined_headings(self):
        text = f"Title\n=====\n\n{words(30)}\n\nPart\n----\n\n{words(30)}\n\nlast line\nof two\n---\n\n{words(30)}"
        assert [span.headings for span in spans(text)] == [("Title",), ("Title", "Part"), ("Title", "Part")]

    def test_no_heading_without_a_space_or_behind_four_of_them_or_in_code(self):
        text = f"#tag\n\n    # code\n\n```\n# comment\n```\n\n~~~python\n# comment\n```\n# more\n~~~\n\n{words(40)}"
        assert {span.headings for span in spans(text)} == {()}

    def test_headings_after_code_count_again(self):
        text = f"```\n# comment\n```\n\n# Heading\n\n{words(36)}"
        assert spans(text)[-1].headings == ("Heading",)

    def test_inline_code_of_three_backticks_opens_no_block(self):
        text = f"```not a fence``` here\n\n# Heading\n\n{words(36)}"
        assert spans(text)[-1].headings == ("Heading",)

    def test_front_matter_is_no_heading(self):
        text = f"---\ntitle: x\n# comment\n---\n\n{words(60)}"
        assert {span.headings for span in spans(text)} == {()}

    def test_a_rule_at_the_head_of_a_text_is_no_front_matter(self):
        text = f"---\n\n# Heading\n\n{words(36)}\n\n---\n"
        assert spans(text)[-1].headings == ("Heading",)

    @pytest.mark.parametrize("newline", ["\n", "\r\n"])
    def test_line_endings(self, newline: str):
        text = f"# One\n\n{words(25)}\n\nTwo\n---\n\n{words(25)}\n\n```\n# no\n```\n".replace("\n", newline)
        found = spans(text)
        assert [span.headings for span in found] == [("One",), ("One", "Two")]
        assert all("\r" not in name for span in found for name in span.headings)


class TestBlocks:
    @pytest.mark.parametrize("before", range(1, 40, 3))
    @pytest.mark.parametrize("mark", ["```", "~~~~"])
    def test_a_code_block_that_fits_stays_whole(self, before: int, mark: str):
        code = f"{mark}python\n" + "\n\n".join(f"x = f{i}(y)" for i in range(4)) + f"\n{mark}"
        text = f"{words(before)}\n\n{code}\n\n{words(30)}"
        assert any(code in chunk for chunk in chunks(text, overlap=8))

    @pytest.mark.parametrize("before", range(1, 40, 3))
    def test_a_table_that_fits_stays_whole(self, before: int):
        table = "| a | b |\n|---|---|\n" + "\n".join(f"| {i} | x |" for i in range(3))
        text = f"{words(before)}\n\n{table}\n\n{words(30)}"
        assert any(table in chunk for chunk in chunks(text, overlap=8))

    def test_a_heading_goes_with_its_code_block(self):
        text = f"{words(12)}\n\n## Heading\n\n```\n{words(26)}\n```"
        assert chunks(text)[1].startswith("## Heading")

    def test_a_long_code_block_is_cut_at_blank_lines(self):
        text = "```\n" + "\n\n".join(f"def f{i}(x):\n    y = x\n    return y" for i in range(12)) + "\n```"
        assert all(chunk.startswith(("```", "def")) for chunk in chunks(text))

    def test_a_long_code_block_begins_a_chunk(self):
        text = f"{words(25)}\n\n```\n" + "\n\n".join(f"x = f{i}(y)" for i in range(12)) + "\n```"
        assert chunks(text)[1].startswith("```")

    def test_lines_of_code_are_no_sentences(self):
        text = "```\n" + "\n".join("return x. Then, yes" for _ in range(20)) + "\n```"
        assert all(chunk.startswith(("```", "return")) for chunk in chunks(text))

    def test_a_long_table_is_cut_between_rows(self):
        text = "\n".join(f"| {i} | some, text. More |" for i in range(40))
        assert all(chunk.startswith("|") and chunk.endswith("|") for chunk in chunks(text))

    def test_no_chunk_begins_with_the_mark_that_closes_code(self):
        text = "\n\n".join(f"```python\n{words(i + 3)}\n```\n\nText {words(i)}" for i in range(20))
        assert not any(chunk.startswith("```\n") for chunk in chunks(text, overlap=12))


class TestProse:
    def test_cut_at_paragraphs(self):
        text = "\n\n".join(sentences(3, 5) for _ in range(10))
        assert all(chunk.startswith("This") and chunk.endswith(".") for chunk in chunks(text))
        assert all(chunk in text.split("\n\n") or "\n\n" in chunk for chunk in chunks(text))

    def test_cut_at_list_items(self):
        text = "\n".join(f"{i}. item. {words(6)}" for i in range(20))
        assert all(chunk.split(".")[0].isdigit() for chunk in chunks(text))

    def test_cut_at_sentences_also_where_lines_are_wrapped(self):
        text = sentences(30).replace(" w3x1 ", "\nw3x1 ").replace("x4 ", "x4\n")
        assert all(chunk.startswith("This") and chunk.endswith(".") for chunk in chunks(text))

    def test_abbreviations_end_no_sentence(self):
        text = " ".join(["Here, e.g. this one, i.e. some text vs. other ones is no end but here it is."] * 10)
        assert all(chunk.startswith("Here") for chunk in chunks(text))

    def test_quotes_and_brackets_belong_to_the_sentence(self):
        text = 'He said "so it goes." ' * 30
        assert all(chunk.endswith('."') for chunk in chunks(text))

    @pytest.mark.parametrize("end", ["。", "！", "？", "；", "。”", "！）", "？」"])
    def test_chinese_sentences(self, end: str, tokeniser: Tokeniser):
        text = f"今天天气很好，我们去公园散步{end}" * 30
        assert all(chunk.startswith("今天") and chunk.endswith(end) for chunk in chunks(text, 64, 0, tokeniser))

    def test_chinese_clauses(self):
        text = "今天天气很好，我们去公园散步、" * 30
        assert all(chunk.endswith(("，", "、")) for chunk in chunks(text))

    def test_chunks_are_well_filled(self, tokeniser: Tokeniser):
        found = spans("\n\n".join([sentences(4)] * 100), 64, 0, tokeniser)
        assert sum(span.tokens for span in found[:-1]) / (len(found) - 1) > 32

    def test_a_text_with_no_place_to_cut(self, tokeniser: Tokeniser):
        text = "x1Y/" * 20_000
        assert "".join(chunks(text, 64, 20, tokeniser)) == text

    def test_a_word_that_is_one_unknown_token_is_cut_all_the_same(self, bert: Tokeniser):
        text = "before " + "x" * 1_000_000 + " after"
        found = spans(text, 256, 32, bert)
        assert max(span.end - span.start for span in found) <= 16 * 256
        assert "".join(text[span.start : span.end] for span in found).count("x") == 1_000_000


class TestOverlap:
    def test_begins_with_a_sentence(self):
        text = sentences(40)
        found = spans(text, 40, 16)
        assert all(span.start < before.end for before, span in pairwise(found[:-1]))
        assert all(text[span.start :].startswith("This") for span in found)

    def test_none_at_a_heading(self):
        text = "\n\n".join(f"## H{i}\n\n{sentences(2, 10)}" for i in range(20))
        found = spans(text, 40, 16)
        assert len(found) == 20
        assert all(text[span.start :].startswith("##") for span in found)
        assert all(span.start > before.end for before, span in pairwise(found))

    def test_goes_back_no_further_than_to_the_heading(self):
        body = f"{sentences(1, 12)} {sentences(20, 12)}"
        text = f"{sentences(2)}\n\n## Heading\n\n{body}"
        found = spans(text, 40, 19)
        assert text[: found[0].end].endswith(sentences(1, 12))
        assert found[1].start == text.index(body)

    def test_gives_way_to_a_code_block_that_needs_the_room(self):
        code = f"```\n{words(30)}\n```"
        text = f"{sentences(4)}\n\n{code}\n\n{sentences(4)}"
        assert chunks(text, 40, 16)[1] == code

    def test_none_inside_a_word_though_it_has_full_stops(self):
        found = spans("ab." * 200, 64, 20)
        assert all(span.start == before.end for before, span in pairwise(found))

    def test_zero_is_none(self):
        found = spans(sentences(40), 40, 0)
        assert all(span.start > before.end for before, span in pairwise(found))


class TestWholeAndConfig:
    def test_whole(self):
        text = f" \n# Title\n\n{words(5000)}\n"
        [span] = Chunker(WORDS, ChunkerConfig(kind="whole"), max_tokens=20).split([text])[0].spans
        assert text[span.start : span.end] == text.strip()
        assert span.headings == ("Title",)
        assert span.tokens == 5002

    def test_the_models_limit_lowers_the_budget(self, bert: Tokeniser):
        chunker = Chunker(bert, ChunkerConfig(size=400), max_tokens=256, prompt_tokens=7)
        assert chunker.budget == 256 - 2 - 7
        found = chunker.split([words(2000)])[0].spans
        assert 150 < max(span.tokens for span in found) <= chunker.budget

    def test_a_lower_budget_lowers_the_overlap(self, bert: Tokeniser):
        text = words(200, "a ")
        found = Chunker(bert, ChunkerConfig(size=256, overlap=100), max_tokens=22).split([text])[0].spans
        repeated = [text[span.start : before.end] for before, span in pairwise(found)]
        assert 0 < max(map(len, bert.encode_batch(repeated))) < 10

    def test_a_limit_that_leaves_nothing_is_an_error(self, bert: Tokeniser):
        with pytest.raises(ConfigurationError, match="leaves 7"):
            Chunker(bert, max_tokens=19, prompt_tokens=10)

    @pytest.mark.parametrize(
        "settings", [{"size": 7}, {"size": 10, "overlap": 5}, {"overlap": -1}, {"kind": "other"}, {"sise": 10}]
    )
    def test_wrong_settings(self, settings: dict[str, object]):
        with pytest.raises(ValidationError):
            ChunkerConfig.model_validate(settings)

    def test_the_config_survives_json(self):
        config = ChunkerConfig(size=100, overlap=10)
        assert ChunkerConfig.model_validate_json(config.model_dump_json()) == config


class TestLargeTexts:
    def test_a_text_of_megabytes_is_split_as_its_parts_are(self, bert: Tokeniser):
        part = "".join(f"# H{i}\n\n{sentences(40)}\n\n{'我们去公园散步。' * 60}\n\n" for i in range(100))
        text = part * 25
        assert len(text) > 4_000_000
        [chunked] = Chunker(bert).split([text])
        [alone] = Chunker(bert).split([part])
        assert chunked.tokens == 25 * alone.tokens
        shift = 24 * len(part)
        tail = [(span.start - shift, span.end - shift, span.tokens) for span in chunked.spans if span.start >= shift]
        assert tail == [(span.start, span.end, span.tokens) for span in alone.spans]

    @pytest.mark.parametrize(
        "unit", ["x", " ", "\n", "中", "#\n", "```\n", "| a\n", "。", "---\n", "a\n", "\r", "\u0301", "# a\n", "{#"]
    )
    def test_time_is_not_quadratic(self, unit: str, tokeniser: Tokeniser):
        assert_linear(tokeniser, lambda size: "start " + unit * (size // len(unit)))

    def test_time_is_not_quadratic_in_a_heading(self, tokeniser: Tokeniser):
        assert_linear(tokeniser, lambda size: f"# a{' ' * size}b")

    def test_time_is_not_quadratic_in_base64(self, tokeniser: Tokeniser):
        data = base64.b64encode(random.Random(1).randbytes(SMALLER * 4)).decode()
        assert_linear(tokeniser, lambda size: data[:size])


SMALLER = 50_000


def assert_linear(tokeniser: Tokeniser, make: Callable[[int], str]) -> None:
    """Four times the text may take ten times the time, where quadratic is sixteen."""
    chunker = Chunker(tokeniser)

    def best(text: str) -> float:
        times = []
        for _ in range(3):
            start = time.process_time()
            [chunked] = chunker.split([text])
            times.append(time.process_time() - start)
        assert chunked.spans[0].start == 0
        assert chunked.spans[-1].end == len(text.rstrip())
        return min(times)

    best(make(1000))
    # What takes next to no time varies by more than that.
    assert best(make(4 * SMALLER)) < 10 * max(best(make(SMALLER)), 0.002)


class TestPlainText:
    TEXT = f"# comment\nx = 1\n\n---\n\nName\n====\n\n```\n| a |\n{words(40)}\n"

    def test_has_no_headings(self):
        [plain, markdown] = Chunker(WORDS, ChunkerConfig(size=20)).split([self.TEXT] * 2, [False, True])
        assert {span.headings for span in plain.spans} == {()}
        assert {span.headings for span in markdown.spans} > {("comment",)}
        assert plain.tokens == markdown.tokens

    def test_everything_is_markdown_unless_told(self):
        chunker = Chunker(WORDS, ChunkerConfig(size=20))
        assert chunker.split([self.TEXT]) == chunker.split([self.TEXT], [True])

    def test_one_answer_for_each_text(self):
        with pytest.raises(ValueError, match="argument"):
            Chunker(WORDS).split(["a", "b"], [True])


class TestHeadingTitle:
    @pytest.mark.parametrize(
        ("line", "title"),
        [
            (" Title ", "Title"),
            ("Title ##", "Title"),
            ("C#", "C#"),
            ("##", ""),
            ("Title { #anchor }", "Title"),
            ("Title ## {: .a #b}", "Title"),
            ("Title {#a} end", "Title {#a} end"),
            ("set {x}", "set {x}"),
            ("{#a}", ""),
        ],
    )
    def test_what_is_left_of_a_line(self, line: str, title: str):
        assert heading_title(line) == title

    @pytest.mark.parametrize("line", ["a" + " " * 200_000 + "b", "{ " * 100_000, "a" + " #" * 100_000 + "b"])
    def test_in_linear_time(self, line: str):
        start = time.process_time()
        heading_title(line)
        assert time.process_time() - start < 1

    def test_what_is_too_long_is_no_heading(self):
        [chunked] = Chunker(WORDS).split([f"# {'x' * 200}\n\nbody\n\n# {'y' * 201}\n\n{words(1000)}"])
        assert {span.headings for span in chunked.spans} == {("x" * 200,)}


class TestFastTokeniser:
    def test_unknown_token_of_unigrams(self, unigram: Tokeniser):
        assert unigram.unknown_id == 0
        [chunked] = Chunker(unigram).split(["The quick \u0e01 fox"])
        assert chunked.unknown >= 1

    def test_words_are_counted_some_at_a_time(self, bert: Tokeniser):
        assert isinstance(bert, CountsWords)
        some = [f"word{i}" for i in range(40_000)]
        tokens, unknown = bert.count_words(some)
        assert tokens.tolist() == [len(encoding) for encoding in bert.encode_batch(some)]
        assert unknown.sum() == 0

    def test_words_of_megabytes_are_never_tokenised_whole(self, bert: Tokeniser, monkeypatch: pytest.MonkeyPatch):
        longest = 0
        count = FastTokeniser.count_words

        def watch(self: FastTokeniser, words: list[str]):
            nonlocal longest
            longest = max(longest, *map(len, words)) if words else longest
            return count(self, words)

        monkeypatch.setattr(FastTokeniser, "count_words", watch)
        Chunker(bert).split(["x1/" * 100_000])
        assert 0 < longest <= 2048
