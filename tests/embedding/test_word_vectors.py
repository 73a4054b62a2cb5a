"""Texts by the vectors of their words."""

import gzip
import json
import subprocess
import sys

import numpy as np
import pytest
from pydantic import ValidationError

from retriever import Document, Retriever
from retriever.embedding import resolve_embedding
from retriever.embedding.words import Neighbour, WordVectorConfig, WordVectorEmbedding
from retriever.errors import ConfigurationError, IndexMismatch, InvalidInput, ModelNotFound
from retriever.identity import check_settings, make_manifest

AXES = {  # royal, male, female, fruit, machine, everywhere
    "the": (0, 0, 0, 0, 0, 9),
    "of": (0, 0, 0, 0, 0, 8),
    "king": (5, 5, 0, 0, 0, 1),
    "queen": (5, 0, 5, 0, 0, 1),
    "man": (0, 5, 0, 0, 0, 1),
    "woman": (0, 0, 5, 0, 0, 1),
    "apple": (0, 0, 0, 5, 0, 1),
    "pear": (0, 0, 1, 5, 0, 1),
    "engine": (0, 0, 0, 0, 5, 1),
    "Throne": (4, 1, 1, 0, 0, 1),
    "throne": (4, 1, 1, 0, 1, 1),
    "royal": (5, 2, 2, 0, 0, 1),
}
MATRIX = np.array(list(AXES.values()), dtype=np.float32)
TEXTS = ["The king of the apple", "Throne", "unheard words", "", "the of", "queen pear pear", "检索增强"]


@pytest.fixture
def glove(tmp_path):
    path = tmp_path / "glove.txt"
    path.write_text("".join(f"{word} {' '.join(map(str, row))}\n" for word, row in AXES.items()))
    return path


def embedding(path, **settings):
    return WordVectorEmbedding(WordVectorConfig(path=str(path), **settings))


def unit(vector):
    norm = np.linalg.norm(vector)
    return vector / norm if norm else vector


def test_the_plain_mean(glove):
    made = embedding(glove, pooling="mean", normalize=False)
    (vector,) = made.embed_documents(["The king, of unheard apples: apple!"])
    assert vector == pytest.approx(MATRIX[[0, 2, 1, 6]].mean(axis=0))
    assert made.dimension == 6


def test_sif_by_its_formula(glove):
    ranks = np.arange(1, len(AXES) + 1)
    p = (1 / ranks) / (1 / ranks).sum()
    weight = 1e-3 / (1e-3 + p)
    common = unit((p * weight) @ MATRIX)
    rows = [0, 2, 1, 0, 6]  # the king of the apple
    mean = weight[rows] @ MATRIX[rows] / len(rows)
    expected = mean - (mean @ common) * common
    assert embedding(glove, normalize=False).embed_query(TEXTS[0]) == pytest.approx(expected, abs=1e-5)
    assert embedding(glove).embed_query(TEXTS[0]) == pytest.approx(unit(expected), abs=1e-5)


def test_counts_of_the_file_go_before_its_order(tmp_path):
    from retriever.embedding.words.pooling import probabilities
    from retriever.embedding.words.vectors import WordVectors

    words, matrix = ["a", "b", "c"], np.eye(3, dtype=np.float32)
    assert probabilities(WordVectors(words, matrix, np.array([6, 3, 1]))) == pytest.approx([0.6, 0.3, 0.1])
    assert probabilities(WordVectors(words, matrix)) == pytest.approx(np.array([6, 3, 2]) / 11)
    assert probabilities(WordVectors(words, matrix, np.array([0, 0, 0]))) == pytest.approx(np.array([6, 3, 2]) / 11)


def test_a_text_without_a_known_word_is_the_zero_vector(glove):
    for text in ("", "unheard words", "检索增强", "...", "\n"):
        assert not embedding(glove).embed_query(text).any()


def test_what_is_all_common_is_the_zero_vector_and_no_noise(tmp_path):
    path = tmp_path / "one.txt"
    path.write_text("only 0.1 0.7 0.3\n")
    assert not embedding(path).embed_query("only, only, only").any()
    assert embedding(path, pooling="mean").embed_query("only").any()


def test_documents_and_queries_are_alike_and_any_order_is_the_same(glove):
    made = embedding(glove)
    vectors = made.embed_documents(TEXTS)
    assert (vectors == made.embed_queries(TEXTS)).all()
    assert (vectors[::-1] == made.embed_documents(TEXTS[::-1])).all()
    norms = np.linalg.norm(vectors, axis=1)
    assert np.all((norms == 0) | (np.abs(norms - 1) < 1e-6))


def test_every_format_gives_the_same_vectors(glove, tmp_path):
    expected = embedding(glove).embed_documents(TEXTS)
    text = f"{len(AXES)} 6\n{glove.read_text()}"
    (tmp_path / "w.vec").write_text(text)
    (tmp_path / "w.vec.gz").write_bytes(gzip.compress(text.encode()))
    body = b"".join(word.encode() + b" " + row.tobytes() for word, row in zip(AXES, MATRIX, strict=True))
    (tmp_path / "w.bin").write_bytes(f"{len(AXES)} 6\n".encode() + body)
    for name in ("w.vec", "w.vec.gz", "w.bin"):
        assert (embedding(tmp_path / name).embed_documents(TEXTS) == expected).all()


def test_it_has_no_limit_and_cuts_nothing(glove):
    made = embedding(glove)
    assert made.max_tokens is None
    long = "king " * 50_000
    assert made.embed_query(long + "apple")[3] != made.embed_query(long)[3]


def test_the_settings_rebuild_it(glove):
    made = embedding(glove, pooling="mean", limit=9, lower_case=True, normalize=False, format="glove")
    stored = json.loads(json.dumps(made.config.model_dump(mode="json")))
    rebuilt = WordVectorEmbedding.from_config(stored)
    assert rebuilt.config == made.config
    assert rebuilt.fingerprint == made.fingerprint
    assert (rebuilt.embed_documents(TEXTS) == made.embed_documents(TEXTS)).all()


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"pooling": "mean"}, "pooling"),
        ({"limit": 4}, "vocabulary"),
        ({"lower_case": True}, "lower_case"),
        ({"normalize": False}, "normalize"),
        ({"too_long": "split"}, "too_long"),
    ],
)
def test_each_setting_alone_is_another_fingerprint_and_refused(glove, settings, key):
    made, other = embedding(glove), embedding(glove, **settings)
    assert {name for name, _ in made.fingerprint.items() ^ other.fingerprint.items()} == {key}
    with pytest.raises(IndexMismatch, match=key):
        check_settings(make_manifest(made, None, None, {}), "here", other, None, None)


@pytest.mark.parametrize("settings", [{"format": "glove"}, {"limit": 12}, {"limit": 99}, {"too_long": "error"}])
def test_what_changes_no_vector_changes_no_fingerprint(glove, settings):
    made, other = embedding(glove), embedding(glove, **settings)
    assert made.fingerprint == other.fingerprint
    assert (made.embed_documents(TEXTS) == other.embed_documents(TEXTS)).all()
    check_settings(make_manifest(made, None, None, {}), "here", other, None, None)


def test_a_copy_elsewhere_is_the_same_and_one_number_makes_another(glove, tmp_path):
    made = embedding(glove)
    copy = tmp_path / "copy"
    copy.write_bytes(glove.read_bytes())
    assert embedding(copy).fingerprint == made.fingerprint
    copy.write_bytes(glove.read_bytes()[:-2] + b"2\n")
    assert {key for key, _ in made.fingerprint.items() ^ embedding(copy).fingerprint.items()} == {"weights"}


def test_names(glove, monkeypatch):
    assert resolve_embedding(f"word-vectors:{glove}").name == f"word-vectors:{glove}"
    monkeypatch.chdir(glove.parent)
    assert resolve_embedding("word-vectors:glove.txt").config.path == str(glove)
    with pytest.raises(ConfigurationError, match="write word-vectors:PATH"):
        resolve_embedding("word-vectors:")


def test_nothing_is_read_before_it_is_needed():
    made = resolve_embedding("word-vectors:/no/such/file")
    with pytest.raises(ModelNotFound, match="there is no file of word vectors at /no/such/file"):
        made.embed_query("x")


@pytest.mark.parametrize(
    "config", [{}, {"path": ""}, {"path": "x", "limit": 0}, {"path": "x", "pooling": "max"}, {"path": "x", "idf": 1}]
)
def test_wrong_settings(config):
    with pytest.raises(ValidationError):
        WordVectorEmbedding.from_config(config)


def test_the_nearest_words(glove):
    made = embedding(glove)
    found = made.most_similar("king", 3)
    assert [neighbour.word for neighbour in found] == ["royal", "Throne", "throne"]
    assert isinstance(found[0], Neighbour)
    king, royal = unit(MATRIX[2]), unit(MATRIX[11])
    assert found[0].similarity == pytest.approx(king @ royal, abs=1e-6)
    assert [n.similarity for n in found] == sorted((n.similarity for n in found), reverse=True)
    assert made.most_similar("KING", 1) == made.most_similar("king", 1)
    assert len(made.most_similar("king", 100)) == len(AXES) - 1
    assert made.most_similar("king", 0) == []
    with pytest.raises(InvalidInput, match="n is -1"):
        made.most_similar("king", -1)


@pytest.mark.parametrize("written", ["o’clock", "O'CLOCK", "ｏ'ｃｌｏｃｋ"])
def test_a_word_is_not_its_own_neighbour_however_it_is_written(tmp_path, written):
    path = tmp_path / "v.txt"
    path.write_text("o'clock 1 2\nhour 2 1\nday 1 1\n")
    made = embedding(path)
    assert {neighbour.word for neighbour in made.most_similar(written)} == {"hour", "day"}
    assert {neighbour.word for neighbour in made.analogy(written, "hour", written)} == {"day"}


def test_the_words_asked_for_are_left_out_in_any_case(glove):
    words = {neighbour.word for neighbour in embedding(glove).most_similar("throne", 100)}
    assert words == set(AXES) - {"throne", "Throne"}


def test_analogies_are_those_of_gensim(glove):
    gensim = pytest.importorskip("gensim")
    made = embedding(glove)
    assert made.analogy("king", "man", "woman", 1)[0].word == "queen"
    assert made.analogy("woman", "queen", "king", 1)[0].word == "man"
    theirs = gensim.models.KeyedVectors(6)
    theirs.add_vectors(list(AXES), MATRIX)
    expected = theirs.most_similar(positive=["king", "woman"], negative=["man"], topn=5)
    found = made.analogy("king", "man", "woman", 5)
    assert [word for word, _ in found] == [word for word, _ in expected]
    assert [cosine for _, cosine in found] == pytest.approx([cosine for _, cosine in expected], abs=1e-6)


def test_an_unknown_word_is_named_with_what_is_spelled_alike(glove):
    made = embedding(glove)
    with pytest.raises(InvalidInput, match=r"'quene' is not among the 12 words of .*; spelled alike are 'queen'"):
        made.most_similar("quene")
    with pytest.raises(InvalidInput, match=r"'zzzz' is not among the 12 words of .*glove\.txt$"):
        made.analogy("king", "man", "zzzz")
    with pytest.raises(InvalidInput, match="'' is not among"):
        made.most_similar("")


DOCUMENTS = [
    Document("crown", "The king and the queen sat on the throne of the land."),
    Document("market", "An apple, or a pear, of the garden."),
    Document("motor", "The engine of the car."),
]


def test_an_index_on_edge_with_a_glove_file(glove, tmp_path):
    pytest.importorskip("qdrant_edge")
    address = str(tmp_path / "index")
    with Retriever.open(address, embedding=f"word-vectors:{glove}") as opened:
        report = opened.index(DOCUMENTS, source="s")
        assert report.added == 3
        assert 0 < opened.info().manifest.calibration.unknown_rate < 0.5
    with Retriever.open(address) as opened:  # by its address alone
        assert opened.search("woman royal", 1, mode="semantic")[0].document_id == "s::crown"
        assert opened.search("pear", 1)[0].document_id == "s::market"
        assert opened.search("engine", 1, mode="semantic")[0].document_id == "s::motor"
        assert opened.verify().problems == []
    with pytest.raises(IndexMismatch, match="pooling is 'sif' there, 'mean' here"):
        Retriever.open(address, embedding=embedding(glove, pooling="mean"))


def test_a_file_that_changed_under_its_name_is_refused(glove, tmp_path):
    with Retriever.open(str(tmp_path / "index"), embedding=embedding(glove)) as opened:
        opened.index(DOCUMENTS, source="s")
    (tmp_path / "glove.txt").write_text("the 1 0 0 0 0 1\nquick 0 1 0 0 0 1\nfox 0 0 1 0 0 0\n")
    with (
        Retriever.open(str(tmp_path / "index")) as opened,
        pytest.raises(IndexMismatch, match="now gives other vectors"),
    ):
        opened.search("king")


WITHOUT_GENSIM = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "gensim":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Refuse())
from retriever import MissingExtra
from retriever.embedding import resolve_embedding
from retriever.embedding.words import train_word_vectors
print(resolve_embedding("word-vectors:" + sys.argv[1]).dimension)
for work in (
    lambda: resolve_embedding("word-vectors:" + sys.argv[2]).embed_query("x"),
    lambda: train_word_vectors(["a b"] * 9, sys.argv[3]),
):
    try:
        work()
    except MissingExtra as error:
        print(error)
"""


def test_without_gensim_a_fasttext_model_and_training_name_the_extra(glove, tmp_path):
    model = tmp_path / "model.bin"
    model.write_bytes(bytes.fromhex("ba164f2f0c000000") + bytes(100))
    command = [sys.executable, "-c", WITHOUT_GENSIM, glove, model, tmp_path / "new.bin"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    advice = "needs an extra: pip install 'hybrid-retriever[words]'"
    assert said == ["6", f"the fastText model {model} {advice}", f"training word vectors {advice}"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["glove.txt", "model.bin"]
