"""``python -m benchmarks run`` and ``verify``: a thin command line over :mod:`retriever.evaluation.harness`."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path

from retriever.evaluation.harness.progress import Progress
from retriever.evaluation.harness.records import RunFolder
from retriever.evaluation.harness.running import run_scenario
from retriever.evaluation.harness.scenario import read_scenario
from retriever.evaluation.harness.showing import show_run
from retriever.evaluation.harness.steps import Workspace
from retriever.evaluation.harness.verifying import verify_run

SCENARIOS = Path(__file__).with_name("scenarios")
RUNS = Path("runs")


def add_run(parser: argparse.ArgumentParser) -> None:
    """The options of ``run``.

    :param parser: of the command.
    """
    parser.add_argument("scenario", type=Path, help="a TOML file, or the name of one of benchmarks/scenarios")
    parser.add_argument("--out", type=Path, help="folder to write; by default runs/NAME-DATE-TIME")
    parser.add_argument("--fresh", action="store_true", help="use nothing that an earlier run has made but vectors")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")


def run(options: argparse.Namespace) -> int:
    """Run a scenario and print what came out.

    :param options: of the command line.
    :return: exit code: 0 where something was measured and every bar holds, else 1.
    """
    import benchmarks.peers  # noqa: F401 - they register themselves

    path = scenario_file(options.scenario)
    scenario, _ = read_scenario(path)
    out = options.out or RUNS / f"{scenario.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    folder = run_scenario(path, out, Workspace.default(fresh=options.fresh), Progress())
    if options.json:
        print(json.dumps(_content(folder), ensure_ascii=False, indent=1))
    else:
        show_run(folder)
        print(f"written to {out}")
    return 0 if folder.summary.passed else 1


def verify(options: argparse.Namespace) -> int:
    """Compute every number of a run again.

    :param options: of the command line.
    :return: exit code: 1 where something differs.
    """
    found = verify_run(options.run)
    for difference in found:
        print(difference)
    print(f"{options.run}: {f'{len(found):,} differences' if found else 'every number is what its records give'}")
    return 1 if found else 0


def scenario_file(given: Path) -> Path:
    """A scenario's file.

    :param given: its path, or the name of one that comes with the project, with or without ``.toml``.
    """
    own = SCENARIOS / given.with_suffix(".toml").name
    return own if not given.exists() and own.exists() and given.name == str(given) else given


def _content(folder: RunFolder) -> dict[str, object]:
    return {
        "run": str(folder.path),
        "passed": folder.summary.passed,
        "manifest": folder.manifest.model_dump(mode="json"),
        "configurations": [c.model_dump(mode="json") for c in folder.configurations.values()],
        "summary": folder.summary.model_dump(mode="json"),
        "left_out": [left.model_dump(mode="json") for left in folder.left_out],
    }
