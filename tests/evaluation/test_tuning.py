"""Tuning: one search a query, honest about what it gains, and kept in the index."""

import random

import numpy as np
import pytest

from retriever import ChunkerConfig, Document, Retriever
from retriever.embedding.hashed import HashedEmbedding
from retriever.errors import InvalidInput, ManifestUnreadable
from retriever.evaluation import Judgements, evaluate, tune
from retriever.evaluation.statistics import compare
from retriever.evaluation.tuning import held_out, split
from retriever.manifest import SCHEMA_VERSION, SearchDefaults, parse_manifest
from retriever.memory import MemoryStore
from retriever.registry import register
from retriever.search_options import DEPTH, Defaults

SAVED = SearchDefaults(
    keyword_weight=0.9, fusion="rrf", depth=20, measure="nDCG@10", queries=40, gain=0.1, low=0.05, high=0.15
)


class CountingStore(MemoryStore):
    """Counts searches."""

    searches = 0

    def search(self, query):
        self.searches += 1
        return super().search(query)


class Meaningless(HashedEmbedding):
    """Vectors by chance: only the keyword leg knows anything."""

    kind = "meaningless"

    def _embed(self, texts, role):
        return np.stack([np.random.default_rng([len(t), *t.encode()]).normal(size=self.dimension) for t in texts])


@pytest.fixture
def meaningless():
    unregister = register("retriever.embeddings", "meaningless", Meaningless)
    yield
    unregister()


def corpus(seed=0, count=120):
    """Documents of common words, each with a rare one of its own, and a question for each by that word."""
    random_ = random.Random(seed)
    common = [f"common{i}" for i in range(40)]
    texts = {f"d{i}": " ".join([*random_.sample(common, 12), f"rare{i}x"]) for i in range(count)}
    queries = {f"q{i}": f"rare{i}x {' '.join(random_.sample(common, 3))}" for i in range(count)}
    return texts, Judgements(queries, {f"q{i}": {f"d{i}": 1} for i in range(count)})


def opened(store, texts, embedding="hashed"):
    retriever = Retriever.open(store, embedding=embedding, chunker=ChunkerConfig(kind="whole"))
    retriever.index([Document(name, text) for name, text in texts.items()], source="s")
    return retriever


def test_where_one_leg_is_chance_the_other_gets_the_weight(meaningless):
    texts, judgements = corpus()
    store = CountingStore()
    with opened(store, texts, "meaningless") as retriever:
        before = retriever.search_defaults
        found = tune(retriever, judgements, measure="MRR@10", seed=1)
        assert store.searches == len(judgements.queries)  # once each, for all settings
        assert found.certain
        assert found.saved
        assert found.chosen.keyword_weight > before.keyword_weight
        assert found.held_out.low > 0
        assert found.held_out.queries == 120
        # Searches use it now, and say so; evaluate agrees with the gain on all questions.
        assert retriever.search_defaults == Defaults(
            found.chosen.keyword_weight, found.chosen.fusion, found.chosen.depth
        )
        plain = evaluate(retriever, judgements, measures=["MRR@10"]).ways[-1].means["MRR@10"]
        assert plain == pytest.approx(found.score + found.optimistic)
        hits = retriever.search("rare7x common1", 5)
        assert [(h.chunk.id, h.score) for h in hits] == [
            (h.chunk.id, h.score)
            for h in retriever.search(
                "rare7x common1",
                5,
                keyword_weight=found.chosen.keyword_weight,
                fusion=found.chosen.fusion,
                depth=found.chosen.depth,
            )
        ]
        assert hits[0].score != retriever.search("rare7x common1", 5, keyword_weight=before.keyword_weight)[0].score
        # Tuning again compares with the package's default, not with itself.
        again = tune(retriever, judgements, measure="MRR@10", seed=1, save=False)
        assert (again.before, again.held_out, again.saved) == (found.before, found.held_out, False)


def test_where_nothing_is_gained_nothing_is_saved():
    texts, judgements = corpus()
    with opened("memory:", texts) as retriever:
        judgements = Judgements(
            {f"q{i}": texts[f"d{i}"] for i in range(120)}, judgements.grades
        )  # found by any setting
        found = tune(retriever, judgements, seed=1)
        assert not found.certain
        assert not found.saved
        assert retriever.manifest.search is None
        assert found.score == pytest.approx(1.0)
        assert found.chosen == found.before
        forced = tune(retriever, judgements, seed=1, force=True)
        assert forced.saved
        assert retriever.manifest.search == forced.defaults


def test_noise_is_seldom_called_a_gain(meaningless):
    """Judgements by chance: the best of 105 settings looks better on its own queries, and not on others."""
    texts, judgements = corpus(count=60)
    saved = flattering = 0
    with opened("memory:", texts, "meaningless") as retriever:
        for seed in range(12):
            random_ = random.Random(seed)
            grades = {query: {f"s::d{random_.randrange(60)}": 1} for query in judgements.queries}
            found = tune(retriever, Judgements(judgements.queries, grades), measure="nDCG@10", seed=seed, save=False)
            saved += found.certain
            flattering += found.optimistic > max(0.0, found.held_out.difference)
    assert flattering >= 9
    assert saved <= 3  # one in forty is expected; more than 3 of 12 has a chance of 1 in 5,000


@pytest.mark.parametrize("kind", ["two opposite directions", "twenty of chance"])
def test_where_no_setting_gains_one_in_twenty_is_called_certain(kind):
    """Chance that both halves share is not counted twice, as a test that takes the choice for granted would do."""
    rng, naive, certain, missed = np.random.default_rng(1), 0, 0, 0
    for seed in range(600):
        if kind == "twenty of chance":
            gains = rng.normal(size=(20, 60))
        else:
            gains = np.linspace(-1, 1, 21)[:, None] * rng.normal(size=60) * (rng.random(60) < 0.5)
        values, halves = np.vstack([np.zeros(60), gains]), split(60, seed)
        found = held_out(values, halves, seed, resamples=600)
        tuned = np.empty(60)
        for half, other in zip(halves, halves[::-1], strict=True):
            tuned[other] = values[values[:, half].mean(axis=1).argmax(), other]
        plain = compare(values[0], tuned, seed=seed, resamples=600)
        assert (found.difference, found.wins) == (plain.difference, plain.wins)
        naive, certain = naive + plain.certain, certain + found.certain
        missed += not found.low <= 0 <= found.high
    assert certain <= 42  # 7 %: 5 % is expected, and three standard errors are 2.7 %
    assert missed <= 48
    assert naive > certain + 10


def test_a_real_gain_is_found_with_its_size():
    rng, found = np.random.default_rng(2), []
    for seed in range(200):
        gains = np.linspace(-1, 1, 21)[:, None] * (0.06 + 0.3 * rng.normal(size=300) * (rng.random(300) < 0.5))
        found.append(held_out(np.vstack([np.zeros(300), gains]), split(300, seed), seed, resamples=600))
    assert np.mean([one.certain and one.low > 0 for one in found]) > 0.95
    assert np.mean([one.low <= 0.06 <= one.high for one in found]) > 0.9


def test_dry_runs_and_the_same_seed(meaningless):
    texts, judgements = corpus()
    with opened("memory:", texts, "meaningless") as retriever:
        one, two = (tune(retriever, judgements, seed=4, save=False) for _ in range(2))
        assert one == two
        assert retriever.manifest.search is None


@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_halves_are_halves(count):
    one, two = split(count, 3)
    assert sorted([*one, *two]) == list(range(count))
    assert len(two) - len(one) in (0, 1)


def test_too_few_queries():
    texts, judgements = corpus(count=19)
    with opened("memory:", texts) as retriever, pytest.raises(InvalidInput, match=r"at least 20 .* there are 19"):
        tune(retriever, judgements)


def test_a_tuned_depth_holds_for_the_pages_that_it_reaches(meaningless):
    texts, _ = corpus()
    with opened("memory:", texts, "meaningless") as retriever:
        retriever.set_search_defaults(SAVED)
        query = "rare7x common1 common2"
        tuned = [hit.chunk.id for hit in retriever.search(query, 20)]
        explicit = retriever.search(query, 20, keyword_weight=0.9, fusion="rrf", depth=20)
        assert tuned == [hit.chunk.id for hit in explicit]
        deep = retriever.search(query, 50, keyword_weight=0.9, fusion="rrf", depth=DEPTH)
        assert [hit.chunk.id for hit in retriever.search(query, 50)] == [hit.chunk.id for hit in deep]
        assert len(deep) == 50
        pages = [hit.chunk.id for offset in (0, 10) for hit in retriever.search(query, 10, offset=offset)]
        assert pages == tuned
        with pytest.raises(InvalidInput, match="only 20 candidates"):
            retriever.search(query, 21, depth=20)


@pytest.mark.parametrize("store", ["memory", "edge", "chroma"])
def test_it_stays_in_the_index(tmp_path, store):
    texts, _ = corpus(count=5)
    address = {"memory": MemoryStore(), "edge": tmp_path / "index", "chroma": f"chroma:{tmp_path / 'index'}"}[store]
    with opened(address, texts) as retriever:
        assert retriever.manifest.search is None
        assert retriever.manifest.schema_version < SCHEMA_VERSION  # older programs read it
        retriever.set_search_defaults(SAVED)
    with Retriever.open(address) as again:
        assert again.manifest.search == SAVED
        assert again.manifest.schema_version == SCHEMA_VERSION
        assert again.search_defaults == Defaults(0.9, "rrf", 20)
        again.index([Document("more", "common1 rare9x")], source="s")
        assert again.manifest.search == SAVED
        again.set_search_defaults(None)
        assert again.search_defaults == again.untuned_defaults == Defaults(again.untuned_defaults.keyword_weight)
    with Retriever.open(address) as last:
        assert last.manifest.search is None
        assert last.manifest.schema_version < SCHEMA_VERSION


def test_manifests_of_before_open_and_nonsense_is_damage():
    texts, _ = corpus(count=5)
    with opened("memory:", texts) as retriever:
        manifest = retriever.manifest
    old = manifest.model_dump_json(exclude={"search"})
    assert parse_manifest(old, "x") == manifest
    tuned = manifest.searched_with(SAVED).model_dump_json()
    assert parse_manifest(tuned, "x").search == SAVED
    with pytest.raises(ManifestUnreadable, match=r"damaged at 'search\.keyword_weight'"):
        parse_manifest(tuned.replace('"keyword_weight":0.9', '"keyword_weight":9'), "x")
