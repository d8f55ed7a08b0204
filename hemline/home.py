"""HOME: the folder with all state of a one-machine installation, and the secrets that live in it."""

import fcntl
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from pydantic import SecretStr

from hemline.errors import AlreadyRunningError, HemlineError, SharedFolderError
from store.settings import Settings

# The kernel's limit on a socket's path is 108 bytes on Linux and 104 on macOS.
MAX_SOCKET_PATH = 100


@dataclass(frozen=True)
class Home:
    """Where things lie under HOME. Nothing is created before it is asked for."""

    root: Path

    @classmethod
    def of(cls, settings: Settings) -> "Home":
        """The HOME that the settings name, as an absolute path."""
        return cls(settings.home.resolve())

    @property
    def redis_folder(self) -> Path:
        """Data and configuration of the embedded Redis."""
        return self.root / "redis"

    @property
    def redis_socket(self) -> Path:
        """Where the embedded Redis listens: under HOME, or in a folder of our own when HOME's path is too long.

        Raises:
            SharedFolderError: that folder is somebody else's.
        """
        socket = self.redis_folder / "redis.sock"
        if len(os.fsencode(socket)) < MAX_SOCKET_PATH:
            return socket
        name = sha256(os.fsencode(self.root)).hexdigest()[:16]
        return _own_temporary_folder() / f"{name}.sock"

    @property
    def redis_url(self) -> str:
        """URL of the embedded Redis, with its password."""
        return f"unix://:{self.secret('redis-password')}@{quote(str(self.redis_socket))}?db=0"

    def create(self) -> None:
        """Make HOME, closed to other users.

        Raises:
            HemlineError: it cannot be made, or not be written to.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise _unusable(self.root, error.strerror) from None
        if not os.access(self.root, os.W_OK | os.X_OK):
            raise _unusable(self.root, "it is not writable")

    def has_secret(self, name: str) -> bool:
        """Whether a secret was made here."""
        return self._secret_path(name).exists()

    def secret(self, name: str) -> str:
        """A random secret of this installation, made at the first call and kept with mode 0600."""
        path = self._secret_path(name)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            _write_private(path, secrets.token_hex(32))
        return path.read_text()

    def _secret_path(self, name: str) -> Path:
        return self.root / "secrets" / name

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold this HOME; the kernel lets go of it when the process ends, however it ends.

        Raises:
            AlreadyRunningError: another process holds it.
        """
        with (self.root / "lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise AlreadyRunningError(
                    f"`hemline up` already runs on {self.root} (process {file.read().strip() or 'unknown'})",
                    hint="Stop it first, or choose another HEMLINE_HOME and HEMLINE_PORT.",
                ) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield


def _unusable(root: Path, reason: str | None) -> HemlineError:
    return HemlineError(
        f"HEMLINE_HOME: {root} cannot hold the state of an installation: {reason}",
        hint="Set HEMLINE_HOME to a folder that this user may create and write to.",
    )


def _own_temporary_folder() -> Path:
    """A folder under the shared temporary one into which no other user can put a socket of his."""
    folder = Path(tempfile.gettempdir()) / f"hemline-{os.getuid()}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise SharedFolderError(
            f"{folder} is not a folder that only you can enter",
            hint="Remove it, or choose an HEMLINE_HOME with a shorter path.",
        )
    return folder


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner reads, whole or not at all, keeping what another process wrote first."""
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    try:
        path.hardlink_to(partial)
    except FileExistsError:
        pass
    finally:
        partial.unlink()


def with_own_secrets(settings: Settings) -> Settings:
    """The settings with what `hemline up` made for this HOME, so that every command reaches its Redis and sessions."""
    home = Home.of(settings)
    own: dict[str, object] = {"home": home.root}
    if settings.redis_url is None and home.has_secret("redis-password"):
        own["redis_url"] = home.redis_url
    if settings.secret_key is None and home.has_secret("secret-key"):
        own["secret_key"] = SecretStr(home.secret("secret-key"))
    return settings.model_copy(update=own)
