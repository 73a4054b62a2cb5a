"""Loading a model of the sentence-transformers library as every model is loaded here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from retriever.errors import ConfigurationError, MissingExtra, ModelNotFound

M = TypeVar("M")


def loaded(cls: Callable[..., M], folder: Path, name: str, device: str | None) -> M:
    """A model from safetensors in float32, without code from its repository.

    :param cls: of the library.
    :param folder: with its files.
    :param name: what people call it, for messages.
    :param device: None for the best there is.
    :raises ModelNotFound: where the files are no usable model.
    :raises MissingExtra: where it reads pictures and Pillow is not there.
    :raises ConfigurationError: where it cannot be loaded on the device.
    """
    from safetensors import SafetensorError

    with _no_progress_bars():
        try:
            return cls(
                str(folder),
                device=device,
                trust_remote_code=False,
                local_files_only=True,
                # float32 whatever the checkpoint was saved in: vectors must not depend on that.
                model_kwargs={"use_safetensors": True, "dtype": "float32"},
            )
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            if "Pillow" in str(error) and not _has_pillow():
                raise MissingExtra(f"the model {name}, which reads pictures,", "images") from error
            raise ModelNotFound(f"the files in {folder} are not a usable model: {error}") from error
        except (RuntimeError, AssertionError) as error:  # torch's way to say: no such device, wrong shapes, no memory
            raise ConfigurationError(f"{name} cannot be loaded on {device or 'this machine'}: {error}") from error


def _has_pillow() -> bool:
    try:
        import PIL  # noqa: F401 - asked for, not used
    except ModuleNotFoundError:
        return False
    return True


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Loading is part of a longer work with a bar of its own."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
