from dataclasses import fields, replace

import pytest

from ml.errors import PlanError
from ml.plan import RANGES, BackboneName, Method, TrainingPlan, plan_of, recipe


@pytest.mark.parametrize("name", sorted(RANGES))
def test_a_number_beyond_either_end_is_refused_by_name(name: str) -> None:
    allowed = RANGES[name]
    for outside in (allowed.low - 1, allowed.high + 1, float("nan")):
        with pytest.raises(PlanError, match=f"^{name}: must be from") as refused:
            replace(TrainingPlan(), **{name: outside})
        assert refused.value.field == name
    for end in (allowed.low, allowed.high):
        assert getattr(replace(TrainingPlan(), **{name: end}), name) == end


def test_every_number_of_a_plan_has_a_range() -> None:
    numbers = {field.name for field in fields(TrainingPlan) if isinstance(field.default, int | float)}
    assert numbers == set(RANGES)


def test_one_head_may_be_switched_off_but_not_both() -> None:
    assert replace(TrainingPlan(), rating_weight=0).age_weight > 0
    with pytest.raises(PlanError, match="nothing would be trained"):
        replace(TrainingPlan(), rating_weight=0, age_weight=0)


def test_what_is_not_chosen_is_the_recipes() -> None:
    plan = plan_of(BackboneName.MINILM, Method.FULL, epochs=None, batch_size=16)
    assert plan == replace(recipe(BackboneName.MINILM, Method.FULL), batch_size=16)
