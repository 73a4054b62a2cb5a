from collections import Counter

import numpy as np

from benchmarks.synthetic import passages, texts, vectors


def test_the_same_seed_gives_the_same_passages():
    one, other = list(passages(20, 100, 16, seed=3)), list(passages(20, 100, 16, seed=3))
    assert [p.text for p in one] == [p.text for p in other]
    assert all((a.vector == b.vector).all() for a, b in zip(one, other, strict=True))
    assert [p.text for p in one] != [p.text for p in passages(20, 100, 16, seed=4)]


def test_texts_have_the_length_asked_for_and_frequencies_like_real_ones():
    made = list(texts(500, 100))
    assert 95 < np.mean([len(text.split()) for text in made]) < 105
    frequency = Counter(word for text in made for word in set(text.split()))
    assert 0.10 < frequency.most_common(1)[0][1] / 500 < 0.25
    assert len(frequency) > 5_000


def test_vectors_are_of_length_one_in_clusters():
    rows = np.concatenate(list(vectors(3_000, 64)))
    assert rows.shape == (3_000, 64)
    assert rows.dtype == np.float32
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    cosines = rows[:1] @ rows[1:].T
    assert cosines.max() > 0.5
    assert abs(np.median(cosines)) < 0.1
