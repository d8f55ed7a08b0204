"""`hemline …`, also as `python -m hemline …`."""

import sys

import typer

from hemline.commands import config, datasets, jobs, models, predict, processes, tokens, users
from hemline.commands import doctor as doctors
from hemline.errors import HemlineError
from hemline.output import failure

app = typer.Typer(
    help="Hemline reads clothing reviews: how many stars the words are worth, and how old the writer probably is.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (processes.up, processes.web, processes.worker, processes.sweeper, processes.migrate):
    app.command()(command)
app.command()(predict.predict)
app.command()(doctors.doctor)
app.add_typer(users.app, name="user")
app.add_typer(tokens.app, name="token")
app.add_typer(models.app, name="models")
app.add_typer(jobs.app, name="jobs")
app.add_typer(datasets.app, name="dataset")
app.add_typer(config.app, name="config")


def main() -> None:
    """Run a command. Exit status: 0 done, 1 failed, 2 not understood."""
    try:
        app()
    except Exception as error:
        if not _is_expected(error):
            raise
        failure(error, as_json="--json" in sys.argv)
        sys.exit(1)


def _is_expected(error: Exception) -> bool:
    """Whether the message alone tells the operator enough; anything else is a defect and keeps its traceback."""
    if isinstance(error, HemlineError):
        return True
    # Imported only now: a command that fails has loaded them already.
    from sqlalchemy.exc import OperationalError  # noqa: PLC0415

    from store.errors import StoreError  # noqa: PLC0415

    expected: list[type[Exception]] = [StoreError, OperationalError]
    for module in ("worker.errors", "ml.errors"):
        if module in sys.modules:
            package = module.split(".")[0]
            expected.append(getattr(sys.modules[module], f"{'Model' if package == 'ml' else 'Worker'}Error"))
    return isinstance(error, tuple(expected))


if __name__ == "__main__":
    main()
