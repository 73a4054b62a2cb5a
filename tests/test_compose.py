"""docker-compose.yml, read and as far as possible tried: there may be no Docker engine where the tests run."""

import socket
import subprocess
import threading
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from benchmarks import services
from benchmarks.services import CHROMA, CLUSTER, QDRANT, answers, wait
from retriever.testing import chroma_server
from retriever_qdrant.connection import GRPC_PORT, REST_PORT

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


@pytest.mark.parametrize("address", [*QDRANT, *CLUSTER])
def test_an_address_that_is_shown_speaks_what_its_port_speaks(address):
    """An address is gRPC on its usual port, and REST on every other."""
    inside = {port.split(":")[1]: int(port.split(":")[2]) for service in SERVICES.values() for port in service["ports"]}
    port = address.split(":")[2].split("/")[0]
    assert inside[port] == (GRPC_PORT if int(port) == GRPC_PORT else REST_PORT)


def test_no_node_waits_for_another_to_be_healthy():
    """After a restart none is, until others answer it."""
    waits = [wait["condition"] for service in SERVICES.values() for wait in service.get("depends_on", {}).values()]
    assert waits == ["service_started"] * 2


@pytest.mark.parametrize("before", ["", "OTHER=1\n", "OTHER=1", "#QDRANT_API_KEY=\n"])
def test_a_key_gets_a_line_of_its_own(tmp_path, monkeypatch, capsys, before):
    file = tmp_path / ".env"
    if before:
        file.write_text(before, "utf-8")
    monkeypatch.setattr(services, "ENVIRONMENT", file)
    monkeypatch.delenv("QDRANT_API_KEY", raising=False)
    for _ in range(2):
        services._write_key()
    lines = file.read_text("utf-8").splitlines()
    assert lines[:-1] == before.splitlines()
    name, _, key = lines[-1].partition("=")
    assert (name, len(key) > 40) == ("QDRANT_API_KEY", True)
    assert key not in capsys.readouterr().out


def test_what_speaks_no_http_does_not_answer():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def mumble():
            connection, _ = listener.accept()
            with connection:
                connection.recv(1_000)
                connection.sendall(b"220 mail ready\r\n\r\n")

        thread = threading.Thread(target=mumble)
        thread.start()
        assert not answers(f"http://127.0.0.1:{port}/")
        thread.join()


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
