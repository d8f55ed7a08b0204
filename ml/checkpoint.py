"""Checkpoints of a training: folders that are whole or not there, as safetensors and JSON."""

import json
import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ml import artifact
from ml.errors import CheckpointError
from ml.training import Run

N_KEPT = 2
"""Newest checkpoints kept: should the last prove damaged, the one before it serves."""
STATE, MODEL, OPTIMIZER, RANDOM, BEST = (
    "state.json",
    "model.safetensors",
    "optimizer.safetensors",
    "random.safetensors",
    "best.safetensors",
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Best:
    """The best model of a training so far.

    Attributes:
        step: after which it stood.
        merit: see `ml.validation`; None where no validation row could judge it.
        trained: its trained tensors, on the CPU.
    """

    step: int
    merit: float | None
    trained: dict[str, Tensor]


class Checkpoints:
    """The checkpoints of one training in a folder of their own."""

    def __init__(self, folder: Path, *, identity: str) -> None:
        """Take the folder, and what tells this training from any other: only its own checkpoints are gone on from."""
        self._folder, self._identity = folder, identity

    def save(self, run: Run, best: Best | None) -> None:
        """Write the state of a run, all or nothing, and drop all but the newest checkpoints."""
        target = self._folder / f"step-{run.step:09d}"
        optimizer = run.optimizer.state_dict()
        with artifact.replacing(target) as staging:
            save_file(run.state(), staging / MODEL)
            save_file(_flat(optimizer["state"]), staging / OPTIMIZER)
            save_file(_random_state(run), staging / RANDOM)
            if best is not None:
                save_file(best.trained, staging / BEST)
            state = {
                "identity": self._identity,
                "step": run.step,
                "optimizer": optimizer["param_groups"],
                "schedule": {key: value for key, value in run.schedule.state_dict().items() if key != "lr_lambdas"},
                "best": None if best is None else {"step": best.step, "merit": best.merit},
                "files": {file.name: artifact.sha256(file) for file in sorted(staging.iterdir())},
            }
            artifact.write_json(staging / STATE, state)
        for old in list(self._newest_first())[N_KEPT:]:
            shutil.rmtree(old)

    def restore(self, run: Run) -> Best | None:
        """Bring a run that has not begun to where its newest whole checkpoint stood, if there is one.

        Returns:
            The best model up to there, or None.

        Raises:
            CheckpointError: the folder's checkpoints are those of another training.
        """
        for folder in self._newest_first():
            state = _read_whole(folder)
            if state is None:
                log.warning("a damaged checkpoint is passed over: %s", folder.name)
                continue
            if state["identity"] != self._identity:
                raise CheckpointError(
                    f"{self._folder} holds checkpoints of a training with other choices or data: name another folder"
                )
            return _restore(run, folder, state)
        return None

    def _newest_first(self) -> Iterator[Path]:
        yield from sorted(self._folder.glob("step-*"), reverse=True)


def _read_whole(folder: Path) -> dict[str, Any] | None:
    try:
        state: dict[str, Any] = json.loads((folder / STATE).read_text("utf-8"))
        is_whole = all(artifact.sha256(folder / name) == expected for name, expected in state["files"].items())
    except (OSError, ValueError, KeyError):
        return None
    return state if is_whole else None


def _restore(run: Run, folder: Path, state: dict[str, Any]) -> Best | None:
    run.load_state(load_file(folder / MODEL))
    moments = _unflat(load_file(folder / OPTIMIZER))
    run.optimizer.load_state_dict({"state": moments, "param_groups": state["optimizer"]})
    run.schedule.load_state_dict(state["schedule"] | {"lr_lambdas": [None] * len(state["optimizer"])})
    run.step = state["step"]
    random = load_file(folder / RANDOM)
    torch.set_rng_state(random["cpu"])
    if "cuda" in random and run.model.device.type == "cuda":
        torch.cuda.set_rng_state(random["cuda"], run.model.device)
    if state["best"] is None:
        return None
    return Best(state["best"]["step"], state["best"]["merit"], load_file(folder / BEST))


def _random_state(run: Run) -> dict[str, Tensor]:
    random = {"cpu": torch.get_rng_state()}
    if run.model.device.type == "cuda":
        random["cuda"] = torch.cuda.get_rng_state(run.model.device)
    return random


def _flat(state: dict[int, dict[str, Tensor]]) -> dict[str, Tensor]:
    return {f"{number}.{key}": value.contiguous() for number, of in state.items() for key, value in of.items()}


def _unflat(tensors: dict[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, key = name.split(".", 1)
        state.setdefault(int(number), {})[key] = tensor
    return state
