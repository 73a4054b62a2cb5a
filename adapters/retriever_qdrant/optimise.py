"""Optimise a shard: ``python -m retriever_qdrant.optimise SHARD PARENT``, run by :mod:`retriever_qdrant.child`."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

import qdrant_edge as edge

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Load the shard, build what it lacks, close it.

    :param arguments: the shard's folder and the id of the process that waits.
    """
    path, parent = arguments
    _die_with(int(parent))
    shard = edge.EdgeShard.load(path)
    shard.optimize()
    shard.flush()
    shard.close()


def _die_with(parent: int) -> None:
    """Otherwise the child of a killed parent would hold the shard for as long as it takes."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above
        sys.exit("the process that asked for optimisation is gone")


if __name__ == "__main__":
    main(sys.argv[1:])
