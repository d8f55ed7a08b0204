"""Where model folders lie: any fsspec store, with a local copy where the store is not local."""

from pathlib import Path

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
