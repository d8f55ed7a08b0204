"""The one typed settings object. Only process entry points call `load`; everything else is handed the result."""

from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import URL

from store.errors import SettingsError

ENV_PREFIX = "HEMLINE_"


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
    device: str = Field(default="auto", description="Where the model runs: auto, cpu, cuda or cuda:N.")
    backbone: str = Field(default="minilm-l6", description="Default encoder of a training.")
    log_format: str = Field(default="console", pattern="^(console|json)$", description="console or json.")
    sqlite_synchronous: str = Field(
        default="NORMAL", pattern="^(NORMAL|FULL)$", description="FULL also survives power loss, at a price."
    )
    queue_limit: int = Field(default=100_000, ge=1, description="Jobs that may wait before new ones get 429.")
    token_rate_per_minute: int = Field(default=6_000, ge=1, description="API requests a token may make a minute.")
    login_rate_per_minute: int = Field(default=10, ge=1, description="Sign-in attempts an address may make a minute.")
    web_threads: int = Field(default=16, ge=2, description="Threads of the web server; half of them may wait.")
    lease_s: float = Field(default=15.0, ge=1, description="Seconds a worker may hold a job without renewing it.")
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
        name = ENV_PREFIX + str(first["loc"][0]).upper()
        raise SettingsError(f"{name}: {first['msg']}") from None
