"""What a system takes: resident memory of the processes that hold its data."""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from retriever.evaluation.load.latency import Figure
from retriever.evaluation.systems import check_needs

_KILOBYTE = 1024


class Memory(Figure):
    """Resident memory in bytes, of some processes and their children together.

    :param resident: now; pages that they share are counted for each.
    :param anonymous: the part that no file backs, which the kernel cannot take back; None where it does not say.
    :param peak: sum of the most that each has had; None where the kernel does not say.
    """

    resident: int
    anonymous: int | None = None
    peak: int | None = None


def memory_of(processes: Sequence[int]) -> Memory | None:
    """What processes take now.

    :param processes: ids; children are added. Those that have ended count as nothing.
    :return: None without processes.
    :raises Unavailable: without psutil.
    """
    check_needs("the memory of a process", {"psutil": "psutil"})
    import psutil

    if not processes:
        return None
    if os.getpid() in processes:
        gc.collect()
    family: dict[int, psutil.Process] = {}
    for number in processes:
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(number)
            family |= {process.pid: process for process in [parent, *parent.children(recursive=True)]}
    resident = 0
    for process in family.values():
        with suppress(psutil.NoSuchProcess):
            resident += int(process.memory_info().rss)
    statuses = [_status(number) for number in family]
    return Memory(resident=resident, anonymous=_total(statuses, "RssAnon"), peak=_total(statuses, "VmHWM"))


def _total(statuses: Sequence[dict[str, int]], field: str) -> int | None:
    known = [status[field] for status in statuses if field in status]
    return sum(known) if known else None


def _status(process: int) -> dict[str, int]:
    """Bytes by field, as Linux has them; empty elsewhere."""
    try:
        lines = Path(f"/proc/{process}/status").read_text("utf-8").splitlines()
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in lines if line.endswith(" kB"))
    return {name: int(value.split()[0]) * _KILOBYTE for name, value in pairs}
