"""Several processes that train one model together, as `torchrun` starts them; usually a team of one.

Every process takes its share of each batch. The gradients are averaged so that a step is the one that a single process
would make on the whole batch, but for rounding and for dropout, which each process draws for itself.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import broadcast, reduce
from torch import Tensor, nn

from ml.hardware import choose_device


@dataclass(frozen=True, slots=True)
class Team:
    """This process's place among those that train together; the first alone judges and writes."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_first(self) -> bool:
        """Whether this process judges, reports and writes."""
        return self.rank == 0

    def share(self, rows: Sequence[int]) -> Sequence[int]:
        """Return this process's rows of a batch; none where there are fewer rows than processes."""
        return rows[self.rank :: self.size]

    def seed_step(self, seed: int, step: int) -> None:
        """Give each process of several its own dropout, which a resumed training draws again; leave one alone."""
        if self.size > 1:
            torch.manual_seed(int(np.random.SeedSequence([seed, step, self.rank]).generate_state(1)[0]))

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give all processes the mean of their gradients, in one exchange."""
        if self.size == 1:
            return
        trained = list(parameters)
        flat = torch.cat([_gradient(parameter).flatten() for parameter in trained])
        flat = reduce(flat, "mean")
        for parameter, mean in zip(trained, flat.split([one.numel() for one in trained]), strict=True):
            parameter.grad = mean.view_as(parameter)

    def mean(self, numbers: Sequence[float]) -> list[float]:
        """Return the means of some numbers over the processes."""
        if self.size == 1:
            return list(numbers)
        means: list[float] = reduce(torch.tensor(numbers, device=self.device), "mean").tolist()
        return means

    def agree(self, *, wish: bool) -> bool:
        """Return what the first process wishes."""
        if self.size == 1:
            return wish
        return bool(broadcast(torch.tensor([wish], device=self.device, dtype=torch.int32)).item())


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def join(device: str) -> Team:
    """Take this process's place, as the environment that `torchrun` sets says; alone without it.

    Args:
        device: "auto", "cpu", "cuda" or "cuda:N"; with several processes each takes the CUDA device of its own number.
    """
    place = choose_device(device)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Team(device=place)
    state = PartialState(cpu=place.type == "cpu")
    return Team(state.process_index, state.num_processes, state.device)


def leave(team: Team) -> None:
    """Part from the others, once nothing more is exchanged."""
    if team.size > 1:
        PartialState().destroy_process_group()
