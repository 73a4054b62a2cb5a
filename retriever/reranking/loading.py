"""Loading a model of the sentence-transformers library as every model is loaded here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from retriever.embedding.models import model_folder
from retriever.errors import ConfigurationError, ModelNotFound

M = TypeVar("M")


def loaded(cls: Callable[..., M], name: str, revision: str | None, device: str | None) -> M:
    """A model from safetensors in float32, without code from its repository.

    :param cls: of the library.
    :param name: path of a folder, or name on the hub.
    :param revision: on the hub.
    :param device: None for the best there is.
    :raises ModelNotFound: where the files are nowhere, or are no usable model.
    :raises ConfigurationError: where it cannot be loaded on the device.
    """
    from safetensors import SafetensorError

    folder = model_folder(name, revision)
    try:
        return cls(
            str(folder),
            device=device,
            trust_remote_code=False,
            local_files_only=True,
            model_kwargs={"use_safetensors": True, "dtype": "float32"},
        )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ModelNotFound(f"the files in {folder} are not a usable model: {error}") from error
    except (RuntimeError, AssertionError) as error:  # torch's way to say: no such device, wrong shapes, no memory
        raise ConfigurationError(f"{name} cannot be loaded on {device or 'this machine'}: {error}") from error
