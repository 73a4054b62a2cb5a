"""Words of a text as a vocabulary knows them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.chunking import Chunker, ChunkerConfig
from retriever.embedding.words.tokens import VocabularyTokeniser, plain_words
from retriever.embedding.words.vectors import WordVectors

GLOVE = [
    *("the", "of", ",", ".", "-", "'s", "n't", "king", "queen", "do", "don", "state-of-the-art", "art", "e1234"),
    *("10.0.0.1", "état", "foo", "bar", "state", "well", "known"),
]
CHINESE = ["数据库", "数据", "库", "索引", "检索", "数", "引", "東京"]


def tokeniser(words, lower_case=False):
    return VocabularyTokeniser(WordVectors(words, np.eye(len(words), dtype=np.float32)), lower_case=lower_case)


def cut(text, words=GLOVE, **settings):
    """The words of a text, unknown ones in brackets."""
    made = tokeniser(words, **settings)
    (encoding,) = made.encode_batch([text])
    found = [
        words[token] if token != made.unknown_id else f"<{text[start:end]}>"
        for token, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
    ]
    assert [token.id for token in made.words(text)] == encoding.ids
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The king of the queen", ["the", "king", "of", "the", "queen"]),
        ("KING", ["king"]),
        ("the king, the queen.", ["the", "king", "the", "queen"]),
        ("king's King’s", ["king", "'s", "king", "'s"]),
        ("don't do", ["do", "n't", "do"]),
        ("state-of-the-art art", ["state-of-the-art", "art"]),
        ("well-known king-queen", ["well", "known", "king", "queen"]),
        ("foo_bar _foo_", ["foo", "bar", "foo"]),
        ("E1234 at 10.0.0.1", ["e1234", "<at>", "10.0.0.1"]),
        ("10.0.0.2", ["<10>", "<0>", "<0>", "<2>"]),
        ("État e\u0301tat", ["état", "état"]),
        ("ｋｉｎｇ", ["king"]),
        ("known-unknown", ["known", "<unknown>"]),
        ("", []),
        (" \n…!? -- ' ", []),
        ("检索增强", ["<检>", "<索>", "<增>", "<强>"]),
        ("king国王queen", ["king", "<国>", "<王>", "queen"]),
        ("x" * 70, ["<" + "x" * 32 + ">", "<" + "x" * 32 + ">", "<" + "x" * 6 + ">"]),
    ],
)
def test_words(text, expected):
    assert cut(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("数据库索引", ["数据库", "索引"]),
        ("数据检索", ["数据", "检索"]),
        ("数据增强，数。", ["数据", "<增>", "<强>", "数"]),
        ("東京タワー", ["東京", "<タ>", "<ワ>", "<ー>"]),
        ("index索引x", ["<index>", "索引", "<x>"]),
    ],
)
def test_scripts_without_spaces_are_cut_by_the_longest_word(text, expected):
    assert cut(text, CHINESE) == expected


def test_a_cased_vocabulary_is_asked_for_the_word_as_it_stands_first():
    words = ["the", "The", "Apple", "apple", "king"]
    assert cut("The Apple apple KING Queen", words) == ["The", "Apple", "apple", "king", "<Queen>"]
    assert cut("The Apple apple KING", words, lower_case=True) == ["the", "apple", "apple", "king"]
    assert cut("NASA", ["NASA"], lower_case=True) == ["<NASA>"]


def rate(text, words):
    made = tokeniser(words)
    (encoding,) = made.encode_batch([text])
    return encoding.ids.count(made.unknown_id) / len(encoding)


def test_the_rate_of_unknown_words_tells_a_vocabulary_that_cannot_read_a_text():
    english = "the king of the queen, the state of the art."
    chinese = "检索增强生成先查找资料，再回答问题。"
    assert rate(english, GLOVE) == 0  # punctuation is no unknown word
    assert rate(chinese, GLOVE) == 1
    assert rate(english, CHINESE) == 1


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
def test_tokens_are_in_order_and_lie_in_the_text(text):
    (encoding,) = tokeniser(GLOVE + CHINESE).encode_batch([text])
    end = 0
    for start, stop in encoding.offsets:
        assert end <= start < stop <= len(text)
        assert not any(character.isspace() for character in text[start:stop])
        end = stop
    assert len(encoding) == len(encoding.ids)


@given(st.lists(st.sampled_from([*GLOVE, "king’s", "数据库", "x-y_z", "?", "增"]), max_size=12))
def test_cutting_at_white_space_leaves_the_tokens_as_they_are(parts):
    made = tokeniser(GLOVE + CHINESE)
    together = made.encode_batch([" ".join(parts)])[0].ids
    apart = [token for encoding in made.encode_batch(parts) for token in encoding.ids]
    assert together == apart


def test_the_chunker_counts_with_it():
    text = "The king of the state-of-the-art. " * 30 + "数据库索引检索" * 20
    chunker = Chunker(tokeniser(GLOVE + CHINESE), ChunkerConfig(size=16, overlap=0))
    (chunked,) = chunker.split([text], [False])
    assert len(chunked.spans) > 10
    for span in chunked.spans:
        counted = len(tokeniser(GLOVE + CHINESE).encode_batch([text[span.start : span.end]])[0])
        assert counted == span.tokens <= 16


def test_words_for_training():
    assert list(plain_words("The King’s 10.0.0.1, 数据库!")) == ["the", "king's", "10.0.0.1", "数", "据", "库"]


def test_a_long_text_takes_no_quadratic_time():
    import time

    def least(text):
        times = []
        for _ in range(3):
            begun = time.process_time()
            tokeniser(GLOVE + CHINESE).encode_batch([text])
            times.append(time.process_time() - begun)
        return min(times)

    for part in ("a-", "x", "数", "n't", "a\u0301"):
        few, many = least(part * 2_000), least(part * 32_000)
        assert many < 80 * max(few, 0.0005), "sixteen times as long: quadratic would be 256 times"
