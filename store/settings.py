"""The one typed settings object. Only process entry points call `load`; everything else is handed the result."""

import os
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from store.errors import SettingsError

ENV_PREFIX = "HEMLINE_"
OTHER_VARIABLES = {"HEMLINE_UP", "HEMLINE_BACKBONE_FOLDER"}
"""Read elsewhere: by `hemline up` to know its own processes, and by `python -m ml`."""


class Settings(BaseSettings):
    """What an installation can choose, read from `HEMLINE_*`. Each field's description is its documentation."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="ignore", env_ignore_empty=True)

    home: Path = Field(default=Path("var"), description="All state of a one-machine installation.")
    host: str = Field(default="127.0.0.1", description="Address that the web server listens on.")
    port: int = Field(default=8000, ge=1, le=65535, description="Port that the web server listens on.")
    database_url: str | None = Field(default=None, description="SQLAlchemy URL; SQLite under HOME when unset.")
    redis_url: str | None = Field(default=None, description="Redis URL; an embedded server under HOME when unset.")
    artifacts_url: str | None = Field(default=None, description="fsspec URL of the model files; under HOME when unset.")
    admin_email: str | None = Field(default=None, description="Provisioned administrator, applied at every start.")
    admin_password: SecretStr | None = Field(default=None, description="The administrator's password.")
    admin_token: SecretStr | None = Field(default=None, description="API token with all scopes, 32 characters or more.")
    secret_key: SecretStr | None = Field(default=None, description="Signs cookies and forms; `hemline up` makes one.")
    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="Where the model runs: auto, cpu, cuda or cuda:N.",
    )
    backbone: str = Field(
        default="minilm-l6",
        pattern="^(minilm-l6|distilbert-base-uncased|tiny)$",
        description="Default encoder of a training: minilm-l6, distilbert-base-uncased or tiny.",
    )
    log_format: str = Field(default="console", pattern="^(console|json)$", description="console or json.")
    sqlite_synchronous: str = Field(
        default="NORMAL", pattern="^(NORMAL|FULL)$", description="FULL also survives power loss, at a price."
    )
    queue_limit: int = Field(default=100_000, ge=1, description="Jobs that may wait before new ones get 429.")
    token_rate_per_minute: int = Field(default=6_000, ge=1, description="API requests a token may make a minute.")
    login_rate_per_minute: int = Field(default=10, ge=1, description="Sign-in attempts an address may make a minute.")
    web_threads: int = Field(default=16, ge=2, description="Threads of the web server; half of them may wait.")
    lease_s: float = Field(default=15.0, ge=1, description="Seconds a worker may hold a job without renewing it.")
    work_lease_s: float = Field(
        default=120.0, ge=1, description="The same for an import, a training or another job with a process of its own."
    )
    worker_threads: int | None = Field(
        default=None, ge=1, description="Threads of the model in a worker; all cores but one when unset."
    )
    batch_reviews: int = Field(default=64, ge=1, description="Reviews that one claim gathers at most.")
    sweep_interval_s: float = Field(default=2.0, gt=0, description="Seconds between two sweeps.")

    @field_validator("admin_token")
    @classmethod
    def _token_is_long(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and len(token.get_secret_value()) < 32:
            raise ValueError("must have at least 32 characters")
        return token

    @field_validator("admin_email")
    @classmethod
    def _email_is_one(cls, email: str | None) -> str | None:
        if email is not None and not is_email(email):
            raise ValueError("must be an e-mail address")
        return email

    @field_validator("database_url")
    @classmethod
    def _database_is_known(cls, url: str | None) -> str | None:
        try:
            is_known = url is None or make_url(url).get_backend_name() in {"sqlite", "postgresql"}
        except ArgumentError:
            is_known = False
        if not is_known:
            raise ValueError("must be sqlite:///… or postgresql://…")
        return url

    @field_validator("redis_url")
    @classmethod
    def _redis_is_known(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must be redis://…, rediss://… or unix://…")
        return url

    @property
    def database(self) -> str:
        """URL of the database in use."""
        if self.database_url:
            return self.database_url
        return URL.create("sqlite", database=str(self.home.resolve() / "hemline.db")).render_as_string()

    @property
    def artifacts(self) -> str:
        """URL of the artifact store in use."""
        return self.artifacts_url or str(self.home.resolve() / "artifacts")


def is_email(address: str) -> bool:
    """Whether something may be an e-mail address: something, an @, something, and no blanks."""
    name, at, host = address.strip().rpartition("@")
    return bool(name and at and host) and not any(map(str.isspace, address.strip()))


def load(**overrides: Any) -> Settings:
    """Read the settings from the environment.

    Args:
        overrides: fields that a command-line option set.

    Raises:
        SettingsError: a variable does not parse; the message names it and says what it takes.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        raise SettingsError(f"{ENV_PREFIX}{name.upper()}: {_reason(first, name)}") from None


def _reason(error: ErrorDetails, field: str) -> str:
    """What is wrong, without the value: it may be a secret."""
    match error["type"]:
        case "value_error":
            return str(error["ctx"]["error"])
        case "int_parsing" | "int_type":
            return "must be a whole number"
        case "float_parsing" | "float_type":
            return "must be a number"
        case "string_pattern_mismatch":
            return f"is not one of its values. {Settings.model_fields[field].description}"
    return error["msg"]


def misspelt() -> dict[str, str | None]:
    """Variables of the environment that look like settings and are none, each with the setting that may be meant."""
    known = {ENV_PREFIX + name.upper() for name in Settings.model_fields} | OTHER_VARIABLES
    strangers = sorted(name for name in os.environ if name.startswith(ENV_PREFIX) and name not in known)
    return {name: next(iter(get_close_matches(name, known, n=1)), None) for name in strangers}
