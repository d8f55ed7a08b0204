from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from ml import training
from ml.backbones import Backbone
from ml.network import DistilBertForReviews
from ml.plan import BackboneName, ClassWeighting, Method, TrainingPlan, Weighting, recipe
from ml.scoring import score
from ml.text import encode
from ml.training import Run, StepReport
from tests.ml.conftest import made_up_reviews

PLAN = TrainingPlan(backbone=BackboneName.TINY, batch_size=8, epochs=2)


def started(backbone: Backbone, plan: TrainingPlan, n: int) -> Run:
    table = made_up_reviews(n)
    ids = encode(backbone.tokenizer(), table.reviews).ids
    model, examples = training.prepare(plan, backbone, ids, ratings=table.ratings, ages=table.ages)
    if plan.method is Method.LORA:
        training.add_adapters(model, rank=plan.lora_rank)
    return Run(model, examples, plan)


def finished(backbone: Backbone, plan: TrainingPlan, n: int) -> tuple[DistilBertForReviews, list[StepReport]]:
    run, reports = started(backbone, plan, n), list[StepReport]()
    for _ in range(plan.epochs):
        reports.extend(run.steps())
    return run.model, reports


@pytest.mark.parametrize("method", list(Method))
def test_eight_reviews_can_be_learnt_by_heart(small_backbone: Backbone, method: Method) -> None:
    plan = replace(PLAN, method=method, epochs=150, encoder_lr=1e-2, head_lr=1e-2)
    model, reports = finished(small_backbone, plan, 8)
    table = made_up_reviews(8)
    scores = score(model, encode(small_backbone.tokenizer(), table.reviews).ids)
    assert list(scores.logits.argmax(axis=1) + 1) == list(table.ratings)
    assert np.abs(scores.ages - table.ages).max() < 3
    assert reports[-1].total < 0.1 * reports[0].total


def test_every_step_reports_both_losses_and_exactly_their_weighted_sum(small_backbone: Backbone) -> None:
    _, reports = finished(small_backbone, replace(PLAN, rating_weight=0.5, age_weight=3.0), 20)
    assert [report.step for report in reports] == [1, 2, 3, 4, 5, 6]
    assert [report.epoch for report in reports] == [0, 0, 0, 1, 1, 1]
    for report in reports:
        assert report.rating_part == 0.5 * report.rating_loss
        assert report.age_part == 3.0 * report.age_loss
        assert report.total == report.rating_part + report.age_part
        assert report.examples_per_s > 0


def test_the_same_seed_gives_the_same_model_and_another_another(small_backbone: Backbone) -> None:
    first, again = (training.trained_state(finished(small_backbone, PLAN, 20)[0]) for _ in range(2))
    other = training.trained_state(finished(small_backbone, replace(PLAN, seed=1), 20)[0])
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["rating_head.weight"], other["rating_head.weight"])


def test_adapters_leave_the_encoder_alone_and_merge_to_the_same_answers(small_backbone: Backbone) -> None:
    model, _ = finished(small_backbone, PLAN, 20)
    ids = encode(small_backbone.tokenizer(), made_up_reviews(5, seed=9).reviews).ids
    before = score(model, ids)
    frozen = {name: value for name, value in model.state_dict().items() if "base_layer.weight" in name}
    key = "transformer.layer.0.attention.q_lin"
    kept = next(value for name, value in frozen.items() if key in name)
    assert torch.equal(kept, small_backbone.weights[f"{key}.weight"])
    training.merge_adapters(model)
    assert not torch.equal(model.state_dict()[f"distilbert.{key}.weight"], small_backbone.weights[f"{key}.weight"])
    assert np.abs(score(model, ids).logits - before.logits).max() < 1e-5


def test_an_epoch_visits_every_review_once_in_batches_of_like_length() -> None:
    random = np.random.default_rng(0)
    ids = [[7] * int(length) for length in random.integers(5, 100, size=501)]
    batches = list(training._order(ids, plan=replace(PLAN, batch_size=16), epoch=0))
    assert Counter(row for batch in batches for row in batch) == Counter(range(501))
    waste = sum(max(len(ids[row]) for row in batch) - len(ids[row]) for batch in batches for row in batch)
    assert waste < 0.1 * sum(map(len, ids))
    assert batches != list(training._order(ids, plan=replace(PLAN, batch_size=16), epoch=1))


def test_the_rate_rises_then_falls_to_nothing(small_backbone: Backbone) -> None:
    _, reports = finished(small_backbone, replace(PLAN, epochs=10), 40)
    rates = [report.learning_rate for report in reports]
    peak = rates.index(max(rates))
    assert max(rates) == pytest.approx(PLAN.encoder_lr)
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert 0 < rates[-1] < 0.1 * max(rates)


def test_vectors_do_not_decay_and_frozen_weights_are_not_optimised(small_backbone: Backbone) -> None:
    run = started(small_backbone, PLAN, 8)
    for group in run.optimizer.param_groups:
        dimensions = {parameter.ndim > 1 for parameter in group["params"]}
        assert dimensions == {group["weight_decay"] > 0}
    optimised = {id(parameter) for group in run.optimizer.param_groups for parameter in group["params"]}
    assert id(run.model.wide_age.weight) not in optimised


def test_ages_are_standardised_by_the_training_rows(small_backbone: Backbone) -> None:
    run = started(small_backbone, PLAN, 30)
    table = made_up_reviews(30)
    assert run.model.config.age_mean == pytest.approx(float(table.ages.mean()))
    assert run.model.config.age_scale == pytest.approx(float(table.ages.std()))
    assert abs(run.examples.ages.mean()) < 1e-5


def test_a_stopped_epoch_goes_on_where_it_stopped(small_backbone: Backbone) -> None:
    run = started(small_backbone, PLAN, 32)
    steps = run.steps()
    assert [next(steps).step, next(steps).step] == [1, 2]
    assert [report.step for report in run.steps()] == [3, 4]
    assert run.is_between_epochs
    whole = training.trained_state(finished(small_backbone, replace(PLAN, epochs=1), 32)[0])
    assert set(whole) == set(training.trained_state(run.model))


def test_learnt_uncertainty_moves_off_its_start_and_the_parts_still_add_up(small_backbone: Backbone) -> None:
    plan = replace(PLAN, weighting=Weighting.UNCERTAINTY, epochs=10)
    run, reports = started(small_backbone, plan, 20), list[StepReport]()
    for _ in range(plan.epochs):
        reports.extend(run.steps())
    assert reports[0].rating_part == pytest.approx(reports[0].rating_loss)  # both variances begin at 1
    assert reports[-1].rating_part != pytest.approx(reports[-1].rating_loss, rel=1e-3)
    assert all(report.total == report.rating_part + report.age_part for report in reports)
    assert "objective.age_log_variance" in run.state()
    assert not [name for name in training.trained_state(run.model) if "log_variance" in name]


@pytest.mark.parametrize("weighting", list(Weighting))
def test_a_head_of_weight_nothing_learns_nothing(small_backbone: Backbone, weighting: Weighting) -> None:
    plan = replace(PLAN, age_weight=0, weighting=weighting)
    run = started(small_backbone, plan, 20)
    before = run.model.age_head.weight.detach().clone()
    reports = list(run.steps())
    after = run.model.age_head.weight.detach()
    assert all(report.age_part == 0 for report in reports)
    shrunk = after / before  # weight decay alone, the same for all
    assert torch.allclose(shrunk, shrunk[0, 0].expand_as(shrunk), atol=1e-4)


def test_class_weights_change_what_is_learnt(small_backbone: Backbone) -> None:
    plain, _ = finished(small_backbone, PLAN, 20)
    weighted, _ = finished(small_backbone, replace(PLAN, class_weighting=ClassWeighting.INVERSE_FREQUENCY), 20)
    assert not torch.equal(plain.rating_head.weight, weighted.rating_head.weight)


def test_the_recipes_are_the_measured_ones() -> None:
    lora = recipe(BackboneName.MINILM, Method.LORA)
    full = recipe(BackboneName.DISTILBERT, Method.FULL)
    assert (lora.epochs, lora.encoder_lr, lora.age_weight, lora.lora_rank) == (3, 1e-3, 2.0, 8)
    assert (full.epochs, full.encoder_lr, full.head_lr) == (2, 1e-4, 1e-3)
