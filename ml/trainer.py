"""A training from its start or its last checkpoint to the best model: steps, validation, checkpoints, stop, pause."""

from collections.abc import Callable
from dataclasses import dataclass

from ml.checkpoint import Best, Checkpoints
from ml.errors import PausedError
from ml.training import Run, StepReport, trained_state
from ml.validation import Held, Metrics, validate


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """The model on the validation rows after a step; `is_best` says whether it is the best so far."""

    step: int
    epoch: int
    metrics: Metrics
    merit: float | None
    is_best: bool


def _ignore(_said: object) -> None:
    pass


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Watch:
    """Who watches a training; any of these may raise to abort it.

    Attributes:
        on_phase: hears in words what begins.
        on_start: hears after which step it begins: 0, or that of the checkpoint that it goes on from.
        on_step: hears of every step.
        on_evaluation: hears of every validation.
        before_checkpoint: what was reported up to now will not be reported again: it has to be kept by now.
        wants_stop: whether to end now with the best model so far.
        wants_pause: whether to write a checkpoint and raise `PausedError`.
    """

    on_phase: Callable[[str], None] = _ignore
    on_start: Callable[[int], None] = _ignore
    on_step: Callable[[StepReport], None] = _ignore
    on_evaluation: Callable[[EvaluationReport], None] = _ignore
    before_checkpoint: Callable[[], None] = lambda: None
    wants_stop: Callable[[], bool] = _never
    wants_pause: Callable[[], bool] = _never


class Trainer:
    """Trains a run to its end."""

    def __init__(
        self,
        run: Run,
        watch: Watch,
        *,
        held: Held | None = None,
        checkpoints: Checkpoints | None = None,
        checkpoint_every: int | None = None,
    ) -> None:
        """Take a run that has not begun.

        Args:
            run: what to train.
            watch: who watches.
            held: validation rows; without any the last state is the best.
            checkpoints: where to go on from and to save to, after every epoch.
            checkpoint_every: steps between further checkpoints within an epoch.
        """
        self._run, self._watch, self._held = run, watch, held
        self._checkpoints, self._every = checkpoints, checkpoint_every
        self._best: Best | None = None

    def train(self) -> None:
        """Leave the run's model at the best state: the highest merit on the validation rows, the earliest of equals.

        Raises:
            PausedError: the watch wanted a pause; the newest checkpoint holds all that was done.
            CheckpointError: the checkpoints are those of another training.
        """
        run = self._run
        if self._checkpoints is not None:
            self._best = self._checkpoints.restore(run)
        self._watch.on_start(run.step)
        is_stopped = False
        while run.step < run.n_steps and not is_stopped:
            self._watch.on_phase(f"training, epoch {run.step // run.steps_per_epoch + 1} of {run.plan.epochs}")
            is_stopped = self._epoch()
            self._evaluate()
            self._save()
            if run.step < run.n_steps and not is_stopped and self._watch.wants_pause():
                raise PausedError(f"paused after step {run.step} of {run.n_steps}")
        if self._best is not None and self._best.step != run.step:
            run.load_state(self._best.trained)

    def _epoch(self) -> bool:
        """Train over what is left of an epoch; return whether the watch stopped it."""
        run = self._run
        for report in run.steps():
            self._watch.on_step(report)
            if self._watch.wants_stop():
                return True
            if run.is_between_epochs:  # its evaluation comes first
                break
            if self._watch.wants_pause():
                self._save()
                raise PausedError(f"paused after step {run.step} of {run.n_steps}")
            if self._every is not None and run.step % self._every == 0:
                self._save()
        return False

    def _evaluate(self) -> None:
        if self._held is None:
            return
        run = self._run
        metrics = validate(run.model, self._held)
        merit = metrics.merit(run.plan)
        is_best = self._best is None or merit is None or self._best.merit is None or merit > self._best.merit
        if is_best:
            trained = {name: tensor.cpu() for name, tensor in trained_state(run.model).items()}
            self._best = Best(run.step, merit, trained)
        epoch = (run.step - 1) // run.steps_per_epoch
        self._watch.on_evaluation(EvaluationReport(run.step, epoch, metrics, merit, is_best))

    def _save(self) -> None:
        if self._checkpoints is not None:
            self._watch.before_checkpoint()
            self._checkpoints.save(self._run, self._best)
