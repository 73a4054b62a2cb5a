"""docker-compose.yml, read and as far as possible tried: there may be no Docker engine where the tests run."""

import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from benchmarks.services import CHROMA, CLUSTER, QDRANT, answers, wait
from retriever.testing import chroma_server

ROOT = Path(__file__).parents[1]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES = COMPOSE["services"]


def minor(text):
    return text.removeprefix("v").split(".")[:2]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_pinned_bounded_and_private(name):
    service = SERVICES[name]
    image, tag = service["image"].split(":")
    client = {"chromadb/chroma": "chromadb", "qdrant/qdrant": "qdrant-client"}[image]
    assert minor(tag) == minor(version(client))
    assert service["mem_limit"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert service["healthcheck"]["test"][:3] == ["CMD", "bash", "-c"]


@pytest.mark.parametrize("name", [name for name in SERVICES if name.startswith("qdrant")])
def test_qdrant_wants_a_key_and_fetches_nothing(name):
    environment = SERVICES[name]["environment"]
    assert environment["QDRANT__SERVICE__API_KEY"].startswith("${QDRANT_API_KEY:?")
    assert environment["QDRANT__SERVICE__ENABLE_SNAPSHOT_URL_RECOVERY"] == "false"
    assert environment["QDRANT__TELEMETRY_DISABLED"] == "true"
    assert (SERVICES[name].get("profiles") == ["cluster"]) is (name != "qdrant")


def test_three_nodes_make_the_cluster():
    nodes = [service for service in SERVICES.values() if service.get("profiles")]
    assert len(nodes) == len(CLUSTER) == 3
    assert all(node["environment"]["QDRANT__CLUSTER__ENABLED"] == "true" for node in nodes)


def test_the_addresses_that_are_shown_are_the_ports_that_are_open():
    open_ports = {port.split(":")[1] for service in SERVICES.values() for port in service["ports"]}
    for address, url in (CHROMA | QDRANT | CLUSTER).items():
        assert {address.split(":")[2].split("/")[0], url.split(":")[2].split("/")[0]} <= open_ports


def test_the_health_check_tells_a_server_from_none(tmp_path):
    command = SERVICES["chroma"]["healthcheck"]["test"][1:]

    def check(port):
        script = command[-1].replace("$$", "$").replace("/8000", f"/{port}")
        return subprocess.run([*command[:-1], script], capture_output=True, check=False).returncode

    with chroma_server(tmp_path / "data") as server:
        assert check(server.port) == 0
        assert answers(f"http://127.0.0.1:{server.port}/api/v2/heartbeat")
        assert not answers(f"http://127.0.0.1:{server.port}/api/v2/nothing")
    assert check(server.port) != 0
    assert wait({"chroma": f"http://127.0.0.1:{server.port}/"}, patience=0.0) == 1
