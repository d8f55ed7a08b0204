"""The model that a fresh machine starts with: what training made, shipped here, over the backbone from its wheel."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from ml import artifact, backbones, baselines, candidate, training
from ml.artifact import Manifest
from ml.backbones import Backbone
from ml.candidate import Candidate
from ml.errors import DamagedModelError, ModelError
from ml.network import DistilBertForReviews, HemlineConfig
from ml.plan import BackboneName, TrainingPlan

DATA = Path(__file__).with_name("data")
TRAINED, CONFIG = "trained.safetensors", "config.json"


def _version() -> str:
    try:
        return artifact.read_manifest(DATA).version
    except ModelError:  # `install` says which file is missing; `make starter` must still start
        return "missing"


VERSION: str = _version()


def install(into: Path) -> Path:
    """Make a normal model version of the starter: adapters merged into the backbone.

    Harmless when repeated: an intact version is left alone, a damaged or older one is replaced as a whole.

    Args:
        into: the version's folder.

    Returns:
        `into`.

    Raises:
        BackboneUnavailableError: the backbone's wheel is not installed.
        DamagedModelError: a file of the starter itself is missing or altered.
    """
    shipped = artifact.verify(DATA)
    source = artifact.sha256(DATA / artifact.MANIFEST)
    if _is_installed(into, source):
        return into
    backbone = backbones.load(BackboneName(shipped.backbone))
    config = HemlineConfig.from_json_file(DATA / CONFIG)
    merged = assemble(load_file(DATA / TRAINED), config, backbone)
    manifest = Manifest(
        version=shipped.version,
        created=shipped.created,
        backbone=shipped.backbone,
        training=shipped.training,
        data=shipped.data,
        source=source,
    )
    record = artifact.read_evaluation(DATA) or {}
    candidate.write(Candidate(merged, backbone.tokenizer_json, baselines.load(DATA), record, manifest), into)
    return into


def _is_installed(folder: Path, source: str) -> bool:
    try:
        return artifact.verify(folder).source == source
    except (ModelError, DamagedModelError):
        return False


def assemble(trained: dict[str, Tensor], config: HemlineConfig, backbone: Backbone) -> DistilBertForReviews:
    """Put trained tensors (of any float type) beside a backbone and merge them.

    Raises:
        ModelError: the tensors are not those of such a model.
    """
    model = DistilBertForReviews(config)
    model.distilbert.load_state_dict(backbone.weights)
    training.add_adapters(model, rank=TrainingPlan().lora_rank)
    wanted = training.trained_state(model).keys()
    if wanted != trained.keys():
        raise ModelError(f"{DATA / TRAINED} holds other tensors than this program trains")
    model.load_state_dict({name: tensor.to(torch.float32) for name, tensor in trained.items()}, strict=False)
    training.merge_adapters(model)
    return model
