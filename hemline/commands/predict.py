"""`hemline predict`: read one review as the API would, through the queue."""

from typing import TYPE_CHECKING, Annotated

import typer

from hemline.commands import opened
from hemline.commands.waiting import wait_for_end
from hemline.errors import HemlineError
from hemline.output import Json, answer

if TYPE_CHECKING:
    from store.reviews import NewReview, PredictionView


def predict(
    text: Annotated[str, typer.Option(help="What the review says.")],
    title: Annotated[str | None, typer.Option(help="Its title.")] = None,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for the answer.")] = 30.0,
    as_json: Json = False,
) -> None:
    """Store a review, wait for a worker to read it, and print what the model says."""
    from store import jobs, reviews
    from store.jobs import Actor
    from worker.queue import Doorbell

    review = _review(text, title)
    settings = opened.settings()
    with opened.migrated_database() as database:
        with database.begin() as session:
            submitted = jobs.submit_reviews(
                session,
                [review],
                actor=Actor(user_id=None, token_id=None, name="hemline predict"),
                queue_limit=settings.queue_limit,
            )
        if settings.redis_url is not None:
            Doorbell(settings).ring(submitted.job.id, submitted.job.queue)
        job = wait_for_end(database, submitted.job, within_s=wait)
        with database.read() as session:
            read = reviews.get_review(session, submitted.review_ids[0])
    if read is None or read.prediction is None:
        raise HemlineError(f"job {job.id} ended as {job.state}" + (f": {job.error.message}" if job.error else ""))
    answer(read, text=_in_words(read.prediction), as_json=as_json)


def _review(text: str, title: str | None) -> "NewReview":
    from pydantic import ValidationError

    from web.inputs import ReviewIn

    try:
        return ReviewIn(text=text, title=title).to_new()
    except ValidationError as error:
        first = error.errors()[0]
        raise typer.BadParameter(first["msg"], param_hint=f"--{first['loc'][0]}") from None


def _in_words(said: "PredictionView") -> str:
    bars = "\n".join(
        f"  {stars} {'★' * stars:5} {probability:6.1%} {'█' * round(30 * probability)}"
        for stars, probability in enumerate(said.rating_probabilities, start=1)
    )
    return (
        f"{said.rating} stars (expected {said.expected_stars:.2f})\n{bars}\n"
        f"age about {said.age:.0f}, between {said.age_low:.0f} and {said.age_high:.0f} nine times in ten: "
        "age from text is a weak guess\n"
        f"model {said.model_version}"
    )
