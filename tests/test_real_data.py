"""Keyword search on real sets; the other figures take a model and minutes: ``make bench``."""

import pytest

from benchmarks.harness import SCENARIOS
from retriever.evaluation.harness.progress import Progress
from retriever.evaluation.harness.running import run_scenario
from retriever.evaluation.harness.steps import Workspace


@pytest.mark.parametrize("name", ["xquad-zh", "xquad-de", "msvc-errors"])
def test_the_keyword_leg_reaches_its_bar(data, name, tmp_path):
    scenario = tmp_path / "bars.toml"
    head, *parts = (SCENARIOS / "bars.toml").read_text("utf-8").split("\n[[")
    kept = [part for part in parts if f'name = "{name}"' in part or f'dataset = "{name}"' in part]
    kept = [part.replace(f'name = "{name}"', f'name = "{name}"\nlimit = 600') for part in kept]
    scenario.write_text("\n[[".join([head, *kept]), "utf-8")
    run = run_scenario(scenario, tmp_path / "run", Workspace(tmp_path / "work"), Progress(hidden=True))
    assert [bar.dataset for bar in run.summary.bars] == [name]
    assert run.summary.passed, run.summary.bars
