"""A model version as one ZIP, piece by piece."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import BinaryIO
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from store.artifacts import open_file
from store.errors import MissingFilesError
from store.models import ModelVersionView
from store.settings import Settings

MANIFEST = "manifest.json"
PIECE_BYTES = 1 << 20
WRITTEN_AT = (1980, 1, 1, 0, 0, 0)  # the format's first moment, so that the same version is the same ZIP


@dataclass
class _Outbox:
    """What the ZIP writer wrote since somebody looked. It cannot seek, so sizes follow their file."""

    pieces: list[bytes] = field(default_factory=list)

    def write(self, data: bytes, /) -> int:
        self.pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """There is nothing to let go."""

    def take(self) -> Iterator[bytes]:
        taken, self.pieces = self.pieces, []
        yield from taken


def pack(settings: Settings, model: ModelVersionView) -> Iterator[bytes]:
    """The folder of a version, uncompressed: the manifest and the files that it lists, nothing else.

    The first piece is given only when the manifest is the registered one and every file is there. A file that turns out
    to be another than the manifest lists ends the ZIP unfinished, so that nothing takes it for whole.

    Raises:
        MissingFilesError: the manifest is another one or unreadable, or a file is missing or altered.
    """
    try:
        with open_file(settings, f"{model.artifact}/{MANIFEST}") as stream:
            manifest = stream.read()
        listed: dict[str, str] = json.loads(manifest)["files"]
        for name in listed:
            if PurePath(name).name != name:
                raise MissingFilesError(f"The manifest of {model.version} lists a file outside its folder.")
            with open_file(settings, f"{model.artifact}/{name}"):
                pass
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MissingFilesError(f"The files of {model.version} are not all there ({type(error).__name__}).") from error
    if hashlib.sha256(manifest).hexdigest() != model.manifest_sha256:
        raise MissingFilesError(f"The manifest of {model.version} is not the one that was registered.")
    return _zip(settings, model, listed)


def _zip(settings: Settings, model: ModelVersionView, listed: dict[str, str]) -> Iterator[bytes]:
    outbox = _Outbox()
    archive = ZipFile(outbox, "w", ZIP_STORED)
    for name, expected in {**listed, MANIFEST: model.manifest_sha256}.items():
        entry = ZipInfo(f"{model.version}/{name}", WRITTEN_AT)
        entry.external_attr = 0o644 << 16
        with (
            open_file(settings, f"{model.artifact}/{name}") as source,
            archive.open(entry, "w", force_zip64=True) as target,
        ):
            found = hashlib.sha256()
            for piece in _pieces(source):
                found.update(piece)
                target.write(piece)
                yield from outbox.take()
        if found.hexdigest() != expected:
            raise MissingFilesError(f"{name} of {model.version} is not the file that its manifest lists.")
    archive.close()
    yield from outbox.take()


def _pieces(source: BinaryIO) -> Iterator[bytes]:
    while piece := source.read(PIECE_BYTES):
        yield piece
