"""The servers of docker-compose.yml, started and waited for; without Docker, a Chroma server of this environment.

``python -m benchmarks.services`` starts them, ``python -m benchmarks.services --stop`` stops them, ``--cluster`` adds
three Qdrant nodes. They are asked whether they answer: that a container runs says little.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import psutil

ROOT = Path(__file__).resolve().parents[1]
STATE = ROOT / ".services"
ENVIRONMENT = ROOT / ".env"
PATIENCE = 120.0
"""Seconds until a service has to answer; the images are pulled before."""

CHROMA = {"chroma://127.0.0.1:8000/NAME": "http://127.0.0.1:8000/api/v2/heartbeat"}
QDRANT = {"qdrant://127.0.0.1:6334/NAME": "http://127.0.0.1:6333/readyz"}
CLUSTER = {f"qdrant://127.0.0.1:{port}/NAME": f"http://127.0.0.1:{port}/readyz" for port in (7333, 7343, 7353)}
"""What to write as a store's address, and what to ask."""


def main() -> int:
    """Start or stop; exit code 1 where something does not answer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stop", action="store_true", help="stop what was started; the data stays")
    parser.add_argument("--cluster", action="store_true", help="three Qdrant nodes beside the single one")
    arguments = parser.parse_args()
    if arguments.stop:
        return stop()
    return start(cluster=arguments.cluster)


def start(*, cluster: bool) -> int:
    """Start what this machine can, and wait until it answers.

    :param cluster: three Qdrant nodes beside the single one.
    """
    if has_docker():
        _write_key()
        _compose(*(["--profile", "cluster"] if cluster else []), "up", "--detach")
        return wait(CHROMA | QDRANT | (CLUSTER if cluster else {}))
    print("There is no Docker engine here: starting chroma run from this environment instead, and no Qdrant server.")
    print("Qdrant's engine needs no server: qdrant:./folder works without one.")
    _start_chroma()
    return wait(CHROMA)


def stop() -> int:
    """Stop what was started."""
    if has_docker():
        _compose("--profile", "cluster", "stop")
    process = _chroma_process()
    if process is not None:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGTERM)
        _pid_file().unlink()
        print(f"chroma run (process {process}) stopped; its data stays in {STATE}")
    return 0


def has_docker() -> bool:
    """Whether an engine answers, and docker compose is there."""
    if shutil.which("docker") is None:
        return False
    commands = (["docker", "version", "--format", "{{.Server.Version}}"], ["docker", "compose", "version"])
    return all(subprocess.run(command, capture_output=True, check=False).returncode == 0 for command in commands)


def wait(services: Mapping[str, str], patience: float = PATIENCE) -> int:
    """Ask each service until it answers.

    :param services: addresses to show, and URLs to ask.
    :param patience: seconds for all of them together.
    :return: 0 where all answered, 1 otherwise.
    """
    until = time.monotonic() + patience
    for address, url in services.items():
        while not answers(url):
            if time.monotonic() > until:
                print(f"{url} does not answer after {patience:.0f} seconds", file=sys.stderr)
                return 1
            time.sleep(0.2)
        print(f"ready: {address}")
    return 0


def answers(url: str) -> bool:
    """Whether a service says that it is well.

    :param url: on this machine.
    """
    opener = build_opener(ProxyHandler({}))  # a proxy has no business on loopback
    try:
        with opener.open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (HTTPException, OSError):
        return False


def _compose(*arguments: str) -> None:
    subprocess.run(["docker", "compose", *arguments], cwd=ROOT, check=True)


def _write_key() -> None:
    """A key of this machine's own, readable by its owner alone."""
    known = ENVIRONMENT.read_text("utf-8") if ENVIRONMENT.exists() else ""
    if any(line.startswith("QDRANT_API_KEY=") for line in known.splitlines()) or os.environ.get("QDRANT_API_KEY"):
        return
    separator = "" if not known or known.endswith("\n") else "\n"
    with os.fdopen(os.open(ENVIRONMENT, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "a", encoding="utf-8") as file:
        file.write(f"{separator}QDRANT_API_KEY={secrets.token_urlsafe(32)}\n")
    print(f"wrote a key for Qdrant to {ENVIRONMENT.name}; for this shell: set -a; . ./{ENVIRONMENT.name}; set +a")


def _start_chroma() -> None:
    if _chroma_process() is not None or answers(next(iter(CHROMA.values()))):
        return
    STATE.mkdir(exist_ok=True)
    command = [str(Path(sys.executable).with_name("chroma")), "run", "--path", str(STATE / "chroma")]
    with (STATE / "chroma.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", "8000"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # it outlives this command
        )
    _pid_file().write_text(str(process.pid), "utf-8")
    print(f"chroma run is process {process.pid}; it writes to {STATE}; make services-stop ends it")


def _chroma_process() -> int | None:
    """The server that an earlier call started, if it is still there and not another process under its number."""
    try:
        process = psutil.Process(int(_pid_file().read_text("utf-8")))
        return process.pid if str(STATE) in " ".join(process.cmdline()) else None
    except (OSError, ValueError, psutil.Error):
        return None


def _pid_file() -> Path:
    return STATE / "chroma.pid"


if __name__ == "__main__":
    sys.exit(main())
