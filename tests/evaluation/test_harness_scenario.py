import pytest

from benchmarks.harness import SCENARIOS
from retriever.errors import ConfigurationError, InvalidInput
from retriever.evaluation.harness.configurations import configurations
from retriever.evaluation.harness.scenario import Grid, SearchSpec, expand, parse_scenario, read_scenario

DATASET = '[[datasets]]\nname = "a"\npath = "a"\n'


def refused(text):
    with pytest.raises(ConfigurationError) as caught:
        parse_scenario(text, "my.toml")
    return str(caught.value)


NAMED = f'name = "x"\n{DATASET}'
BAR = '[[bars]]\ndataset = "{}"\nconfiguration = "*"\nmeasure = "MAP"\n'
MISTAKES = {
    'nme = "x"\n' + DATASET: "nme: there is no such key; did you mean name?",
    'name = "x"\n' + DATASET.replace("path", "paht"): "datasets[0].paht: there is no such key; did you mean path?",
    NAMED
    + '[grid]\nsearches = [{ mod = "keyword" }]': "grid.searches[0].mod: there is no such key; did you mean mode?",
    NAMED + '[grid]\nsearches = [{ mode = "lexical" }]': "grid.searches[0].mode: ",
    NAMED + '[grid]\nsearches = [{ mode = "sparse" }]': "ask a learned sparse model: name one in sparse",
    NAMED + "[grid]\nsearches = [{ sparse_weight = 0.5 }]": "ask a learned sparse model: name one in sparse",
    DATASET: "name: is missing",
    'name = "x"': "datasets: is missing",
    'name = "x"\n[[datasets]]\nname = "a"\n': "say where it is: path and/or url, or ir_datasets, or folder",
    'name = "x"\n[[datasets]]\nname = "a"\nurl = "http://x"\n': "url and sha256 belong together",
    'name = "x"\n[[datasets]]\nname = "a"\nfolder = "f"\n': "a folder needs queries and qrels",
    NAMED + DATASET: "two datasets are called a",
    'name = "../x"\n' + DATASET: "name: '../x' names files",
    'name = "x"\nmeasure = "accuracy"\n' + DATASET: "measure: 'accuracy' is no measure here: write one of nDCG",
    NAMED + "[grid]\nchunkers = [{ size = 16, overlap = 9 }]": "must be less than half of size",
    NAMED + '[grid]\nchunkers = [{ kind = "whole", size = 9 }]': "cuts nothing",
    NAMED + BAR.format("b") + "at_least = 1": "bars name datasets that there are not: b",
    NAMED + BAR.format("a"): "a bar needs at_least or at_most",
    "name = ": "is no TOML",
    NAMED + "[load]\nrequest = 3": "load.request: there is no such key; did you mean requests?",
}


@pytest.mark.parametrize(("text", "message"), MISTAKES.items())
def test_what_is_wrong_is_named_with_a_way_to_mend_it(text, message):
    assert message in refused(text)


def test_all_mistakes_are_named_at_once():
    message = refused('name = "x"\nsede = 1\n[[datasets]]\nname = "a"\npath = "a"\nlimit = 0\n')
    assert "sede: there is no such key; did you mean seed?" in message
    assert "datasets[0].limit: " in message


def test_a_scenario_that_is_not_there(tmp_path):
    with pytest.raises(InvalidInput, match=r"none\.toml cannot be read"):
        read_scenario(tmp_path / "none.toml")


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.toml")), ids=lambda path: path.stem)
def test_the_scenarios_of_the_project_are_sound(path):
    scenario, text = read_scenario(path)
    assert scenario.name == path.stem
    assert scenario.name in text


def test_paths_are_relative_to_the_file_and_name_variables(tmp_path, monkeypatch):
    monkeypatch.setenv("SOMEWHERE", "/data")
    assert expand("${SOMEWHERE}/set", tmp_path).as_posix() == "/data/set"
    assert expand("set", tmp_path) == tmp_path / "set"
    monkeypatch.delenv("SOMEWHERE")
    with pytest.raises(ConfigurationError, match="the variable SOMEWHERE is not set"):
        expand("${SOMEWHERE}/set", tmp_path)
    with pytest.raises(ConfigurationError, match="a dollar sign"):
        expand("a$", tmp_path)


def grid(**parts):
    return configurations(Grid.model_validate(parts), {})


def test_settings_that_change_nothing_make_no_configuration_of_their_own():
    searches = [
        {"mode": "keyword"},
        {"mode": "keyword", "fusion": "rrf"},
        {"mode": "keyword", "keyword_weight": 0.5},
        {"mode": "keyword", "rerank_depth": 20},
        {"mode": "semantic", "fusion": "rrf"},
        {"mode": "semantic"},
        {},
        {"fusion": "relative"},
    ]
    found = grid(searches=searches)
    assert [c.search.label for c in found] == ["keyword", "semantic", "hybrid relative"]


def test_the_keyword_leg_of_whole_documents_is_measured_once_for_all_models():
    found = grid(embeddings=["hashed", "hashed:64"], chunkers=[{"kind": "whole"}], searches=[{"mode": "keyword"}, {}])
    assert [c.label for c in found] == [
        "whole, edge, keyword",
        "hashed, whole, edge, hybrid relative",
        "hashed:64, whole, edge, hybrid relative",
    ]


def test_chunks_are_counted_by_the_model_so_its_keyword_leg_is_its_own():
    found = grid(embeddings=["hashed", "hashed:64"], searches=[{"mode": "keyword"}])
    assert [c.label for c in found] == ["hashed, 256/32, edge, keyword", "hashed:64, 256/32, edge, keyword"]


def test_ids_follow_from_the_settings_alone():
    one = grid(stores=["edge", "memory"], searches=[{}, {"fusion": "rrf"}])
    other = grid(stores=["memory", "edge"], searches=[{"fusion": "rrf"}, {}, {"mode": "semantic"}])
    assert {c.label: c.id for c in one}.items() <= {c.label: c.id for c in other}.items()
    assert len({c.id for c in other}) == len({c.label for c in other}) == 6
    assert grid()[0].id == "509bbb75"


def test_a_peer_is_asked_by_each_leg_it_has_and_by_both():
    found = configurations(Grid(), {"both": {"keyword", "semantic"}, "words": {"keyword"}})
    assert [c.label for c in found if c.is_peer] == [
        "hashed, 256/32, both, hybrid (peer)",
        "hashed, 256/32, both, semantic (peer)",
        "hashed, 256/32, both, keyword (peer)",
        "hashed, 256/32, words, keyword (peer)",
    ]


def test_a_search_in_words():
    search = SearchSpec(fusion="rrf", keyword_weight=0.25, depth=400, rerank="judge", rerank_depth=20, mmr=0.5)
    assert search.label == "hybrid rrf 0.25 depth 400 rerank judge 20 mmr 0.5"
