"""What a run follows from, apart from its scenario: versions, the checkout, the machine, the models."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from retriever import __version__
from retriever.evaluation.harness.datasets import Dataset
from retriever.evaluation.harness.records import DatasetRecord, Machine, Manifest
from retriever.evaluation.harness.scenario import Scenario

PACKAGES = (
    *("numpy", "scipy", "ir-measures", "pytrec-eval-terrier", "pydantic", "PyStemmer"),
    *("qdrant-edge-py", "qdrant-client", "chromadb", "tantivy"),
    *("sentence-transformers", "transformers", "tokenizers", "torch", "openvino", "onnxruntime", "model2vec", "gensim"),
    *("langchain-core", "langchain-chroma", "langchain-qdrant", "langchain-text-splitters", "bm25s", "chonkie"),
    *("langchain-classic", "langchain-community", "rank-bm25"),
)
"""Distributions that figures depend on."""


def make_manifest(
    scenario: Scenario, datasets: Sequence[Dataset], models: Mapping[str, Mapping[str, str]], files: Mapping[str, str]
) -> Manifest:
    """All of it.

    :param scenario: as run.
    :param datasets: those that were measured.
    :param models: fingerprint by embedding function, and by learned sparse model.
    :param files: SHA-256 of the folder's files, by their path in it.
    """
    commit, dirty = checkout()
    return Manifest(
        name=scenario.name,
        measure=scenario.measure,
        seed=scenario.seed,
        version=__version__,
        commit=commit,
        dirty=dirty,
        python=platform.python_version(),
        packages=package_versions(),
        machine=this_machine(),
        datasets=tuple(_dataset(dataset) for dataset in datasets),
        models={name: dict(fingerprint) for name, fingerprint in models.items()},
        files=dict(sorted(files.items())),
    )


def checkout() -> tuple[str | None, bool]:
    """Commit of the checkout that this package lies in, None where that is none; whether files were changed since."""
    commit = _git("rev-parse", "HEAD")
    return commit, bool(commit and _git("status", "--porcelain", "--untracked-files=no"))


def package_versions() -> dict[str, str]:
    """Versions of what figures depend on, where it is installed."""
    return {name: found for name in PACKAGES if (found := _version(name)) is not None}


def machine_load() -> float | None:
    """How many processes wanted to run over the last minute; None where the system does not say."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _dataset(dataset: Dataset) -> DatasetRecord:
    return DatasetRecord(
        name=dataset.name,
        documents=len(dataset.documents),
        queries=len(dataset.judgements.queries),
        language=dataset.spec.language,
        checksums=dataset.checksums,
        notes=dataset.notes,
    )


def this_machine() -> Machine:
    """What figures are measured on."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return Machine(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory=pages,
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        governor=governor.read_text().strip() if governor.is_file() else None,
    )


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.is_file() else []
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git(*words: str) -> str | None:
    """Of the checkout that this package lies in; None where that is none."""
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True)  # noqa: S603, S607
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
