"""The operator's handbook names what there is."""

from typer.main import get_command

from hemline.__main__ import app
from store.settings import ENV_PREFIX, Settings
from tests.hemline.conftest import ROOT

HANDBOOK = (ROOT / "docs/operations.md").read_text(encoding="utf-8")


def test_each_setting_is_documented() -> None:
    missing = [name for name in Settings.model_fields if f"`{ENV_PREFIX}{name.upper()}`" not in HANDBOOK]
    assert not missing


def test_each_command_is_documented() -> None:
    missing = [name for name in _commands() if f"`hemline {name}" not in HANDBOOK]
    assert not missing


def _commands() -> list[str]:
    names = []
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]  # the top one is a group
        inner = getattr(command, "commands", None)
        names += [f"{name} {child}" for child in inner] if inner else [name]
    return names
