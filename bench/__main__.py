"""The comparisons' command line: `python -m bench <comparison> [--json]`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ml.plan import BackboneName

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)


@app.callback()
def comparisons() -> None:
    """Measured comparisons; each takes minutes and wants an idle machine."""


@app.command()
def engine(  # noqa: PLR0917 - the parameters are the command's options
    csv: Annotated[Path | None, typer.Option("--csv", help="Reviews; the samples if absent.")] = None,
    reviews: Annotated[int, typer.Option("--reviews", min=1, help="How many; repeated if the file has fewer.")] = 500,
    backbone: Annotated[BackboneName, typer.Option("--backbone")] = BackboneName.MINILM,
    engine: Annotated[str, typer.Option("--engine", help="torch is the only one yet.")] = "torch",
    rounds: Annotated[int, typer.Option("--rounds", min=5)] = 5,
    threads: Annotated[int | None, typer.Option("--threads", min=1)] = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Reading: one call a review, transformers' pipeline, and our engine, interleaved."""
    from bench import engine as comparison  # noqa: PLC0415 - so that --help answers at once

    if engine != "torch":
        raise typer.BadParameter("only torch", param_hint="--engine")
    report = asdict(comparison.compare(csv, n_reviews=reviews, backbone=backbone, rounds=rounds, threads=threads))
    if as_json:
        typer.echo(json.dumps(report))
        return
    for name, value in report.items():
        typer.echo(f"{name:>24}: {value:.4g}" if isinstance(value, float) else f"{name:>24}: {value}")


if __name__ == "__main__":
    app()
