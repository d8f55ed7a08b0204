"""The home page: type reviews or pick samples, and see what the model says, in place."""

from collections.abc import Sequence
from http import HTTPStatus

from flask import Blueprint, Response, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError

from store import jobs, models, workers
from store.jobs import QueueName
from store.reviews import NewReview
from web import samples
from web.context import site
from web.formats import wants_fragment
from web.forms import ReadForm
from web.gate import READING, needs
from web.pages.progress import Progress, progress_of, readings_of
from web.pages.readings import Reading
from web.problems import of_csrf
from web.submission import submit

blueprint = Blueprint("read", __name__)


@blueprint.get("/")
@needs("reviews:read")
def index() -> ResponseReturnValue:
    """Show the empty form."""
    return _page(ReadForm())


@blueprint.post("/")
@needs("reviews:write")
def create() -> ResponseReturnValue:
    """Take the typed reviews and go to their answer (303), or show the form again (422)."""
    form = ReadForm.parse(request.form)
    return _again(form) if form.errors else _to_answer(form.reviews)


@blueprint.errorhandler(CSRFError)
def renew(error: CSRFError) -> ResponseReturnValue:
    """Give the text back in a form that can be sent: who has signed in again meanwhile must not type it again."""
    if request.endpoint != "read.create":
        return of_csrf(error)
    return _again(ReadForm.parse(request.form).out_of_date())


def _again(form: ReadForm) -> ResponseReturnValue:
    if not wants_fragment():
        return _page(form), HTTPStatus.UNPROCESSABLE_ENTITY
    fragment = render_template("read/_form.html", form=form)
    return Response(fragment, HTTPStatus.UNPROCESSABLE_ENTITY, {"HX-Retarget": "#read-form", "HX-Reswap": "outerHTML"})


@blueprint.post("/samples")
@needs("reviews:write")
def create_samples() -> ResponseReturnValue:
    """Take one sample, or all of them, and go to their answer (303)."""
    wanted = request.form.get("sample", "")
    if wanted == "all":
        chosen = samples.all_samples()
    else:
        found = samples.find(wanted)
        chosen = (found,) if found else ()
    return _to_answer(tuple(sample.review for sample in chosen)) if chosen else abort(HTTPStatus.NOT_FOUND)


def _to_answer(reviews: tuple[NewReview, ...]) -> ResponseReturnValue:
    submitted = submit(reviews)
    return redirect(url_for("read.answer", job_id=submitted.job.id), HTTPStatus.SEE_OTHER)


@blueprint.get("/answers/<job_id:job_id>")
@needs(*READING)
def answer(job_id: str) -> ResponseReturnValue:
    """Show what came of one request: the page, or for htmx the part of it that changes."""
    with site().database.read() as db:
        job = jobs.get(db, job_id)
        if job is None:
            abort(HTTPStatus.NOT_FOUND)
        progress, readings = progress_of(db, job), readings_of(db, job)
    if wants_fragment():
        return render_template("read/_answer.html", progress=progress, readings=readings)
    return _page(ReadForm(), progress, readings)


def _page(form: ReadForm, progress: Progress | None = None, readings: Sequence[Reading] = ()) -> str:
    with site().database.read() as db:
        n_listening = workers.listening(db, QueueName.INTERACTIVE)
        model = models.active(db)
    return render_template(
        "read/page.html",
        form=form,
        progress=progress,
        readings=readings,
        n_listening=n_listening,
        model=model,
        chips=samples.chips(),
        n_samples=len(samples.all_samples()),
    )
