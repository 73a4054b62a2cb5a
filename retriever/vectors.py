"""The vectors of chunks: of their texts, or of the pictures that they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from retriever.embedding.base import EmbeddingFunction
from retriever.errors import InvalidInput
from retriever.pictures import Picture, find_picture, is_picture
from retriever.types import Chunk, FloatVector

FindPicture = Callable[[Chunk], Picture]
"""The picture that a chunk is.

:raises InvalidInput: where it is not to be had.
"""


@dataclass(slots=True)
class ChunkVectors:
    """Vectors by chunk id, and why some chunks have none."""

    vectors: dict[str, FloatVector] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


def from_file(chunk: Chunk) -> Picture:
    """The picture of a chunk in its file.

    :param chunk: of a picture that was indexed from a folder.
    :raises InvalidInput: where the file is gone, or holds another picture now.
    """
    return find_picture(chunk.source, chunk.metadata)


def embed_chunks(
    embedding: EmbeddingFunction, chunks: Sequence[Chunk], find: FindPicture = from_file, *, fresh: bool = False
) -> ChunkVectors:
    """Embed chunks, each text and each picture once. A picture that cannot be read has no vector, never its text's.

    :param embedding: the function.
    :param chunks: any number.
    :param find: where pictures are had from; by default from their files.
    :param fresh: take none from the cache.
    """
    result = ChunkVectors()
    pictures = _found(chunks, find, result.problems)
    texts = list(dict.fromkeys(chunk.text for chunk in chunks if not is_picture(chunk.metadata)))
    of_text = _of_texts(embedding, texts, fresh)
    of_picture, unreadable = _of_pictures(embedding, list(pictures.values()), fresh)
    for chunk in chunks:
        picture = pictures.get(chunk.id)
        if picture is None and not is_picture(chunk.metadata):
            result.vectors[chunk.id] = of_text[chunk.text]
        elif picture is not None and picture.digest in of_picture:
            result.vectors[chunk.id] = of_picture[picture.digest]
        elif picture is not None:
            result.problems[chunk.id] = str(unreadable[picture.digest])
    return result


def _found(chunks: Sequence[Chunk], find: FindPicture, problems: dict[str, str]) -> dict[str, Picture]:
    pictures = {}
    for chunk in chunks:
        if is_picture(chunk.metadata):
            try:
                pictures[chunk.id] = find(chunk)
            except InvalidInput as error:
                problems[chunk.id] = str(error)
    return pictures


def _of_texts(embedding: EmbeddingFunction, texts: list[str], fresh: bool) -> dict[str, FloatVector]:
    return dict(zip(texts, embedding.embed_documents(texts, warn=False, fresh=fresh), strict=True)) if texts else {}


def _of_pictures(
    embedding: EmbeddingFunction, pictures: Sequence[Picture], fresh: bool
) -> tuple[Mapping[str, FloatVector], Mapping[str, InvalidInput]]:
    if not pictures:
        return {}, {}
    if not embedding.reads_images:
        reason = InvalidInput(f"{embedding.name} reads no pictures")
        return {}, {picture.digest: reason for picture in pictures}
    return embedding.embed_readable(pictures, fresh=fresh)
