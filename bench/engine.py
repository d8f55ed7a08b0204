"""How fast reviews are read: what most people write, transformers' pipeline, and our engine, in one run."""

import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import torch
import transformers
from transformers import AutoTokenizer, DistilBertConfig, pipeline

from ml import artifact, backbones, candidate, export, starter
from ml.artifact import Manifest
from ml.backbones import Backbone
from ml.data import read_csv
from ml.errors import BackboneUnavailableError
from ml.hardware import isa
from ml.inference import Predictor, load_network
from ml.network import DistilBertForReviews, HemlineConfig
from ml.plan import MAX_LENGTH, BackboneName, TrainingPlan
from ml.text import ReviewText, encode
from ml.training import config_of

SAMPLES = Path(__file__).parents[1] / "hemline" / "samples" / "reviews.csv"
GEMM_SIZE = 2048

Way = Callable[[], list[int]]


@dataclass(frozen=True, slots=True)
class Report:
    """Medians over the rounds.

    Attributes:
        single_reviews_per_s: tokenizer and fp32 network, one call a review.
        pipeline_reviews_per_s: the stars-only export in `pipeline(batch_size=32)`, fp32.
        engine_reviews_per_s: `Predictor.predict`, both heads.
        ratio_single: median over the rounds of engine over single.
        ratio_pipeline: median over the rounds of engine over pipeline.
        share_of_gemm_peak: the engine's useful operations (padding not counted) per second, over those of a square
            matrix product in the same number format on the same threads.
        label_flips: share of reviews whose most probable stars differ from the single path's.
        weights: "starter", "pretrained" or "random" (then speed is what counts, and label flips say little).
    """

    backbone: str
    weights: str
    engine: str
    dtype: str
    isa: str
    threads: int
    n_reviews: int
    n_distinct: int
    mean_tokens: float
    rounds: int
    single_reviews_per_s: float
    pipeline_reviews_per_s: float
    engine_reviews_per_s: float
    ratio_single: float
    ratio_pipeline: float
    gemm_peak_gflops: float
    share_of_gemm_peak: float
    label_flips: float
    machine: str
    python: str
    torch: str
    transformers: str


def compare(csv: Path | None, *, n_reviews: int, backbone: BackboneName, rounds: int, threads: int | None) -> Report:
    """Run all three ways in turn, `rounds` times, on the same reviews; tokenization is part of each."""
    table = read_csv(csv or SAMPLES)
    reviews = list(islice(cycle(table.reviews), n_reviews))
    with tempfile.TemporaryDirectory(prefix="hemline-bench-") as scratch:
        folder = Path(scratch) / "version"
        weights = _install(backbone, folder)
        predictor = Predictor.load(folder, threads=threads)
        ways: dict[str, Way] = {
            "single": _single(folder, reviews),
            "pipeline": _pipeline(folder, Path(scratch) / "stars", reviews),
            "engine": lambda: [one.rating for one in predictor.predict(reviews)],
        }
        for way in ways.values():
            way()
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        ratings: dict[str, list[int]] = {}
        for _ in range(rounds):
            for name, way in ways.items():
                start = time.perf_counter()
                ratings[name] = way()
                seconds[name].append(time.perf_counter() - start)
        tokens = [len(ids) for ids in encode(AutoTokenizer.from_pretrained(folder).backend_tokenizer, reviews).ids]
        network = load_network(folder)
    peak = _gemm_flops(predictor.description.dtype)
    flips = sum(ours != theirs for ours, theirs in zip(ratings["engine"], ratings["single"], strict=True))
    return Report(
        backbone=str(backbone),
        weights=weights,
        engine="torch",
        dtype=predictor.description.dtype,
        isa=isa(),
        threads=torch.get_num_threads(),
        n_reviews=n_reviews,
        n_distinct=min(n_reviews, len(table)),
        mean_tokens=sum(tokens) / len(tokens),
        rounds=rounds,
        single_reviews_per_s=n_reviews / median(seconds["single"]),
        pipeline_reviews_per_s=n_reviews / median(seconds["pipeline"]),
        engine_reviews_per_s=n_reviews / median(seconds["engine"]),
        ratio_single=_ratio(seconds["single"], seconds["engine"]),
        ratio_pipeline=_ratio(seconds["pipeline"], seconds["engine"]),
        gemm_peak_gflops=peak / 1e9,
        share_of_gemm_peak=_operations(network.config, tokens) / median(seconds["engine"]) / peak,
        label_flips=flips / n_reviews,
        machine=platform.machine(),
        python=platform.python_version(),
        torch=torch.__version__,
        transformers=transformers.__version__,
    )


def _install(name: BackboneName, folder: Path) -> str:
    """Put a model version of the wanted shape into the folder and say where its weights come from."""
    if name is BackboneName.MINILM:
        starter.install(folder)
        return "starter"
    try:
        backbone, weights = backbones.load(name), "pretrained"
    except BackboneUnavailableError:
        backbone, weights = _stand_in(name), "random"
    config = config_of(backbone, TrainingPlan(backbone=name), age_mean=43.0, age_scale=12.0)
    torch.manual_seed(0)
    model = DistilBertForReviews(config)
    model.distilbert.load_state_dict(backbone.weights)
    folder.mkdir()
    candidate.write_network(model, backbone.tokenizer_json, folder)
    artifact.seal(folder, Manifest(version=weights, created="", backbone=str(name)))
    return weights


def _stand_in(name: BackboneName) -> Backbone:
    """DistilBERT's shape with random weights: the same work, and the same vocabulary as minilm-l6 has."""
    config = DistilBertConfig(attention_dropout=0.0)
    tokenizer_json = backbones.load(BackboneName.MINILM).tokenizer_json
    return Backbone(name, config, backbones.random_weights(config, seed=0), tokenizer_json)


def _single(folder: Path, reviews: Sequence[ReviewText]) -> Way:
    """What most people write: one review at a time through tokenizer and network."""
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    network = load_network(folder).eval()  # type: ignore[no-untyped-call] # transformers is typed in part only

    def read(review: ReviewText) -> int:
        texts = (review.title, review.text) if review.title else (review.text,)
        inputs = tokenizer(*texts, truncation=True, max_length=MAX_LENGTH, return_tensors="pt")
        with torch.no_grad():
            return int(network(**inputs).rating_logits.argmax()) + 1

    return lambda: [read(review) for review in reviews]


def _pipeline(folder: Path, stars: Path, reviews: Sequence[ReviewText]) -> Way:
    """The library's own way to batch, on the stars-only export (it does half of the heads' work)."""
    export.register()
    export.export_stars_only(folder, stars)
    classify = pipeline("text-classification", model=str(stars), tokenizer=str(stars), device=-1, dtype=torch.float32)
    inputs = [{"text": one.title, "text_pair": one.text} if one.title else {"text": one.text} for one in reviews]

    def read() -> list[int]:
        answers = classify(inputs, batch_size=32, truncation=True, max_length=MAX_LENGTH)
        return [int(answer["label"].split()[0]) for answer in answers]

    return read


def _ratio(slow: Sequence[float], fast: Sequence[float]) -> float:
    return median(one / other for one, other in zip(slow, fast, strict=True))


def _operations(config: HemlineConfig, tokens: Sequence[int]) -> float:
    """Multiplications and additions of the encoder over unpadded reviews: dense layers, scores and weighted sums."""
    dense = 2 * config.n_layers * (4 * config.dim**2 + 2 * config.dim * config.hidden_dim)
    attention = 4 * config.n_layers * config.dim
    return float(sum(length * dense + length**2 * attention for length in tokens))


def _gemm_flops(dtype: str) -> float:
    """Best of ten square products in the engine's number format on the engine's threads, operations per second."""
    left, right = torch.randn(2, GEMM_SIZE, GEMM_SIZE).to(getattr(torch, dtype))
    times = []
    for _ in range(10):
        start = time.perf_counter()
        left @ right
        times.append(time.perf_counter() - start)
    return float(2 * GEMM_SIZE**3 / min(times))
