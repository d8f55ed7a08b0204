"""`/api/v1/models`: which model versions there are, how good they are, which one serves."""

from http import HTTPStatus

from apiflask import APIBlueprint
from flask import Response
from flask.typing import ResponseReturnValue

from store import honesty, model_changes, models
from web import registry
from web.api.views import page_of
from web.context import site
from web.gate import READING, RELEASING, needs
from web.inputs import PageIn, PromoteIn, RollbackIn
from web.outputs import ModelChangeOut, ModelDetailOut, ModelList, ModelOut
from web.request import optional_body

VERSION = "<string(maxlength=64):version>"

blueprint = APIBlueprint("api_models", __name__, url_prefix="/api/v1/models", tag="Models")


@blueprint.get("")
@blueprint.input(PageIn, location="query")
@blueprint.output(ModelList)
@blueprint.doc(summary="List the model versions", security="token")
@needs(*READING)
def index(query_data: PageIn) -> ModelList:
    """List the registered model versions with their evaluation records."""
    with site().database.read() as db:
        return ModelList.model_validate(page_of(models.list_models(db), query_data, key=lambda model: model.version))


@blueprint.get(f"/{VERSION}")
@blueprint.output(ModelDetailOut)
@blueprint.doc(summary="Look at one model version", security="token")
@needs(*READING)
def show(version: str) -> ModelDetailOut:
    """Show one model version with its evaluation record, what it was made of, and when it served."""
    return _standing(version)


@blueprint.post(f"/{VERSION}/promote")
@blueprint.input(PromoteIn)
@blueprint.output(ModelDetailOut)
@blueprint.doc(
    summary="Put a model version into service",
    security="token",
    responses={409: "It does not beat TF-IDF on rating, and `override_reason` does not say why it shall serve anyway"},
)
@needs("train", roles=RELEASING)
@optional_body
def promote(version: str, json_data: PromoteIn) -> ModelDetailOut:
    """Put a version into service; workers change over between two batches. Harmless when it serves already."""
    registry.promote(version, reason=json_data.reason, override_reason=json_data.override_reason)
    return _standing(version)


@blueprint.post("/rollback")
@blueprint.input(RollbackIn)
@blueprint.output(ModelDetailOut)
@blueprint.doc(
    summary="Take the last promotion back",
    security="token",
    responses={409: "No version served before, or another one than `serving` serves"},
)
@needs("train", roles=RELEASING)
@optional_body
def rollback(json_data: RollbackIn) -> ModelDetailOut:
    """Put the version back that served before the last promotion; again goes one further back. Answers that version."""
    return _standing(registry.rollback(reason=json_data.reason, serving=json_data.serving).version)


@blueprint.post(f"/{VERSION}/archive")
@blueprint.output(ModelDetailOut)
@blueprint.doc(summary="Lay a model version aside", security="token", responses={409: "It serves"})
@needs("train", roles=RELEASING)
def archive(version: str) -> ModelDetailOut:
    """Lay a version aside; its files and predictions stay."""
    return _standing(registry.archive(version).version)


@blueprint.delete(f"/{VERSION}")
@blueprint.doc(
    summary="Delete a model version",
    security="token",
    responses={204: "It is gone", 409: "It serves, a worker has it loaded, or predictions refer to it"},
)
@needs("train", roles=RELEASING)
def delete(version: str) -> ResponseReturnValue:
    """Remove a version and its files."""
    registry.delete(version)
    return "", HTTPStatus.NO_CONTENT


@blueprint.get(f"/{VERSION}/download")
@blueprint.doc(
    summary="Download a model version",
    security="token",
    responses={200: "A ZIP", 409: "Its files are not the registered ones"},
)
@needs("train")
def download(version: str) -> Response:
    """Download a version as a ZIP of its Hugging Face folder, model card included; the ZIP is not compressed."""
    return registry.download(version)


def _standing(version: str) -> ModelDetailOut:
    with site().database.read() as db:
        model = registry.find(db, version)
        changes = model_changes.list_changes(db, version)
    return ModelDetailOut(
        **ModelOut.model_validate(model).model_dump(),
        objection=honesty.objection(model.evaluation),
        changes=tuple(map(ModelChangeOut.model_validate, changes)),
    )
