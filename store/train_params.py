"""What a training job may be asked for, checked where it is asked, without PyTorch.

Names and ranges are those of `ml.plan.TrainingPlan`, which `store` cannot import; a test holds the two together. What
is left out is the measured recipe's for the backbone and method.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from store.errors import TrainParamsError

LearningRate = Annotated[float, Field(ge=1e-7, le=0.1, allow_inf_nan=False)]
HeadWeight = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]


class TrainParams(BaseModel):
    """The parameters of a job of kind `train`. Each field's description is its documentation."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    dataset_id: int = Field(ge=1, le=2**63 - 1, description="Dataset version to train on.")
    backbone: Literal["minilm-l6", "distilbert-base-uncased", "tiny"] | None = Field(
        default=None, description="Encoder to start from; HEMLINE_BACKBONE when left out."
    )
    method: Literal["lora", "full"] = Field(default="lora", description="Low-rank adapters, or all weights.")
    epochs: int | None = Field(default=None, ge=1, le=200, description="Passes over the training rows.")
    batch_size: int | None = Field(default=None, ge=1, le=1024, description="Reviews per step.")
    encoder_lr: LearningRate | None = Field(default=None, description="Peak learning rate of encoder or adapters.")
    head_lr: LearningRate | None = Field(default=None, description="Peak learning rate of pooling and heads.")
    max_length: int | None = Field(default=None, ge=8, le=512, description="Word pieces read of a review.")
    rating_weight: HeadWeight | None = Field(default=None, description="Of the rating head; 0 switches it off.")
    age_weight: HeadWeight | None = Field(default=None, description="Of the age head; 0 switches it off.")
    weighting: Literal["fixed", "uncertainty"] = Field(default="fixed", description="How two losses become one.")
    class_weighting: Literal["none", "inverse_frequency"] = Field(
        default="none", description="Whether rare stars count more."
    )
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="Of initial heads, order and dropout.")

    @model_validator(mode="after")
    def _a_head_is_on(self) -> Self:
        if self.rating_weight == 0 and self.age_weight == 0:
            raise ValueError("rating_weight and age_weight must not both be 0")
        return self

    def choices(self) -> dict[str, Any]:
        """What was asked for of a plan's fields; what was left out is absent."""
        return self.model_dump(exclude={"dataset_id"}, exclude_none=True)


def parse(params: dict[str, Any]) -> TrainParams:
    """Check a job's parameters.

    Raises:
        TrainParamsError: one is unknown, missing or out of its range; the message names it.
    """
    try:
        return TrainParams.model_validate(params)
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0]) if first["loc"] else None
        reason = str(first["ctx"]["error"]) if first["type"] == "value_error" else first["msg"]
        raise TrainParamsError(field, reason) from None
