"""Fixtures that several packages' tests share."""

import gc
import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from retriever.cli import main
from retriever.registry import register
from retriever.testing import CountingEmbedding

if "PYTEST_XDIST_WORKER" in os.environ:  # workers share the cores, and threads of models that wait for one another spin
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    gc.set_threshold(700, 10, 100)  # looking through all that torch and others brought takes a sixth of a second
os.environ["RETRIEVER_EMBEDDING_CACHE"] = "0"  # tests of the cache switch it on in a folder of their own

settings.register_profile("fast", max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("slow", max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of the retrieval test sets."""
    folder = os.environ.get("RETRIEVER_DATA")
    if not folder:
        pytest.skip("RETRIEVER_DATA is unset: tests on real data are skipped")
    return Path(folder)


@pytest.fixture
def counting():
    """Counts what is embedded, registered as a plug-in is."""
    CountingEmbedding.reset()
    unregister = register("retriever.embeddings", "counting", CountingEmbedding)
    yield CountingEmbedding
    unregister()


@pytest.fixture
def run_cli(monkeypatch, capsys):
    """Call ``retriever`` with arguments; exit code, standard output and standard error."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["retriever", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as exit_:
            code = exit_.code or 0
        return code, *capsys.readouterr()

    return call
