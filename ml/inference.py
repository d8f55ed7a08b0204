"""Reading reviews with a finished model version."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn
from transformers.utils import logging as transformers_logging

from ml import artifact
from ml.calibration import IntervalWidths, interval, softmax
from ml.errors import ModelError
from ml.explanation import Explanation, explain
from ml.hardware import choose_device, fast_dtype, isa
from ml.metrics import N_STARS, Readings
from ml.network import DistilBertForReviews, HemlineConfig
from ml.scoring import Scores, score
from ml.text import ReviewText, encode

__all__ = ["Description", "Prediction", "Predictor", "ReviewText", "readings"]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model says of one review.

    Attributes:
        rating: most probable stars, 1 to 5.
        rating_probabilities: calibrated, of 1 to 5 stars; they add up to 1.
        expected_stars: the mean under those probabilities.
        age: years.
        age_low: lower end of the 90 % interval, years.
        age_high: upper end.
        truncated: whether the review was longer than the model reads.
    """

    rating: int
    rating_probabilities: tuple[float, ...]
    expected_stars: float
    age: float
    age_low: float
    age_high: float
    truncated: bool


@dataclass(frozen=True, slots=True)
class Description:
    """What is loaded, and how it runs."""

    device: str
    dtype: str
    engine: str
    isa: str
    threads: int
    model_version: str
    backbone: str


class Predictor:
    """A loaded model version. One process holds one; `predict` may be called from within `between_batches`."""

    def __init__(
        self, model: DistilBertForReviews, tokenizer: Tokenizer, *, version: str, dtype: torch.dtype = torch.float32
    ) -> None:
        # The encoder is all but a thousandth of the work; heads and wide term stay in float32.
        encoder: nn.Module = model.distilbert
        encoder.to(dtype)
        model.eval()  # type: ignore[no-untyped-call] # transformers is typed in part only
        self._model, self._tokenizer = model, tokenizer
        self._config: HemlineConfig = model.config
        self.description = Description(
            device=str(model.device),
            dtype=str(dtype).removeprefix("torch."),
            engine="torch",
            isa=isa(),
            threads=torch.get_num_threads(),
            model_version=version,
            backbone=self._config.backbone,
        )

    @classmethod
    def load(cls, folder: Path, *, device: str = "auto", threads: int | None = None) -> "Predictor":
        """Verify a model version's files and load it.

        Args:
            folder: of the version.
            device: "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:N".
            threads: for this whole process; PyTorch's choice if None.

        Raises:
            DamagedModelError: a file is not the one that the manifest lists.
            ModelError: the folder is no model version, or holds something else than this program can run.
        """
        manifest = artifact.verify(folder)
        if threads is not None:
            torch.set_num_threads(threads)
        place = choose_device(device)
        model = load_network(folder)
        nn.Module.to(model, place)
        tokenizer = Tokenizer.from_file(str(folder / artifact.TOKENIZER))
        return cls(model, tokenizer, version=manifest.version, dtype=fast_dtype(place))

    def warm_up(self) -> None:
        """Run once, so that the first real review does not pay for lazy set-up."""
        self.predict([ReviewText("Warm", "up " * 40), ReviewText(None, "up")])

    def predict(
        self, reviews: Sequence[ReviewText], between_batches: Callable[[int], None] | None = None
    ) -> list[Prediction]:
        """Read reviews: any text, any number; the answers are in the order of the questions.

        Args:
            reviews: what to read.
            between_batches: called with the number of reviews done after each batch; it may raise to abort, or call
                `predict` for something more urgent.
        """
        if not reviews:
            return []
        encoded = encode(self._tokenizer, reviews, max_length=self._config.max_length)
        scores = score(self._model, encoded.ids, between_batches=between_batches)
        return [
            _prediction(*row, truncated=truncated)
            for row, truncated in zip(_rows(calibrated(scores, self._config)), encoded.truncated, strict=True)
        ]

    def explain(self, review: ReviewText) -> tuple[Prediction, Explanation]:
        """Read one review and say which words made the model think so. Costs as much as several predictions."""
        explained = explain(self._model, self._tokenizer, review)
        [row] = _rows(calibrated(explained.scores, self._config))
        return _prediction(*row, truncated=explained.encoded.truncated[0]), explained.explanation


def load_network(folder: Path) -> DistilBertForReviews:
    """Load a version's network in float32 on the CPU, with the attention that is fastest for reading."""
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call] # transformers is typed in part
    try:
        config = HemlineConfig(**json.loads((folder / "config.json").read_text("utf-8")))
        model: DistilBertForReviews = DistilBertForReviews.from_pretrained(
            folder, config=config, dtype=torch.float32, attn_implementation="sdpa", local_files_only=True
        )
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise ModelError(f"{folder} does not hold a model that this program can run: {error}") from error
    return model


def calibrated(scores: Scores, config: HemlineConfig) -> Readings:
    """Turn raw outputs into calibrated probabilities and age intervals."""
    widths = IntervalWidths(
        (config.interval_low[0], config.interval_low[1]), (config.interval_high[0], config.interval_high[1])
    )
    low, high = interval(scores.ages, widths)
    return Readings(softmax(scores.logits, temperature=config.temperature), scores.ages, low, high)


def readings(predictions: Sequence[Prediction]) -> Readings:
    """Lay predictions out as columns, for evaluation."""
    return Readings(
        np.array([one.rating_probabilities for one in predictions]).reshape(-1, N_STARS),
        np.array([one.age for one in predictions]),
        np.array([one.age_low for one in predictions]),
        np.array([one.age_high for one in predictions]),
    )


def _rows(said: Readings) -> "zip[tuple[list[float], float, float, float]]":
    return zip(
        said.probabilities.tolist(), said.ages.tolist(), said.age_low.tolist(), said.age_high.tolist(), strict=True
    )


def _prediction(probabilities: list[float], age: float, low: float, high: float, *, truncated: bool) -> Prediction:
    return Prediction(
        rating=max(range(N_STARS), key=probabilities.__getitem__) + 1,
        rating_probabilities=tuple(probabilities),
        expected_stars=sum(share * stars for stars, share in enumerate(probabilities, start=1)),
        age=age,
        age_low=low,
        age_high=high,
        truncated=truncated,
    )
