"""Whether an index that was killed again and again is that of an undisturbed run.

The moments are random and spread over all of a run: while the program starts, while chunks are embedded and written
(by how many are there, so that a slow machine changes nothing), and while graphs are built. A fifth of the kills falls
on small indexes, whose keyword weights are rewritten as they grow.
"""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Literal, get_args

from benchmarks.data import FASTAPI_EN, FASTAPI_ZH, TLDR, extract
from benchmarks.report import NONE, Bar, Result, Row, progress, say
from retriever.indexing import BATCH
from retriever.testing import chroma_server

Phase = Literal["starting", "writing", "optimising", "recalibrating"]

_PHASES: tuple[Phase, ...] = get_args(Phase)
_BEGINS = {"optimising": "optimise", "recalibrating": "recalibrating"}
"""The child's word at the begin of a phase."""
_ARCHIVES = (FASTAPI_EN, FASTAPI_ZH, TLDR)
_FEW, _MORE = 5, 20
"""Files of a small index: before, and when it is killed."""
_TRIES = 3
"""For each kill, on average."""

_PAUSE = 0.05
"""Seconds that embedding 32 chunks takes: most of a run is spent there, as with a model, and fifty runs end today."""
STORES = ("edge", "chroma", "chroma-server")

_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Settings:
    """How to disturb.

    :param kills: how often a running process is to be hit; a fifth of them on small indexes.
    :param seed: of the moments.
    :param files: how many are indexed.
    :param edit: change a file after each kill.
    :param store: of :data:`STORES`. Of a Chroma server, the client is killed; the server stays.
    """

    kills: int
    seed: int
    files: int
    edit: bool
    store: str = "edge"


@dataclass(frozen=True, slots=True)
class Course:
    """How an undisturbed run went.

    :param chunks: how many were written.
    :param starting: seconds until the first news.
    :param writing: seconds from then until graphs were built.
    :param optimising: seconds that took.
    :param recalibrating: seconds of rewriting keyword weights, within those of writing.
    """

    chunks: int
    starting: float
    writing: float
    optimising: float
    recalibrating: float = 0.0

    @property
    def seconds(self) -> float:
        """In all, without the end of the process."""
        return self.starting + self.writing + self.optimising


@dataclass(frozen=True, slots=True)
class Moment:
    """When to kill.

    :param phase: of the run.
    :param chunks: so many must be there before; in the phase of writing.
    :param delay: seconds to wait then: after the program's start, after the last chunk, after the phase's begin.
    """

    phase: Phase
    chunks: int
    delay: float


@dataclass(slots=True)
class Tally:
    """What came of the kills.

    :param allowed: how many processes may be started to be killed.
    :param tries: how many were.
    :param hit: kills that met a running process, by phase.
    :param repairs: how often a process found the index damaged, and repaired it.
    :param failures: ends of runs that nobody killed and that were not good, with what they said.
    :param seconds: of all runs together.
    """

    allowed: int
    tries: int = 0
    hit: Counter[Phase] = field(default_factory=Counter)
    repairs: int = 0
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0


def moments(kills: int, seed: int, course: Course) -> list[Moment]:
    """When to kill, in order: a fifth while starting, a fifth while graphs are built, the rest in between.

    :param kills: how many.
    :param seed: the same seed gives the same moments for the same course.
    :param course: of an undisturbed run.
    """
    dice = random.Random(seed)
    fifth = kills // 5
    batch = course.writing / max(1, course.chunks) * BATCH
    starting = [Moment("starting", 0, dice.uniform(0, course.starting)) for _ in range(fifth)]
    targets = sorted(dice.randrange(max(1, course.chunks)) for _ in range(kills - 2 * fifth))
    early = [Moment("writing", target, dice.uniform(0, batch)) for target in targets]
    for moment in starting[len(starting) // 3 :]:
        early.insert(dice.randrange(len(early) + 1), moment)
    late = [Moment("optimising", 0, dice.uniform(0, course.optimising)) for _ in range(fifth)]
    return [*starting[: len(starting) // 3], *early, *late]


def _compare(whole: str, disturbed: str, edited: bool) -> list[Row]:
    from benchmarks.kill_compare import compare  # with every store, which other commands do without

    return compare(whole, disturbed, edited)


def run(data: Path, settings: Settings) -> Result:
    """Index without disturbance, then elsewhere with kills, and compare.

    :param data: folder that holds the archives.
    :param settings: how to disturb.
    """
    with TemporaryDirectory(prefix="retriever-kill-") as name, _addresses(Path(name), settings.store) as addresses:
        folder = Path(name)
        paths = extract(data, folder / "files", _ARCHIVES, settings.files)
        workshop = Workshop(folder, addresses)
        course = workshop.undisturbed("whole")
        tally = Tally(_TRIES * settings.kills)
        # A server's collections are not copied as folders are, so there all kills fall on the large one.
        small = 0 if settings.store == "chroma-server" else settings.kills // 5
        plan = moments(settings.kills - small, settings.seed, course)
        _disturb(workshop, "disturbed", plan, settings, paths, tally)
        if settings.edit:
            workshop.undisturbed("afterwards")
        different = _disturb_small(data, folder / "small", settings, small, tally) if small else None
        whole = addresses("afterwards" if settings.edit else "whole")
        rows = [
            *_tally_rows(settings, tally, course),
            *_compare(whole, addresses("disturbed"), settings.edit),
        ]
    if different is not None:
        rows.append(Row((f"of {small} small indexes, different",), different, "count", NONE))
    for failure in tally.failures:
        say(failure)
    details = {**asdict(settings), "course": asdict(course)}
    return Result("kill", ("what",), rows, details)


@contextmanager
def _addresses(folder: Path, store: str) -> Iterator[Callable[[str], str]]:
    """From names of indexes to addresses; with a server that runs for as long as it takes."""
    if store != "chroma-server":
        yield _in_folder(folder, store)
        return
    with chroma_server(folder / "server") as server:
        yield lambda index: f"chroma://127.0.0.1:{server.port}/{index}"


def _in_folder(folder: Path, store: str) -> Callable[[str], str]:
    scheme = "chroma" if store == "chroma" else "qdrant"
    return lambda index: f"{scheme}:{folder / index}"


class Workshop:
    """Runs the program that indexes.

    :param folder: holds ``files``.
    :param addresses: where the index of a name is made.
    """

    def __init__(self, folder: Path, addresses: Callable[[str], str]) -> None:
        self._folder = folder
        self._addresses = addresses
        self._errors = folder / "errors"

    def start(self, index: str) -> subprocess.Popen[str]:
        """A new process.

        :param index: name of the index.
        """
        places = (str(self._folder / "files"), self._addresses(index))
        command = [sys.executable, "-m", "benchmarks.kill_child", *places, str(_PAUSE)]
        with self._errors.open("w", encoding="utf-8") as errors:
            return subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=errors, text=True)

    def complaint(self, process: subprocess.Popen[str]) -> str:
        """Why the last process ended by itself.

        :param process: that process.
        """
        return f"status {process.returncode}: {self._errors.read_text('utf-8').strip()[-600:]}"

    def undisturbed(self, index: str) -> Course:
        """Index to the end, and note how it went.

        :param index: name of the index.
        """
        began = time.perf_counter()
        marks: dict[str, float] = {}
        chunks = 0
        with self.start(index) as process:
            for line in _news(process):
                word, _, number = line.strip().partition(" ")
                marks.setdefault(word, time.perf_counter())
                chunks = int(number) if number else chunks
        if process.returncode:
            raise RuntimeError(f"the undisturbed run ended with {self.complaint(process)}")
        first, full, done = marks["stored"], marks["optimise"], marks["optimised"]
        recalibrating = marks.get("recalibrated", 0.0) - marks.get("recalibrating", 0.0)
        return Course(chunks, first - began, full - first, done - full, recalibrating)

    def finish(self, index: str, tally: Tally) -> None:
        """Index to the end, and note a failure.

        :param index: name of the index.
        :param tally: gets the failure.
        """
        with self.start(index) as process:
            tally.repairs += "repaired" in _news(process).read()
        if process.returncode:
            tally.failures.append(f"an undisturbed restart ended with {self.complaint(process)}")

    def hit(self, index: str, moment: Moment, tally: Tally) -> bool:
        """Start a process and kill it.

        :param index: name of the index.
        :param moment: when.
        :param tally: gets what came of it.
        :return: whether it was still running.
        """
        with self.start(index) as process:
            tally.repairs += _kill_at(process, moment)
        tally.tries += 1
        if process.returncode == -signal.SIGKILL:
            tally.hit[moment.phase] += 1
            return True
        if process.returncode:
            tally.failures.append(f"run {tally.tries} ended with {self.complaint(process)}")
        return False


def _news(process: subprocess.Popen[str]) -> IO[str]:
    if process.stdout is None:
        raise RuntimeError("the process was started without a pipe")
    return process.stdout


def _disturb(
    workshop: Workshop, index: str, plan: Sequence[Moment], settings: Settings, paths: Sequence[Path], tally: Tally
) -> None:
    """Start and kill, as planned, then let it finish. A kill that came too late is tried again after half the time."""
    dice = random.Random(settings.seed)
    began = time.perf_counter()
    with progress("killing", len(plan) + 1) as advance:
        for number, planned in enumerate(plan):
            moment = planned
            while tally.tries < tally.allowed and not workshop.hit(index, moment, tally):
                moment = replace(moment, delay=moment.delay / 2)
            if settings.edit:
                _edit(dice.choice(paths), number)
            advance(1)
        workshop.finish(index, tally)
        advance(1)
    tally.seconds = time.perf_counter() - began


def _disturb_small(data: Path, folder: Path, settings: Settings, kills: int, tally: Tally) -> int:
    """Let an index grow so much that its keyword weights are rewritten, kill the process meanwhile, let it finish.

    Each kill has an index of its own. Says how many are not in the end as one that was never killed.
    """
    dice = random.Random(settings.seed)
    addresses = _in_folder(folder, settings.store)
    workshop = Workshop(folder, addresses)
    extract(data, folder / "files", _ARCHIVES, _FEW)
    workshop.undisturbed("few")
    shutil.copytree(folder / "few", folder / "whole")
    extract(data, folder / "files", _ARCHIVES, _MORE)
    course = workshop.undisturbed("whole")
    if not course.recalibrating:
        raise RuntimeError(f"going from {_FEW} to {_MORE} files, keyword weights were not rewritten")
    different = 0
    with progress("killing small ones", kills) as advance:
        for number in range(kills):
            index = f"disturbed-{number}"
            delay = dice.uniform(0, course.recalibrating)
            hit = False
            while tally.tries < tally.allowed and not hit:
                shutil.rmtree(folder / index, ignore_errors=True)
                shutil.copytree(folder / "few", folder / index)
                hit = workshop.hit(index, Moment("recalibrating", 0, delay), tally)
                delay /= 2
            workshop.finish(index, tally)
            rows = _compare(addresses("whole"), addresses(index), edited=False)
            different += any(row.verdict == "miss" for row in rows)
            advance(1)
    return different


def _kill_at(process: subprocess.Popen[str], moment: Moment) -> bool:
    """Wait for the moment, or for the end of the process; then kill it: this process alone, by its id.

    Says whether it repaired the index before.
    """
    repaired = False
    if moment.phase != "starting":
        for line in _news(process):
            word, _, number = line.strip().partition(" ")
            repaired |= word == "repaired"
            if word == _BEGINS.get(moment.phase):
                break
            if moment.phase == "writing" and number and int(number) >= moment.chunks:
                break
    time.sleep(moment.delay)
    process.kill()
    process.wait()
    return repaired


def _edit(path: Path, number: int) -> None:
    """A new first paragraph, so that all spans below it move."""
    path.write_text(f"Note {number}: this paragraph is new.\n\n{path.read_text('utf-8')}", "utf-8")


def _tally_rows(settings: Settings, tally: Tally, course: Course) -> list[Row]:
    hits = ", ".join(f"{tally.hit[phase]} {phase}" for phase in _PHASES)
    enough = Bar(at_least=settings.kills)
    return [
        Row(("kills that hit a running process",), tally.hit.total(), "count", enough, shown={"notes": hits}),
        Row(("tries",), tally.tries, "count"),
        Row(("repairs of an index that a kill had damaged",), tally.repairs, "count"),
        Row(("runs that failed by themselves",), len(tally.failures), "count", NONE),
        Row(("time of the undisturbed run",), course.seconds, "seconds"),
        Row(("time with kills",), tally.seconds, "seconds"),
    ]
