"""Training word vectors on texts of known structure."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from retriever.embedding.words import TrainedWords, WordVectorConfig, WordVectorEmbedding, train_word_vectors
from retriever.errors import InvalidInput

gensim = pytest.importorskip("gensim")

PLACES = {"france": "paris", "italy": "rome", "spain": "madrid", "poland": "warsaw", "norway": "oslo", "egypt": "cairo"}


def texts(count=3000, seed=0):
    """A country's name and its capital's share what goes with the country, each kind what goes with its kind."""
    random = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        country = random.choice(list(PLACES))
        own = [f"{country}{n}" for n in random.integers(0, 4, 3)]
        kind, name = (("land", country), ("town", PLACES[country]))[random.integers(0, 2)]
        words = [name, *own, *(f"{kind}{n}" for n in random.integers(0, 4, 3))]
        random.shuffle(words)
        made.append(" ".join(words).capitalize() + ".")
    return made


def embedding(path, **settings):
    return WordVectorEmbedding(WordVectorConfig(path=str(path), **settings))


@pytest.mark.parametrize("algorithm", ["skip-gram", "cbow"])
def test_analogies_come_out(tmp_path, algorithm):
    path = tmp_path / "words.bin"
    epochs = []
    report = train_word_vectors(
        texts(), path, algorithm=algorithm, dimension=24, epochs=15, window=7, progress=epochs.append
    )
    assert report == TrainedWords(path, len(PLACES) * 6 + 8, 3000, 21_000, 0)
    assert epochs == list(range(1, 16))
    made = embedding(path)
    right = 0
    for one, other in [("france", "italy"), ("spain", "poland"), ("norway", "egypt"), ("italy", "norway")]:
        right += made.analogy(PLACES[one], one, other, 1)[0].word == PLACES[other]
    assert right >= 3
    assert made.dimension == 24


def test_the_three_forms_hold_the_same_vectors(tmp_path):
    sample = texts(300)
    for name in ("w.bin", "w.txt", "w.vec"):
        train_word_vectors(sample, tmp_path / name, dimension=8, epochs=1)
    binary = embedding(tmp_path / "w.bin").embed_documents(sample[:9])
    for name in ("w.txt", "w.vec"):
        assert (tmp_path / name).read_text().startswith("44 8\n")
        assert embedding(tmp_path / name).embed_documents(sample[:9]) == pytest.approx(binary, abs=1e-5)


TRAINING = """
import sys
from retriever.embedding.words import train_word_vectors
texts = [f"the quick fox {n % 7} jumps over the lazy dog {n % 11}" for n in range(200)]
train_word_vectors(texts, sys.argv[1], subwords=sys.argv[2] == "True", dimension=8, epochs=2, seed=int(sys.argv[3]))
"""


@pytest.mark.parametrize("subwords", [False, True])
def test_the_same_seed_gives_the_same_file_in_every_process(tmp_path, subwords):
    files = []
    for number, (hash_seed, seed) in enumerate([("1", 7), ("2", 7), ("1", 8)]):
        path = tmp_path / f"{number}.bin"
        environment = os.environ | {"PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-c", TRAINING, str(path), str(subwords), str(seed)]
        subprocess.run(command, env=environment, check=True)
        files.append(path.read_bytes())
    assert files[0] == files[1] != files[2]


def test_fasttext_knows_words_that_it_never_saw(tmp_path):
    path = tmp_path / "words.bin"
    train_word_vectors(texts(), path, subwords=True, dimension=16, epochs=3, window=7)
    made = embedding(path)
    assert made.most_similar("franse", 1)[0].word.startswith("france")
    assert made.embed_query("warsawa").any()
    (encoding,) = made.tokeniser.encode_batch(["warsawa warsaw 华沙"])
    assert encoding.ids.count(made.tokeniser.unknown_id) == 3  # n-grams do not tell whether it can read a text
    # It learnt nothing of Chinese n-grams.
    assert not made.embed_query("华沙").any()
    seen = embedding(path, limit=3)
    assert seen.embed_query("warsaw").any()  # from n-grams alone
    rebuilt = WordVectorEmbedding.from_config(json.loads(made.config.model_dump_json()))
    assert rebuilt.fingerprint == made.fingerprint
    assert (rebuilt.embed_documents(["warsawa is in poland"]) == made.embed_documents(["warsawa is in poland"])).all()


def test_an_iterator_and_a_list_are_the_same(tmp_path):
    train_word_vectors(texts(100), tmp_path / "a.bin", dimension=4)
    train_word_vectors(iter(texts(100)), tmp_path / "b.bin", dimension=4)
    assert (tmp_path / "a.bin").read_bytes() == (tmp_path / "b.bin").read_bytes()


def test_a_text_longer_than_what_gensim_reads_is_read_to_its_end(tmp_path):
    train_word_vectors(["begin " * 10_000 + "end " * 5], tmp_path / "w.bin", dimension=4)
    assert embedding(tmp_path / "w.bin").vectors.words == ["begin", "end"]


def test_scripts_without_spaces(tmp_path):
    train_word_vectors(["数据库的索引。"] * 5, tmp_path / "w.bin", dimension=4)
    assert set(embedding(tmp_path / "w.bin").vectors.words) == set("数据库的索引")


@pytest.mark.parametrize(
    ("corpus", "settings", "message"),
    [
        ([], {}, "no word of the texts occurs 5 times"),
        (["one two"] * 4, {}, "give more texts, or a lower min_count"),
        (["word"] * 9, {"dimension": 0}, "dimension is 0"),
        (["word"] * 9, {"epochs": -1}, "epochs is -1"),
        (["word"] * 9, {"algorithm": "skipgram"}, "algorithm is 'skipgram': it is one of skip-gram, cbow"),
        (["word"] * 9, {"seed": -1}, "seed is -1"),
        (["word"] * 9, {"seed": 2**32}, "seed is 4294967296"),
        (["word", 7], {}, "text 1 of the corpus is of the type int"),
        (["word"] * 9, {"output": "."}, "is a folder: name a file in it"),
        (["word"] * 9, {"output": "/proc/w.bin"}, "/proc/w.bin cannot be written"),
        (["word"] * 9, {"output": "no/such/folder/w.bin"}, "there is no folder"),
        (["word"] * 9, {"output": "w.vec", "subwords": True}, "keeps no n-grams"),
        ("no/such/corpus", {}, "cannot be loaded"),
    ],
)
def test_what_cannot_be_trained(tmp_path, monkeypatch, corpus, settings, message):
    monkeypatch.chdir(tmp_path)
    output = settings.pop("output", "w.bin")
    with pytest.raises(InvalidInput, match=message):
        train_word_vectors(corpus, output, **settings)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "docs"
    path.mkdir()
    for number, text in enumerate(texts(50)):
        (path / f"{number}.txt").write_text(text)
    (path / "photo.jpg").write_bytes(b"\xff\xd8\xff\x00\x00\x01")
    return path


def test_the_command(run_cli, folder, tmp_path):
    code, out, _ = run_cli("train-words", folder, "--output", tmp_path / "w.bin", "--dimension", "8", "--json")
    assert code == 0
    report = json.loads(out)
    assert report == {
        "path": str(tmp_path / "w.bin"),
        "vocabulary": report["vocabulary"],
        "texts": 50,
        "words": 350,
        "unread": 1,
    }
    made = embedding(tmp_path / "w.bin")
    assert (made.dimension, len(made.vectors.words)) == (8, report["vocabulary"])
    code, out, _ = run_cli("train-words", folder, "-o", tmp_path / "f.bin", "--subwords", "--algorithm", "cbow")
    assert code == 0
    assert "from 50 texts of 350 words" in out
    assert "1 files gave no text" in out
    assert embedding(tmp_path / "f.bin").vectors.subwords is not None
    code, _, error = run_cli("train-words", folder, "-o", tmp_path / "x.bin", "--min-count", "1000")
    assert (code, "no word of the texts occurs 1000 times" in " ".join(error.split())) == (1, True)
