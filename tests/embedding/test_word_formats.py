"""Files of word vectors: every format gives the same, and what is broken or hostile is refused by name."""

import gzip
import pickle
import re
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

from retriever.embedding.words.formats import detect_format, load_word_vectors
from retriever.errors import ModelNotFound

gensim = pytest.importorskip("gensim")

WORDS = ["the", "of", "king", "queen", "man", "woman", "东京", "état", ". . ."]
MATRIX = np.random.default_rng(0).normal(size=(len(WORDS), 6)).astype(np.float32)


def lines(words=WORDS, matrix=MATRIX):
    return "".join(f"{word} {' '.join(map(repr, row.tolist()))}\n" for word, row in zip(words, matrix, strict=True))


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def binary(words=WORDS[:-1], matrix=MATRIX[:-1], between=b""):
    body = b"".join(word.encode() + b" " + row.tobytes() + between for word, row in zip(words, matrix, strict=True))
    return f"{len(words)} {matrix.shape[1]}\n".encode() + body


def fasttext_model(path, **settings):
    from gensim.models import FastText
    from gensim.models.fasttext import save_facebook_model

    texts = [["the", "king", "rules", "the", "land"], ["the", "queen", "rules", "the", "sea"]] * 20
    model = FastText(
        vector_size=6,
        window=2,
        min_count=1,
        epochs=2,
        seed=1,
        workers=1,
        bucket=settings.pop("bucket", 500),
        **settings,
    )
    model.build_vocab(corpus_iterable=texts)
    model.train(corpus_iterable=texts, total_examples=len(texts), epochs=2)
    save_facebook_model(model, str(path))
    return model


SINGLE = WORDS[:-1]  # GloVe's words with spaces have no place in word2vec's binary form
FILES = {
    "glove": ("glove", lines(SINGLE, MATRIX[:-1])),
    "crlf": ("glove", lines(SINGLE, MATRIX[:-1]).replace("\n", "\r\n")),
    "vec": ("word2vec-text", f"{len(SINGLE)} 6\n" + lines(SINGLE, MATRIX[:-1]).replace("\n", " \n")),
    "bin": ("word2vec", binary()),
    "newlines": ("word2vec", binary(between=b"\n")),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_the_same_vectors(tmp_path, name, packed):
    form, content = FILES[name]
    content = content if isinstance(content, bytes) else content.encode()
    path = write(tmp_path / "vectors", gzip.compress(content) if packed else content)
    assert detect_format(path) == form
    for given in (None, form):
        loaded = load_word_vectors(path, given)
        assert loaded.words == SINGLE
        assert loaded.dimension == 6
        assert (loaded.take(range(len(SINGLE))) == MATRIX[:-1]).all()
    assert load_word_vectors(path, limit=3).words == SINGLE[:3]
    assert load_word_vectors(path, limit=300).words == SINGLE


def test_what_gensim_writes(tmp_path):
    vectors = gensim.models.KeyedVectors(6)
    vectors.add_vectors(SINGLE, MATRIX[:-1])
    for name, is_binary in [("v.bin", True), ("v.txt", False), ("v.bin.gz", True), ("v.txt.gz", False)]:
        path = tmp_path / name
        vectors.save_word2vec_format(str(path), binary=is_binary)
        loaded = load_word_vectors(path)
        assert loaded.words == SINGLE
        assert (loaded.take(range(len(SINGLE))) == MATRIX[:-1]).all()


def test_words_with_spaces_and_words_that_come_twice(tmp_path):
    loaded = load_word_vectors(write(tmp_path / "v", lines() + lines(["king"], MATRIX[:1])))
    assert loaded.words == WORDS
    assert (loaded.take([2]) == MATRIX[2]).all()
    twice = binary(["a", "b", "a"], MATRIX[:3])
    assert load_word_vectors(write(tmp_path / "w", twice)).words == ["a", "b"]


def test_words_that_are_cut_in_a_character(tmp_path):
    broken = binary(["good"], MATRIX[:1]).replace(b"good", b"ca\xc3")
    assert load_word_vectors(write(tmp_path / "v", broken)).words == ["ca\ufffd"]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("header", ["", f"{len(SINGLE)} 6\n"])
def test_a_byte_order_mark_is_no_part_of_the_first_word(tmp_path, header, packed):
    content = b"\xef\xbb\xbf" + header.encode() + lines(SINGLE, MATRIX[:-1]).encode()
    path = write(tmp_path / "v", gzip.compress(content) if packed else content)
    assert load_word_vectors(path).words == SINGLE


@pytest.mark.parametrize("encoding", ["gbk", "big5"])
def test_another_encoding_is_refused_rather_than_that_no_word_is_ever_found(tmp_path, encoding):
    words = [one + other for one in "天地日月" for other in "山水火土木金人口手足"]
    content = lines(words, np.ones((len(words), 2)))
    path = write(tmp_path / "v", content.encode(encoding))
    with pytest.raises(ModelNotFound, match=r"words are not UTF-8.*iconv"):
        load_word_vectors(path)
    assert load_word_vectors(write(path, path.read_bytes().decode(encoding))).words == words


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("settings", [{}, {"min_n": 2, "max_n": 3, "bucket": 7}, {"max_n": 0}, {"sg": 1, "hs": 1}])
def test_fasttext_is_as_gensim_has_it(tmp_path, settings, packed):
    from gensim.models.fasttext import load_facebook_vectors

    path = tmp_path / "model.bin"
    fasttext_model(path, **settings)
    theirs = load_facebook_vectors(str(path))
    if packed:
        path = write(tmp_path / "model.bin.gz", gzip.compress(path.read_bytes()))
    loaded = load_word_vectors(path)
    assert detect_format(path) == "fasttext"
    assert list(loaded.words) == theirs.index_to_key
    assert np.abs(loaded.take(range(len(loaded.words))) - theirs.vectors).max() < 1e-6
    assert (loaded.table == loaded.take(range(len(loaded.words)))).all()
    assert loaded.counts.tolist() == [theirs.get_vecattr(word, "count") for word in loaded.words]
    if settings.get("max_n") == 0:
        assert loaded.from_subwords("kings") is None
    else:
        for word in ("kings", "ruled", "and"):
            assert np.abs(loaded.from_subwords(word) - theirs[word]).max() < 1e-6
    # Nothing was learnt of other scripts: their buckets hold what they began with.
    assert loaded.from_subwords("国王") is None
    limited = load_word_vectors(path, limit=2)
    assert list(limited.words) == theirs.index_to_key[:2]
    assert np.abs(limited.take([0, 1]) - theirs.vectors[:2]).max() < 1e-6


def test_a_fasttext_matrix_stays_on_disk(tmp_path):
    path = tmp_path / "model.bin"
    fasttext_model(path)
    assert isinstance(load_word_vectors(path)._matrix, np.memmap)


BROKEN = {
    "empty": (b"", "line 1 is empty"),
    "prose": ("It was a dark night.\nThe rain fell.", "line 1: could not convert"),
    "one word": ("king\nqueen\n", "line 1 is not a word with numbers behind it: 'king'"),
    "a number less": ("king 0.5 0.5\nqueen 0.5\n", "line 2 has 1 numbers, not 2"),
    "a number more": ("king 0.5 0.5\nqueen 0.5 0.5 0.5\n", "line 2 has 3 numbers, not 2"),
    "no number": ("king 0.5 0.5\nqueen 0.5 x\n", "line 2: could not convert"),
    "nan": ("king 0.5 0.5\nqueen 0.5 nan\n", "the vector of word 2, 'queen', holds NaN, infinity"),
    "inf": ("2 2\nking 0.5 inf\nqueen 0.5 1\n", "the vector of word 1, 'king', holds NaN, infinity"),
    "no word": ("king 0.5 0.5\n 0.5 0.5\n", "line 2 has 1 numbers, not 2"),
    "cut": (f"9 6\n{lines(WORDS[:4], MATRIX[:4])}", "line 1 says 9 words, but there are 4"),
    "long line": ("king " + "1 " * 2**20, "line 1 is longer than"),
    "nobody": ("0 6\nking 1 1 1 1 1 1\n", "its header says 0 vectors of 6 dimensions"),
    "flat": ("3 0\nking\n", "its header says 3 vectors of 0 dimensions"),
    "too wide": ("3 99999999\nking\n", "its header says 3 vectors of 99,999,999 dimensions"),
    "cut binary": (binary()[:-1], "ends in the middle of word 8 of 8"),
    "promising": (b"999999999999 50000\nking \x01\x02\x03\x00", "ends in the middle of word 1 of 999,999,999,999"),
    "endless word": (b"9 6\n" + b"\x01" * 10_000, "word 1 of 9 is longer than 4,096 bytes"),
    "huge": ("king 0.5 0.5\nqueen 0.5 -1e30\n", "the vector of word 2, 'queen', holds NaN"),
    "bad binary": (
        binary(["king"], MATRIX[:1] * np.nan),
        "the vector of word 1, 'king', holds NaN, infinity",
    ),
    "zip": (b"PK\x03\x04...", "it is a zip archive"),
    "numpy": (b"\x93NUMPY\x01", "it is a numpy array"),
    "zeros": (bytes(1000), "neither text nor"),
    "broken gzip": (gzip.compress(lines().encode())[:60], "it cannot be read"),
    "no gzip": (b"\x1f\x8bno gzip at all", "it cannot be read"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_named_with_the_place(tmp_path, name):
    content, message = BROKEN[name]
    path = write(tmp_path / "vectors", content)
    with pytest.raises(ModelNotFound, match=message) as caught:
        load_word_vectors(path)
    assert str(path) in str(caught.value)


def test_no_file_and_no_file_but_a_folder(tmp_path):
    with pytest.raises(ModelNotFound, match=r"there is no file of word vectors at .*nothing"):
        load_word_vectors(tmp_path / "nothing")
    with pytest.raises(ModelNotFound, match="Is a directory"):
        load_word_vectors(tmp_path)


@pytest.fixture(scope="module")
def fasttext_bytes(tmp_path_factory):
    path = tmp_path_factory.mktemp("fasttext") / "model.bin"
    fasttext_model(path)
    return path.read_bytes()


def changed(content, offset, form, *values):
    return content[:offset] + struct.pack(form, *values) + content[offset + struct.calcsize(form) :]


HEADER = 8 + 12 * 4 + 8  # magic, version, arguments
FASTTEXT = {
    "old": (lambda good: changed(good, 4, "<i", 11), "not a fastText model of version 12"),
    "supervised": (lambda good: changed(good, 8 + 7 * 4, "<i", 3), "it is a classifier"),
    "labels": (lambda good: changed(good, HEADER, "<3i", 7, 6, 1), "has 6 words, 1 labels"),
    "many words": (lambda good: changed(good, HEADER, "<2i", 10**9, 10**9), "word .* of 1,000,000,000"),
    "no words": (lambda good: changed(good, HEADER, "<2i", 0, 0), "has 0 words"),
    "buckets": (lambda good: changed(good, 8 + 8 * 4, "<i", 501), "its matrix is .* as its header says"),
    "negative": (lambda good: changed(good, 8 + 8 * 4, "<i", -1), "its header says -1 n-grams"),
    "n-grams": (lambda good: changed(good, 8 + 10 * 4, "<i", 10**6), "n-grams of 3 to 1000000"),
    "cut in the header": (lambda good: good[:30], "ends in the middle of its header"),
    "cut in a word": (lambda good: good[: HEADER + 28 + 2], "ends in the middle of word 1"),
    "cut in the matrix": (lambda good: good[:1000], "ends in the middle of its matrix"),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", FASTTEXT)
def test_a_broken_fasttext_model_is_refused_and_does_not_hang(tmp_path, fasttext_bytes, name, packed):
    change, message = FASTTEXT[name]
    content = change(fasttext_bytes)
    path = write(tmp_path / "model.bin", gzip.compress(content) if packed else content)
    with pytest.raises(ModelNotFound, match=message):
        load_word_vectors(path)


def test_every_cut_of_a_file_is_refused(tmp_path, fasttext_bytes):
    path = tmp_path / "v"
    text = f"9 6\n{lines()}".encode()
    for content, last in ((binary(), 1), (fasttext_bytes[:2000], 0), (text, 25)):  # the last number may lose digits
        for size in range(0, len(content) - last, 23):
            with pytest.raises(ModelNotFound):
                load_word_vectors(write(path, content[:size]))


def test_a_wrong_format_is_named(tmp_path, fasttext_bytes):
    text = write(tmp_path / "v.txt", lines())
    for form in ("word2vec", "word2vec-text"):
        with pytest.raises(ModelNotFound, match="line 1 is not the numbers"):
            load_word_vectors(text, form)
    with pytest.raises(ModelNotFound, match="its content is glove, not fasttext"):
        load_word_vectors(text, "fasttext")
    with pytest.raises(ModelNotFound, match="its content is fasttext, not glove"):
        load_word_vectors(write(tmp_path / "v.bin", fasttext_bytes), "glove")


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (Path(self.marker),)


@pytest.mark.parametrize("form", [None, "word2vec", "glove", "fasttext"])
@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", ["v.kv", "v.bin", "v.bin.gz", "v.txt", "v.model"])
def test_a_pickle_in_disguise_is_refused_and_does_not_run(tmp_path, name, protocol, form):
    marker = tmp_path / "was run"
    content = pickle.dumps(Payload(str(marker)), protocol)
    path = write(tmp_path / name, gzip.compress(content) if name.endswith("gz") else content)
    with pytest.raises(ModelNotFound, match="usable file of word vectors"):
        load_word_vectors(path, form)
    assert not marker.exists()
    pickle.loads(content)
    assert marker.exists()  # it would have run


def test_gensims_own_files_are_refused_with_the_way_out(tmp_path):
    vectors = gensim.models.KeyedVectors(6)
    vectors.add_vectors(SINGLE, MATRIX[:-1])
    vectors.save(str(tmp_path / "v.kv"))
    with pytest.raises(ModelNotFound, match=r"it is a pickle.*save_word2vec_format\('vectors.bin', binary=True\)"):
        load_word_vectors(tmp_path / "v.kv")
    shutil.copy(tmp_path / "v.kv", tmp_path / "v.bin")
    with pytest.raises(ModelNotFound, match="it is a pickle"):
        load_word_vectors(tmp_path / "v.bin")


def test_the_way_out_for_whole_models_works(tmp_path, monkeypatch):
    from gensim.models import FastText, Word2Vec
    from gensim.models.fasttext import save_facebook_model

    monkeypatch.chdir(tmp_path)
    texts = [["the", "king", "rules"], ["the", "queen", "rules"]]
    for cls, settings in ((Word2Vec, {}), (FastText, {"bucket": 50})):
        model = cls(texts, vector_size=4, min_count=1, epochs=1, **settings)
        model.save("whole.model")
        with pytest.raises(ModelNotFound) as refused:
            load_word_vectors(tmp_path / "whole.model")
        (advice,) = re.findall(rf"\S*{cls.__name__}\.load.*?'vectors.bin'[^)]*\)", str(refused.value))
        calls = {cls.__name__: cls, "save_facebook_model": save_facebook_model}
        exec(advice.replace("...", "'whole.model'"), calls)
        loaded = load_word_vectors(tmp_path / "vectors.bin")
        assert np.abs(loaded.table - model.wv[loaded.words]).max() < 1e-6
