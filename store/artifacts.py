"""Where files lie: any fsspec store, with a local copy where the store is not local."""

import os
import secrets
import shutil
from pathlib import Path
from typing import BinaryIO, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from store.settings import Settings


def model_artifact(version: str) -> str:
    """The folder of a model version, relative to the artifact store."""
    return f"models/{version}"


def new_upload() -> str:
    """A file for what somebody uploads, relative to the artifact store; its name says nothing and is not used twice."""
    return f"uploads/{secrets.token_hex(16)}"


def dataset_artifact(sha256: str) -> str:
    """The Parquet file of a data set."""
    return f"datasets/{sha256}.parquet"


def rejects_artifact(dataset_id: int) -> str:
    """The rows that an import left out."""
    return f"datasets/{dataset_id}-rejects.csv"


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


def put_file(settings: Settings, source: BinaryIO, artifact: str) -> None:
    """Copy a file into the store; nobody sees half of it.

    Raises:
        OSError: the store does not take it.
    """
    filesystem, root = fsspec.core.url_to_fs(settings.artifacts)
    if not isinstance(filesystem, LocalFileSystem):
        with filesystem.open(f"{root}/{artifact}", "wb") as target:  # shows up when it is closed
            shutil.copyfileobj(source, target, 1 << 20)
        return
    path = Path(root) / artifact
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with partial.open("xb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
            target.flush()
            os.fsync(target.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def open_file(settings: Settings, artifact: str) -> BinaryIO:
    """Open a file of the store for reading.

    Raises:
        FileNotFoundError: there is none.
    """
    filesystem, root = fsspec.core.url_to_fs(settings.artifacts)
    return cast("BinaryIO", filesystem.open(f"{root}/{artifact}", "rb"))


def local_file(settings: Settings, artifact: str, *, scratch: Path) -> Path:
    """A local path of a file, copied into `scratch` first when the store is elsewhere.

    Raises:
        FileNotFoundError: there is none.
    """
    filesystem, root = fsspec.core.url_to_fs(settings.artifacts)
    if isinstance(filesystem, LocalFileSystem):
        path = Path(root) / artifact
        if not path.is_file():
            raise FileNotFoundError(path)
        return path
    copy = scratch / Path(artifact).name
    filesystem.get_file(f"{root}/{artifact}", str(copy))
    return copy


def put_folder(settings: Settings, folder: Path, artifact: str) -> None:
    """Copy a folder of files into the store, in place of whatever stands there; locally nobody sees half of it.

    Raises:
        OSError: the store does not take it.
    """
    filesystem, root = fsspec.core.url_to_fs(settings.artifacts)
    if not isinstance(filesystem, LocalFileSystem):
        filesystem.put(f"{folder}/", f"{root}/{artifact}/", recursive=True)
        return
    target = Path(root) / artifact
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        shutil.copytree(folder, partial)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def remove_file(settings: Settings, artifact: str) -> None:
    """Remove a file of the store, if it is there."""
    filesystem, root = fsspec.core.url_to_fs(settings.artifacts)
    try:
        filesystem.rm_file(f"{root}/{artifact}")
    except FileNotFoundError:
        return


def remove(settings: Settings, artifact: str) -> None:
    """Remove the folder of `artifact` from the store, and this machine's copy of it; harmless when they are gone.

    Raises:
        OSError: the store is out of reach.
    """
    filesystem, root = fsspec.core.url_to_fs(settings.artifacts)
    if filesystem.exists(f"{root}/{artifact}"):
        filesystem.rm(f"{root}/{artifact}", recursive=True)
    shutil.rmtree(settings.home.resolve() / "cache" / artifact, ignore_errors=True)
