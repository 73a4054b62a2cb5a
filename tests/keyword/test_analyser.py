"""From text to terms."""

import threading
import unicodedata

import pytest
import Stemmer
from hypothesis import given
from hypothesis import strategies as st

from retriever.errors import ConfigurationError, IndexMismatch
from retriever.keyword.analyser import Analyser
from retriever.keyword.config import ANALYSER_VERSION, AnalyserConfig
from retriever.keyword.stopwords import LANGUAGES, stop_words

ENGLISH = Analyser()
PLAIN = Analyser(AnalyserConfig(language="none"))

texts = st.text(st.characters(exclude_categories=["Cs"]))
# What is likely to go wrong: joiners, marks, forms that normalising changes, scripts side by side.
awkward = st.text(
    st.sampled_from(
        "aB1_.-'’ é中文ﾀﾞガかく한국กำहिन्दी"
        "\u0301\u3099\u200d\u200c\ufe0f\uff9e\u1112\u1161\u11ab\u0327\u0316\u309f\u30ff½①ﷺﬁＡ１İßΣ👩🏽\0\n#+/@"
    ),
    max_size=20,
)
any_text = texts | awkward

EXAMPLES = {
    # from the documentation
    "foo_bar": "foo_bar foo bar",
    "E1234": "e1234 1234",
    "camelCase": "camelcase camel case",
    "10.0.0.1": "10.0.0.1 10 0 0 1",
    # plain words
    "": "",
    " \t\n": "",
    "Hello, World!": "hello world",
    "running runs": "run run",
    "1 22 333": "1 22 333",
    "naïve Café": "naïv café",
    "Straße": "straße",
    "ΣΊΣΥΦΟΣ": "σίσυφος",
    "a.b": "a.b b",
    # identifiers
    "HTTPServer": "httpserver http server",
    "parseHTTPResponse2": "parsehttpresponse2 pars http respons",
    "snake_case_name": "snake_case_name snake case name",
    "getX": "getx get",
    "3D": "3d",
    "utf8": "utf8 utf",
    "kebab-case": "kebab-case kebab case",
    "module.Class.method": "module.class.method modul class method",
    "some.camelCase": "some.camelcase some camelcas camel case",
    "C:\\dir\\file.txt": "c dir file.txt file txt",
    "https://example.com/a_b?q=1": "https example.com exampl com a_b b q 1",
    "user@example.com": "user example.com exampl com",
    "v1.2.3-rc1": "v1.2.3-rc1 v1 2 3 rc1 rc",
    # what stands around a word is no part of it
    "__init__": "init",
    "_private": "privat",
    "_important_ **bold** `code`": "import bold code",
    "_the_": "",
    "___ --- ... '' ’": "",
    "end. Start": "end start",
    "foo- bar. baz'": "foo bar baz",
    "joined\u200d": "join",
    # apostrophes
    "don't": "don't",
    "don’t": "don't",
    "Anna's Anna’s": "anna anna",
    "O'Brien": "o'brien",
    "'quoted'": "quot",
    # stop words
    "The cat is on the mat": "cat mat",
    "what are you": "",
    "to_the_point": "to_the_point point",
    # full width, ligatures
    "ＦＡＳＴ１２３": "fast123 fast 123",
    "ﬁne": "fine",
    # emoji
    "👩\u200d👩\u200d👧 ok 👍🏽": "ok",
}

UNSPACED = {
    "中": "中",
    "中文": "中 文 中文",
    "数据库索引": "数 据 库 索 引 数据 据库 库索 索引",
    "你好，世界": "你 好 你好 世 界 世界",
    "東京タワー": "東 京 タ ワ ー 東京 京タ タワ ワー",
    "한국어": "한 국 어 한국 국어",
    "ภาษา": "ภ า ษ า ภา าษ ษา",
    "使用FastAPI框架": "使 用 使用 fastapi fast api 框 架 框架",
    "GPU加速": "gpu 加 速 加速",
    "GPU-加速": "gpu 加 速 加速",
    "Python.这": "python 这",
    "v1.0-正式版": "v1.0 v1 0 正 式 版 正式 式版",
    "foo_中": "foo 中",
    "中-bar": "中 bar",
    "the中": "中",
    "第3章": "第 3 章",
    "𠀀𠀁": "𠀀 𠀁 𠀀𠀁",
    "人々": "人 々 人々",
}


@pytest.mark.parametrize("text", EXAMPLES)
def test_words_and_identifiers(text):
    assert sorted(ENGLISH.terms(text).elements()) == sorted(EXAMPLES[text].split())


@pytest.mark.parametrize("text", UNSPACED)
@pytest.mark.parametrize("analyser", [ENGLISH, PLAIN, Analyser(AnalyserConfig(language="russian"))])
def test_scripts_without_spaces_give_characters_and_pairs(text, analyser):
    wanted = UNSPACED[text].split()
    if analyser is not ENGLISH and "the" in text:
        wanted.append("the")
    assert sorted(analyser.terms(text).elements()) == sorted(wanted)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ﾃﾞｰﾀﾍﾞｰｽ", "データベース"),
        ("ＦａｓｔＡＰＩ", "FastAPI"),
        ("１２３", "123"),
        ("e\u0301cole", "école"),
        ("A\u030angstro\u0308m", "Ångström"),
        (unicodedata.normalize("NFD", "한국어"), "한국어"),
        (unicodedata.normalize("NFD", "データベース"), "データベース"),
        (unicodedata.normalize("NFD", "Việt Nam"), "Việt Nam"),
        ("it’s", "it's"),
        ("CAFÉ", "café"),
        ("ﬁle", "file"),
    ],
)
@pytest.mark.parametrize("analyser", [ENGLISH, PLAIN])
def test_two_ways_to_write_it(analyser, one, other):
    assert analyser.terms(one) == analyser.terms(other) != {}


def test_hindi_words_are_whole():
    assert PLAIN.terms("हिन्दी में खोज") == {"हिन्दी": 1, "में": 1, "खोज": 1}


def test_arabic_and_hebrew_with_vowels_are_whole():
    assert list(PLAIN.terms("كِتَاب שָׁלוֹם")) == ["كِتَاب", unicodedata.normalize("NFKC", "שָׁלוֹם")]


def test_thai_and_khmer_give_pairs():
    assert {"ไท", "ทย"} <= PLAIN.terms("ภาษาไทย").keys()
    assert {"ខ", "ខ្"} <= PLAIN.terms("ខ្មែរ").keys()


@pytest.mark.parametrize(
    ("language", "text", "terms"),
    [
        ("english", "The connections of the system", "connect system"),
        ("german", "Die Verbindungen und das Haus", "verbind haus"),
        ("french", "Les maisons et les chevaux", "maison cheval"),
        ("spanish", "Las casas de los niños", "cas niñ"),
        ("italian", "Le case e gli amici", "cas amic"),
        ("portuguese", "As casas dos meninos", "cas menin"),
        ("dutch", "De boeken van het land", "boek land"),
        ("russian", "В домах и на улицах", "дом улиц"),
        ("finnish", "talossa", "talo"),
        ("none", "The connections", "the connections"),
    ],
)
def test_languages(language, text, terms):
    assert list(Analyser(AnalyserConfig(language=language)).terms(text)) == terms.split()


@pytest.mark.parametrize("language", LANGUAGES)
def test_stop_words_are_as_the_analyser_sees_words(language):
    assert language in Stemmer.algorithms()
    words = stop_words(language)
    assert words
    for word in words:
        assert word == unicodedata.normalize("NFKC", word).lower()
    assert Analyser(AnalyserConfig(language=language)).terms(" ".join(words).upper()) == {}


@pytest.mark.parametrize("language", ["klingon", "", "English", "en"])
def test_an_unknown_language_lists_those_there_are(language):
    with pytest.raises(ConfigurationError, match=f"unknown language '{language}'.*none,.*english.*russian"):
        Analyser(AnalyserConfig(language=language))


def test_rules_of_another_version_are_refused():
    with pytest.raises(IndexMismatch, match=f"version {ANALYSER_VERSION + 1} of the analyser.*{ANALYSER_VERSION}"):
        Analyser(AnalyserConfig(version=ANALYSER_VERSION + 1))


def test_counts():
    assert ENGLISH.terms("error Error ERRORS foo_bar foo") == {"error": 3, "foo_bar": 1, "foo": 2, "bar": 1}
    assert ENGLISH.terms("中中中") == {"中": 3, "中中": 2}


def test_shared_terms_are_in_the_order_of_the_query():
    text = "Rotate the signing key before the key expires."
    assert ENGLISH.shared(text, ENGLISH.terms("expired keys, not rotating keys")) == ["expir", "key", "rotat"]
    assert ENGLISH.shared(text, ENGLISH.terms("unrelated")) == []
    assert ENGLISH.shared(text, ["signing"]) == []


def test_tokens_are_places():
    text = "See foo_bar in the 数据库."
    marked = [(text[start:end], terms) for start, end, terms in ENGLISH.tokens(text)]
    assert marked == [
        ("See", ("see",)),
        ("foo_bar", ("foo_bar", "foo", "bar")),
        ("in", ()),
        ("the", ()),
        ("数", ("数", "数据")),
        ("据", ("据", "数据", "据库")),
        ("库", ("库", "据库")),
    ]


def test_tokens_of_what_normalising_changes_are_places_too():
    text = "ｶﾞｲﾄﾞ cafe\u0301"
    marked = [(text[start:end], terms) for start, end, terms in PLAIN.tokens(text)]
    assert marked == [
        ("ｶﾞ", ("ガ", "ガイ")),
        ("ｲ", ("イ", "ガイ", "イド")),
        ("ﾄﾞ", ("ド", "イド")),
        ("cafe\u0301", ("café",)),
    ]


@given(any_text)
def test_terms_are_non_empty_strings_counted_from_1(text):
    for analyser in (ENGLISH, PLAIN):
        for term, count in analyser.terms(text).items():
            assert isinstance(term, str)
            assert term
            assert count >= 1


@given(any_text)
def test_a_text_shares_all_its_terms_with_itself(text):
    terms = ENGLISH.terms(text)
    assert ENGLISH.shared(text, terms) == list(terms)


@given(any_text)
def test_tokens_have_the_terms_and_lie_in_the_text(text):
    place = 0
    found = set()
    for start, end, terms in ENGLISH.tokens(text):
        assert place <= start < end <= len(text)
        place = start
        found.update(terms)
    assert found == set(ENGLISH.terms(text))


@given(awkward)
def test_composed_and_decomposed_texts_have_the_same_terms(text):
    composed, decomposed = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    for analyser in (ENGLISH, PLAIN):
        assert analyser.terms(composed) == analyser.terms(decomposed)


@given(st.text("abcé中文 _.-1", max_size=12), st.text("abcé中文 _.-1", max_size=12))
def test_white_space_keeps_texts_apart(one, other):
    assert PLAIN.terms(f"{one}\n{other}") == PLAIN.terms(one) + PLAIN.terms(other)


def test_threads_get_the_same_answer():
    words = [f"connection{n} running{n % 7} Verbindungen generalisations{n}" for n in range(300)]
    analyser = Analyser()
    expected = [Analyser().terms(text) for text in words]
    answers = {}

    def work(name):
        answers[name] = [analyser.terms(text) for text in words]

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answers.get(name) for name in range(4)] == [expected] * 4


def test_long_texts():
    assert ENGLISH.terms("x" * 1_000_000) == {"x" * 1_000_000: 1}
    assert ENGLISH.terms("中" * 100_000) == {"中": 100_000, "中中": 99_999}
    assert ENGLISH.terms("a." * 50_000).total() > 0
    assert ENGLISH.terms("_" * 1_000_000) == {}


@pytest.mark.parametrize(
    ("language", "text", "term"),
    [
        ("french", "l'école", "école"),
        ("french", "L’ÉCOLE", "école"),
        ("french", "aujourd'hui", "aujourd'hui"),
        ("italian", "dell'acqua", "acqua"),
        ("english", "don't", "don't"),
    ],
)
def test_elided_articles_are_left_out(language, text, term):
    analyser = Analyser(AnalyserConfig(language=language))
    assert list(analyser.terms(text)) == list(analyser.terms(term)) != []
