"""The model's command line, `python -m ml train | evaluate | …`, without queue, site or database."""

import json
import logging
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ml.errors import DataError, ModelError, PlanError
from ml.plan import BackboneName, ClassWeighting, Method, Weighting, plan_of

# The heavy imports are inside the commands, so that `--help` answers at once.
if TYPE_CHECKING:
    from ml.trainer import EvaluationReport
    from ml.training import StepReport

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)

Csv = Annotated[Path, typer.Option("--csv", help="CSV with the headers of the Women's E-Commerce Clothing Reviews.")]
Table = Annotated[
    Path, typer.Option("--csv", help="CSV with the headers of the Women's E-Commerce Clothing Reviews, or .parquet.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else on stdout.")]
Model = Annotated[str, typer.Option("--model", help='"starter", or the folder of a model version.')]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="Processor threads; PyTorch's choice if absent.")]


@app.command()
def train(  # noqa: PLR0917 - the parameters are the command's options
    csv: Table,
    output: Annotated[Path, typer.Option("--output", help="Folder of the new model version.")],
    backbone: Annotated[BackboneName, typer.Option("--backbone")] = BackboneName.MINILM,
    method: Annotated[Method, typer.Option("--method")] = Method.LORA,
    epochs: Annotated[int | None, typer.Option("--epochs")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", help="Reviews per step.")] = None,
    encoder_lr: Annotated[float | None, typer.Option("--encoder-lr", help="Peak, of encoder or adapters.")] = None,
    head_lr: Annotated[float | None, typer.Option("--head-lr", help="Peak, of pooling and heads.")] = None,
    max_length: Annotated[int | None, typer.Option("--max-length", help="Word pieces read of a review.")] = None,
    rating_weight: Annotated[float | None, typer.Option("--rating-weight", help="0 switches the head off.")] = None,
    age_weight: Annotated[float | None, typer.Option("--age-weight", help="0 switches the head off.")] = None,
    weighting: Annotated[Weighting, typer.Option("--weighting")] = Weighting.FIXED,
    class_weighting: Annotated[ClassWeighting, typer.Option("--class-weighting")] = ClassWeighting.NONE,
    warm_up: Annotated[float | None, typer.Option("--warm-up", help="Share of the steps.")] = None,
    weight_decay: Annotated[float | None, typer.Option("--weight-decay")] = None,
    max_grad_norm: Annotated[float | None, typer.Option("--max-grad-norm")] = None,
    lora_rank: Annotated[int | None, typer.Option("--lora-rank")] = None,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    split_seed: Annotated[int | None, typer.Option("--split-seed", help="Which rows are kept apart.")] = None,
    checkpoints: Annotated[
        Path | None, typer.Option("--checkpoints", help="Folder to save to after every epoch, and to go on from.")
    ] = None,
    checkpoint_every: Annotated[
        int | None, typer.Option("--checkpoint-every", min=1, help="And every N steps.")
    ] = None,
    backbone_folder: Annotated[
        Path | None,
        typer.Option("--backbone-folder", envvar="HEMLINE_BACKBONE_FOLDER", help="Of its files."),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")] = "cpu",
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Train on a table, judge on a part of it kept apart, and write a complete model version.

    Numbers that are absent are those of the recipe for backbone and method. Under `torchrun` the processes train one
    model together and the first writes it.
    """
    from ml import artifact, candidate, data, team  # noqa: PLC0415
    from ml.trainer import Watch  # noqa: PLC0415

    _use_threads(threads)
    chosen = {
        "epochs": epochs,
        "batch_size": batch_size,
        "encoder_lr": encoder_lr,
        "head_lr": head_lr,
        "max_length": max_length,
        "rating_weight": rating_weight,
        "age_weight": age_weight,
        "weighting": weighting,
        "class_weighting": class_weighting,
        "warm_up": warm_up,
        "weight_decay": weight_decay,
        "max_grad_norm": max_grad_norm,
        "lora_rank": lora_rank,
        "split_seed": split_seed,
    }
    try:
        plan = plan_of(backbone, method, seed=seed, **chosen)
    except PlanError as error:
        raise typer.BadParameter(str(error)) from error
    members = team.join(device)
    around = candidate.Surroundings(
        backbone_folder=backbone_folder, checkpoints=checkpoints, checkpoint_every=checkpoint_every, team=members
    )
    table, data_sha256 = data.read_table(csv), artifact.sha256(csv)
    if not members.is_first:
        candidate.assist(table, plan, data_sha256=data_sha256, around=around)
        team.leave(members)  # a process that ends while its exchange still runs is aborted
        return
    watch = Watch(on_step=_show_step, on_evaluation=_show_evaluation)
    made = candidate.make(table, plan, data_sha256=data_sha256, watch=watch, surroundings=around)
    team.leave(members)
    manifest = candidate.write(made, output)
    answer = {"model_version": manifest.version, "folder": str(output), "evaluation": made.record}
    _answer(answer, as_json=as_json, lines=[f"{manifest.version} in {output}", *_figures(made.record)])


@app.command()
def evaluate(csv: Table, model: Model = "starter", threads: Threads = None, as_json: Json = False) -> None:
    """Judge a model on a labelled CSV, beside the baselines that were fitted with it. Nothing is fitted on the CSV."""
    from ml import baselines, data, evaluation, inference  # noqa: PLC0415

    table = data.read_table(csv)
    with _version_folder(model) as folder:
        predictor = inference.Predictor.load(folder, threads=threads)
        rivals = baselines.load(folder)
    record = evaluation.evaluate(table, inference.readings(predictor.predict(table.reviews)), rivals)
    answer = {"model": asdict(predictor.description), **record}
    _answer(answer, as_json=as_json, lines=[predictor.description.model_version, *_figures(record)])


@app.command()
def predict(  # noqa: PLR0917 - the parameters are the command's options
    model: Model = "starter",
    text: Annotated[str | None, typer.Option("--text", help="One review.")] = None,
    title: Annotated[str | None, typer.Option("--title", help="Its title.")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Or a CSV with a column `Review Text`.")] = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Read one review, or every review of a CSV (rows without text are left out)."""
    from ml import data, inference  # noqa: PLC0415

    if (text is None) == (csv is None):
        raise typer.BadParameter("give either --text or --csv")
    if text is not None and not text.strip():
        raise DataError("--text is empty")
    reviews = data.read_csv(csv).reviews if csv else (inference.ReviewText(title, text or ""),)
    with _version_folder(model) as folder:
        predictor = inference.Predictor.load(folder, threads=threads)
    predictions = predictor.predict(reviews)
    lines = [
        f"{one.rating} stars ({one.expected_stars:.2f} expected), "
        f"age {one.age:.0f} ({one.age_low:.0f} to {one.age_high:.0f})"
        for one in predictions
    ]
    answer = {
        "model": asdict(predictor.description),
        "predictions": [asdict(one) for one in predictions],
    }
    _answer(answer, as_json=as_json, lines=lines)


@app.command()
def explain(
    text: Annotated[str, typer.Option("--text", help="One review.")],
    title: Annotated[str | None, typer.Option("--title", help="Its title.")] = None,
    model: Model = "starter",
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Read one review and say how much each word moved the stars and the age."""
    from ml import inference  # noqa: PLC0415

    if not text.strip():
        raise DataError("--text is empty")
    review = inference.ReviewText(title, text)
    with _version_folder(model) as folder:
        predictor = inference.Predictor.load(folder, threads=threads)
    prediction, said = predictor.explain(review)
    answer = {
        "model": asdict(predictor.description),
        "prediction": asdict(prediction),
        "explanation": asdict(said),
    }
    parts = {"title": title or "", "text": text}
    rows = [
        (said.baseline.stars, said.baseline.years, "without words"),
        *((word.stars, word.years, parts[word.part][word.start : word.end]) for word in said.words),
        (said.unexplained.stars, said.unexplained.years, "unexplained"),
        (prediction.expected_stars, prediction.age, "in all"),
    ]
    lines = [f"{stars:+7.2f} stars {years:+7.2f} years  {name}" for stars, years, name in rows]
    _answer(answer, as_json=as_json, lines=lines)


@app.command()
def starter(
    csv: Csv,
    work: Annotated[Path, typer.Option("--work", help="Keeps finished runs; none is repeated.")] = Path("var/starter"),
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Make the starter model that the repository ships: three judged seeds, the first is shipped. Hours on a CPU."""
    from ml.starter import build  # noqa: PLC0415

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    _use_threads(threads)
    manifest = build.build(csv, work=work, on_step=_show_step)
    _answer(asdict(manifest), as_json=as_json, lines=[f"{manifest.version} written"])


@contextmanager
def _version_folder(model: str) -> Iterator[Path]:
    if model != "starter":
        yield Path(model)
        return
    from ml import starter as shipped  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="hemline-") as folder:
        yield shipped.install(Path(folder) / shipped.VERSION)


def _use_threads(threads: int | None) -> None:
    import torch  # noqa: PLC0415

    if threads is not None:
        torch.set_num_threads(threads)


def _show_step(step: "StepReport") -> None:
    if step.step % 25 == 0 or step.step == step.n_steps:
        typer.echo(
            f"step {step.step}/{step.n_steps}: rating {step.rating_loss:.3f}, age {step.age_loss:.3f}, "
            f"total {step.total:.3f}",
            err=True,
        )


def _show_evaluation(said: "EvaluationReport") -> None:
    figures = ", ".join(f"{name} {value:.3f}" for name, value in asdict(said.metrics).items() if value is not None)
    typer.echo(f"validation after step {said.step}: {figures}{' (best so far)' if said.is_best else ''}", err=True)


def _figures(record: dict[str, Any]) -> list[str]:
    rows = {"model": record, **record["baselines"]}
    return [
        f"{name:>9}: "
        + ", ".join(f"{head} {key} {value:.3f}" for head in ("rating", "age") for key, value in _scalars(row[head]))
        for name, row in rows.items()
    ]


def _scalars(figures: dict[str, Any]) -> list[tuple[str, float]]:
    return [(key, value) for key, value in figures.items() if isinstance(value, float)]


def _answer(answer: dict[str, Any], *, as_json: bool, lines: list[str]) -> None:
    typer.echo(json.dumps(answer, allow_nan=False) if as_json else "\n".join(lines))


def main() -> None:
    """Run the command line: 0 done, 1 failed with one clear line, 2 wrong usage."""
    try:
        app()
    except ModelError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
