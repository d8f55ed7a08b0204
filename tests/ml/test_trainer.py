from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ml import candidate, checkpoint
from ml.backbones import Backbone
from ml.checkpoint import Checkpoints
from ml.errors import CheckpointError, PausedError
from ml.plan import BackboneName, Method, TrainingPlan, Weighting
from ml.text import encode
from ml.trainer import EvaluationReport, Trainer, Watch
from ml.training import Run, StepReport
from ml.validation import Held, Metrics
from tests.ml.conftest import made_up_reviews

PLAN = TrainingPlan(backbone=BackboneName.TINY, batch_size=8, epochs=3, encoder_lr=5e-3, head_lr=5e-3)
N_ROWS = 40
"""Five steps an epoch."""
STEPS_PER_EPOCH = 5


class KilledError(Exception):
    """Ends a training from outside, as a signal would: nothing is saved on the way out."""


def held(backbone: Backbone) -> Held:
    table = made_up_reviews(30, seed=5)
    return Held(encode(backbone.tokenizer(), table.reviews).ids, table.ratings, table.ages)


def trained(
    backbone: Backbone,
    plan: TrainingPlan,
    *,
    folder: Path | None = None,
    watch: Watch | None = None,
    every: int | None = None,
) -> Run:
    torch.manual_seed(99)  # whatever the process drew before
    run = candidate.prepare(made_up_reviews(N_ROWS), plan, backbone)
    kept = None if folder is None else Checkpoints(folder, identity="this")
    Trainer(run, watch or Watch(), held=held(backbone), checkpoints=kept, checkpoint_every=every).train()
    return run


def kill_after(step: int) -> Callable[[StepReport], None]:
    def on_step(report: StepReport) -> None:
        if report.step == step:
            raise KilledError

    return on_step


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


@pytest.mark.parametrize("plan", [PLAN, replace(PLAN, method=Method.FULL, weighting=Weighting.UNCERTAINTY)])
@pytest.mark.parametrize("step", [1, 4, 5, 7, 10, 13, 15])
def test_a_killed_training_resumes_to_the_same_weights_bit_by_bit(
    small_backbone: Backbone, tmp_path: Path, plan: TrainingPlan, step: int
) -> None:
    """Killed before the first checkpoint, in the middle of an epoch, at its end and at the very last step."""
    whole = trained(small_backbone, plan, folder=tmp_path / "whole", every=2)
    with pytest.raises(KilledError):
        trained(small_backbone, plan, folder=tmp_path / "killed", every=2, watch=Watch(on_step=kill_after(step)))
    steps: list[StepReport] = []
    resumed = trained(small_backbone, plan, folder=tmp_path / "killed", every=2, watch=Watch(on_step=steps.append))
    assert_same(whole.state(), resumed.state())
    assert torch.equal(whole.model.wide_age.weight, resumed.model.wide_age.weight)
    assert steps[0].step <= step + 1
    if step > 2:
        assert steps[0].step > 1


def test_checkpoints_change_nothing_of_what_is_learnt(small_backbone: Backbone, tmp_path: Path) -> None:
    assert_same(trained(small_backbone, PLAN).state(), trained(small_backbone, PLAN, folder=tmp_path, every=1).state())


def test_a_pause_keeps_all_that_was_done(small_backbone: Backbone, tmp_path: Path) -> None:
    first: list[StepReport] = []
    watch = Watch(on_step=first.append, wants_pause=lambda: len(first) == 7)
    with pytest.raises(PausedError, match="after step 7 of 15"):
        trained(small_backbone, PLAN, folder=tmp_path, watch=watch)
    rest: list[StepReport] = []
    resumed = trained(small_backbone, PLAN, folder=tmp_path, watch=Watch(on_step=rest.append))
    assert [report.step for report in first + rest] == list(range(1, 16))
    assert_same(resumed.state(), trained(small_backbone, PLAN).state())


def test_a_pause_at_the_end_of_an_epoch_comes_after_its_evaluation(small_backbone: Backbone, tmp_path: Path) -> None:
    steps, said = list[StepReport](), list[EvaluationReport]()
    watch = Watch(on_step=steps.append, on_evaluation=said.append, wants_pause=lambda: len(steps) == STEPS_PER_EPOCH)
    with pytest.raises(PausedError):
        trained(small_backbone, PLAN, folder=tmp_path, watch=watch)
    trained(small_backbone, PLAN, folder=tmp_path, watch=Watch(on_evaluation=said.append))
    assert [report.step for report in said] == [5, 10, 15]


def test_each_epoch_is_evaluated_and_the_best_state_is_kept(small_backbone: Backbone) -> None:
    """Rates so high that later epochs are worse than the first good one."""
    said, states = list[EvaluationReport](), dict[int, dict[str, Tensor]]()
    plan = replace(PLAN, epochs=6, encoder_lr=0.05, head_lr=0.05)
    run = candidate.prepare(made_up_reviews(N_ROWS), plan, small_backbone)

    def on_evaluation(report: EvaluationReport) -> None:
        said.append(report)
        states[report.step] = run.state()

    Trainer(run, Watch(on_evaluation=on_evaluation), held=held(small_backbone)).train()
    assert [(report.step, report.epoch) for report in said] == [(5 * (n + 1), n) for n in range(6)]
    best = max(said, key=lambda report: (report.merit or 0.0, -report.step))
    assert [report.step for report in said if report.is_best][-1] == best.step
    assert_same(run.state(), states[best.step])
    assert best.merit == (best.metrics.qwk or 0) + (best.metrics.age_r2 or 0)


def test_stop_and_keep_ends_with_the_best_so_far(small_backbone: Backbone) -> None:
    steps, said = list[StepReport](), list[EvaluationReport]()
    watch = Watch(on_step=steps.append, on_evaluation=said.append, wants_stop=lambda: len(steps) == 7)
    trained(small_backbone, PLAN, watch=watch)
    assert len(steps) == 7
    assert [report.step for report in said] == [5, 7]


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(small_backbone: Backbone, tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        trained(small_backbone, PLAN, folder=tmp_path, every=2, watch=Watch(on_step=kill_after(9)))
    newest = max(tmp_path.glob("step-*"))
    weights = newest / checkpoint.MODEL
    weights.write_bytes(weights.read_bytes()[:-1])
    steps: list[StepReport] = []
    resumed = trained(small_backbone, PLAN, folder=tmp_path, every=2, watch=Watch(on_step=steps.append))
    assert newest.name == "step-000000008"
    assert steps[0].step == 7
    assert_same(resumed.state(), trained(small_backbone, PLAN).state())


def test_only_the_newest_checkpoints_are_kept_and_nothing_half_written(
    small_backbone: Backbone, tmp_path: Path
) -> None:
    trained(small_backbone, PLAN, folder=tmp_path, every=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000014", "step-000000015"]


def test_the_checkpoints_of_another_training_are_refused(small_backbone: Backbone, tmp_path: Path) -> None:
    trained(small_backbone, PLAN, folder=tmp_path)
    run = candidate.prepare(made_up_reviews(N_ROWS), PLAN, small_backbone)
    with pytest.raises(CheckpointError, match="other choices or data"):
        Checkpoints(tmp_path, identity="that").restore(run)


def test_merit_counts_the_heads_that_are_on_and_can_be_judged() -> None:
    both = Metrics(qwk=0.5, age_r2=0.25)
    assert both.merit(PLAN) == 0.75
    assert both.merit(replace(PLAN, age_weight=0)) == 0.5
    assert Metrics(age_r2=0.25).merit(PLAN) == 0.25
    assert Metrics().merit(PLAN) is None
