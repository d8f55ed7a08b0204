"""Where model folders lie: any fsspec store, with a local copy where the store is not local."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import fsspec
from fsspec.implementations.local import LocalFileSystem

from store.settings import Settings


def model_artifact(version: str) -> str:
    """The folder of a model version, relative to the artifact store."""
    return f"models/{version}"


def local_folder(settings: Settings, artifact: str) -> Path:
    """A local folder with the files of `artifact`, fetched first when the store is elsewhere.

    The files are not judged here: whoever loads them checks their hashes.
    """
    filesystem, root = fsspec.core.url_to_fs(settings.artifacts)
    if isinstance(filesystem, LocalFileSystem):
        return Path(root) / artifact
    copy = settings.home.resolve() / "cache" / artifact
    if not copy.exists():
        partial = copy.with_name(copy.name + ".partial")
        filesystem.get(f"{root}/{artifact}/", f"{partial}/", recursive=True)
        partial.rename(copy)
    return copy


@contextmanager
def open_file(settings: Settings, artifact: str, name: str) -> Iterator[BinaryIO]:
    """Open one file of `artifact` for reading, wherever the store is.

    Raises:
        OSError: it is not there, or the store is out of reach.
    """
    filesystem, root = fsspec.core.url_to_fs(settings.artifacts)
    with filesystem.open(f"{root}/{artifact}/{name}", "rb") as stream:
        yield stream


def remove(settings: Settings, artifact: str) -> None:
    """Remove the folder of `artifact` from the store, and this machine's copy of it; harmless when they are gone.

    Raises:
        OSError: the store is out of reach.
    """
    filesystem, root = fsspec.core.url_to_fs(settings.artifacts)
    if filesystem.exists(f"{root}/{artifact}"):
        filesystem.rm(f"{root}/{artifact}", recursive=True)
    shutil.rmtree(settings.home.resolve() / "cache" / artifact, ignore_errors=True)
