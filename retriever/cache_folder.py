"""The user's cache folder: for what can always be made again."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """``$RETRIEVER_CACHE``, or ``hybrid-retriever`` where the system keeps caches. It may not exist yet."""
    chosen = os.environ.get("RETRIEVER_CACHE")
    return Path(chosen).expanduser() if chosen else _caches() / "hybrid-retriever"


def _caches() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
