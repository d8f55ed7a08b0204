"""Commands as their users run them: answers, exit statuses, nothing secret shown."""

import io
import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from hemline.commands.config import HIDDEN, shown
from hemline.home import Home
from tests.hemline.conftest import ROOT, Hemline

TOKEN = "t" * 40


@pytest.fixture
def migrated(hemline: Hemline) -> Hemline:
    assert hemline("migrate").status == 0
    return hemline


def test_help_needs_nothing_heavy() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "hemline", "--help"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    imported = {line.rsplit("|", 1)[-1].strip() for line in ended.stderr.splitlines()}
    assert "hemline.commands.jobs" in imported
    assert not imported & {"torch", "sqlalchemy", "celery", "flask", "pydantic_settings"}


def test_an_unknown_command_is_a_usage_error(hemline: Hemline) -> None:
    assert hemline("knit").status == 2


def test_a_bad_setting_is_named(hemline: Hemline) -> None:
    ended = hemline("config", "show", HEMLINE_PORT="eighty")
    assert ended.status == 1
    assert "HEMLINE_PORT" in ended.errors
    assert "Traceback" not in ended.errors


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("HEMLINE_PORT", "abc", "must be a whole number"),
        ("HEMLINE_LEASE_S", "soon", "must be a number"),
        ("HEMLINE_ADMIN_TOKEN", "short-s3cret", "must have at least 32 characters"),
        ("HEMLINE_ADMIN_EMAIL", "nobody", "must be an e-mail address"),
        ("HEMLINE_DATABASE_URL", "bogus", "must be sqlite:///… or postgresql://…"),
        ("HEMLINE_DATABASE_URL", "mysql://me:s3cret@db/x", "must be sqlite:///… or postgresql://…"),
        ("HEMLINE_REDIS_URL", "http://:s3cret@cache", "must be redis://…, rediss://… or unix://…"),
        ("HEMLINE_DEVICE", "gpu", "auto, cpu, cuda or cuda:N"),
        ("HEMLINE_BACKBONE", "bert", "minilm-l6, distilbert-base-uncased or tiny"),
    ],
)
def test_a_setting_that_means_nothing_is_refused_with_what_it_takes(
    hemline: Hemline, variable: str, value: str, says: str
) -> None:
    ended = hemline("config", "show", **{variable: value})
    assert ended.status == 1
    assert ended.errors.startswith(f"error: {variable}: ")
    assert says in ended.errors
    assert "s3cret" not in ended.errors


def test_a_misspelt_setting_is_noticed(hemline: Hemline) -> None:
    ended = hemline("config", "show", "--json", HEMLINE_PROT="1")
    assert ended.status == 0
    assert ended.errors == "warning: HEMLINE_PROT is no setting; HEMLINE_PORT is\n"
    assert ended.document


@pytest.mark.parametrize("command", [("migrate",), ("up", "--port", "18997")])
def test_a_home_that_cannot_be_used_is_named(hemline: Hemline, tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "file").write_text("")
    for home in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/nope")):
        ended = hemline(*command, HEMLINE_HOME=str(home))
        assert ended.status == 1
        assert ended.errors.startswith(f"error: HEMLINE_HOME: {home} ")


def test_a_look_makes_nothing_and_a_migration_closes_home_to_others(hemline: Hemline, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert hemline("jobs", "list").status == 1
    assert not home.exists()
    hemline("migrate")
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_a_failure_is_a_document_with_json(hemline: Hemline) -> None:
    ended = hemline("jobs", "list", "--json")
    assert ended.status == 1
    assert "hemline migrate" in ended.document["error"]["hint"]


def test_config_hides_secrets_and_says_where_values_come_from(hemline: Hemline) -> None:
    ended = hemline(
        "config",
        "show",
        "--json",
        HEMLINE_ADMIN_TOKEN=TOKEN,
        HEMLINE_DATABASE_URL="postgresql://hem:s3cret%2F@db/hem",
        HEMLINE_REDIS_URL="redis://:hush@cache:6379/0",
    )
    values = {row["setting"]: row for row in ended.document}
    assert not any(secret in ended.output for secret in (TOKEN, "s3cret", "hush"))
    assert values["HEMLINE_ADMIN_TOKEN"]["value"] == HIDDEN
    assert values["HEMLINE_DATABASE_URL"]["value"] == f"postgresql://hem:{HIDDEN}@db/hem"
    assert values["HEMLINE_DATABASE_URL"]["from"] == "environment"
    assert values["HEMLINE_PORT"]["from"] == "default"


@pytest.mark.parametrize(
    ("given", "hidden"),
    [
        ("postgresql://db/hem?user=a&password=hunter2", f"postgresql://db/hem?user=a&password={HIDDEN}"),
        ("redis://:pw@cache/0?password=hunter2&db=1", f"redis://:{HIDDEN}@cache/0?password={HIDDEN}&db=1"),
        ("s3://models?secret_key=hunter2", f"s3://models?secret_key={HIDDEN}"),
    ],
)
def test_a_password_in_a_query_is_hidden(given: str, hidden: str) -> None:
    assert shown(given) == hidden


def test_a_url_without_a_password_is_shown_as_it_is() -> None:
    assert shown("redis://cache:6379/0") == "redis://cache:6379/0"


def test_a_home_whose_name_means_something_in_a_url_keeps_its_state(hemline: Hemline, tmp_path: Path) -> None:
    home = tmp_path / "a b#c?d%41;e"
    assert hemline("migrate", HEMLINE_HOME=str(home)).status == 0
    assert (home / "hemline.db").stat().st_size > 0
    assert [path.name for path in tmp_path.iterdir()] == [home.name]


def test_migrating_twice_makes_one_administrator(hemline: Hemline) -> None:
    first, second = hemline("migrate", "--json"), hemline("migrate", "--json")
    assert first.document["first_admin"]["password"]
    assert second.document["first_admin"] is None
    assert [user["role"] for user in hemline("user", "list", "--json").document] == ["admin"]


def test_the_provisioned_administrator_is_applied_at_every_start(hemline: Hemline) -> None:
    for _ in range(2):
        assert hemline("migrate", HEMLINE_ADMIN_EMAIL="ada@example.org", HEMLINE_ADMIN_TOKEN=TOKEN).status == 0
    assert [user["email"] for user in hemline("user", "list", "--json").document] == ["ada@example.org"]
    assert len(hemline("token", "list", "--json").document) == 1


def test_a_user_is_added_once_and_changes_the_password(migrated: Hemline) -> None:
    arguments = ("user", "add", "Ann@example.org", "--role", "analyst", "--password", "long enough!")
    assert migrated(*arguments, "--json").document["role"] == "analyst"
    again = migrated(*arguments)
    assert again.status == 1
    assert "exists" in again.errors
    assert migrated("user", "passwd", "ann@example.org", "--password", "another long one").status == 0
    assert migrated("user", "passwd", "nobody@example.org", "--password", "another long one").status == 1


def test_a_password_is_read_from_standard_input_and_the_answer_stays_json(
    migrated: Hemline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("long enough!\n"))
    added = migrated("user", "add", "ann@example.org", "--password-stdin", "--json")
    assert added.document["email"] == "ann@example.org"


def test_a_password_is_asked_for_only_when_it_would_be_used_and_not_on_standard_output(hemline: Hemline) -> None:
    hemline("migrate")
    command = [sys.executable, "-m", "hemline", "user"]

    def ask(*arguments: str) -> subprocess.CompletedProcess[str]:
        typed = "long enough!\nlong enough!\n"
        return subprocess.run(
            [*command, *arguments], input=typed, capture_output=True, text=True, cwd=ROOT, check=False
        )

    home = hemline("config", "show", "--json").document[0]["value"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEMLINE_HOME", home)
        assert json.loads(ask("add", "bob@example.org", "--json").stdout)["email"] == "bob@example.org"
        for refused in (ask("add", "bob@example.org"), ask("passwd", "nobody@example.org"), ask("add", "no address")):
            assert refused.returncode in {1, 2}
            assert "Password" not in refused.stdout + refused.stderr


@pytest.mark.parametrize("arguments", [("--name", " "), ("--name", "x", "--days", "99999999")])
def test_a_token_without_a_name_or_with_an_endless_life_is_a_usage_error(
    migrated: Hemline, arguments: tuple[str, ...]
) -> None:
    assert migrated("token", "create", "admin@localhost", *arguments).status == 2


@pytest.mark.parametrize("wrong", [("--role", "queen", "--password", "long enough!"), ("--password", "short")])
def test_a_wrong_role_or_a_short_password_is_a_usage_error(migrated: Hemline, wrong: tuple[str, ...]) -> None:
    assert migrated("user", "add", "ann@example.org", *wrong).status == 2


def test_a_token_is_shown_once_and_can_be_revoked(migrated: Hemline) -> None:
    made = migrated("token", "create", "admin@localhost", "--name", "import", "--scope", "jobs", "--json").document
    listed = migrated("token", "list", "--json")
    assert made["token"].startswith("hl_")
    assert made["token"] not in listed.output
    assert listed.document[0]["scopes"] == ["jobs"]
    number = str(listed.document[0]["id"])
    assert migrated("token", "revoke", number).status == 0
    assert migrated("token", "revoke", number).status == 1


def test_an_unknown_scope_or_user_makes_no_token(migrated: Hemline) -> None:
    assert migrated("token", "create", "admin@localhost", "--name", "x", "--scope", "everything").status == 2
    assert migrated("token", "create", "nobody@localhost", "--name", "x").status == 1
    assert migrated("token", "list", "--json").document == []


def test_predict_says_that_nobody_listens_and_keeps_the_review(migrated: Hemline) -> None:
    ended = migrated("predict", "--text", "Lovely dress, wore it twice already.", "--wait", "0.3")
    assert ended.status == 1
    assert "no worker is listening" in ended.errors
    job = migrated("jobs", "list", "--json").document["items"][0]
    assert job["state"] == "queued"
    assert [event["name"] for event in migrated("jobs", "show", job["id"], "--json").document["events"]]


@pytest.mark.parametrize(
    ("text", "title"), [("  ", "T"), ("x" * 50_001, "T"), ("text", "t" * 501), ("\udcff", "T"), ("text", "\udcff")]
)
def test_predict_refuses_what_the_api_refuses(migrated: Hemline, text: str, title: str) -> None:
    assert migrated("predict", "--text", text, "--title", title).status == 2
    assert migrated("jobs", "list", "--json").document["items"] == []


def test_an_unknown_job_is_a_failure(migrated: Hemline) -> None:
    assert migrated("jobs", "show", "nothing").status == 1


def test_a_worker_by_itself_needs_to_know_its_redis(hemline: Hemline) -> None:
    ended = hemline("worker")
    assert ended.status == 1
    assert "HEMLINE_REDIS_URL" in ended.errors


def test_doctor_looks_at_a_fresh_folder_without_making_anything(hemline: Hemline, tmp_path: Path) -> None:
    ended = hemline("doctor", "--json", HEMLINE_PORT="18999")
    assert {finding["name"] for finding in ended.document} >= {"python", "redis", "database", "disk", "port"}
    assert not (tmp_path / "home").exists()


def test_doctor_finds_the_missing_model(migrated: Hemline) -> None:
    ended = migrated("doctor", "--json")
    model = next(finding for finding in ended.document if finding["name"] == "model")
    assert ended.status == 1
    assert not model["ok"]
    assert "install-starter" in model["detail"]


def test_home_is_closed_to_other_users(tmp_path: Path) -> None:
    home = Home(tmp_path / "own")
    home.create()
    secret = home.secret("secret-key")
    assert home.secret("secret-key") == secret
    assert stat.S_IMODE((home.root / "secrets/secret-key").stat().st_mode) == 0o600
    assert stat.S_IMODE(home.root.stat().st_mode) == 0o700
