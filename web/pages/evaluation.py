"""An evaluation record as its tables and drawings show it; what a record lacks is left out."""

from dataclasses import dataclass
from typing import Any

CELL = 44  # units of the drawing of the confusion matrix; each cell is a square
DARKEST = 0.6  # opacity of a cell that holds its whole row; the number in it stays readable, light and dark
PLOT = 200  # units of the drawing of the reliability curve; the whole of it is a square

_METRICS = (
    ("rating", "accuracy", "Stars exactly right", "share, higher is better"),
    ("rating", "macro_f1", "Macro-F1 over the five stars", "higher is better"),
    ("rating", "qwk", "Agreement with the shopper", "quadratic kappa, higher is better"),
    ("rating", "mae_stars", "Error in stars", "mean, lower is better"),
    ("rating", "ece", "Calibration error", "lower is better"),
    ("age", "mae", "Error in age", "mean, years, lower is better"),
    ("age", "r2", "Variance of age explained", "R², higher is better"),
    ("age", "coverage_90", "Ages inside the 90 % interval", "share, should be 0.9"),
)
_BASELINE_NAMES = {"majority": "Majority / mean", "tfidf": "TF-IDF"}
_SLICE_NAMES = {"department": "Department", "class": "Class", "length": "Length of the review"}


@dataclass(frozen=True)
class MetricRow:
    """One figure of an evaluation, beside the same figure of each trivial baseline."""

    name: str
    meaning: str
    model: str
    interval: str
    baselines: tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """How many reviews that were given some stars were read as some stars, and where that is drawn."""

    x: int
    y: int
    n: int
    share: str
    shade: str


@dataclass(frozen=True)
class ConfusionRow:
    """The reviews that were given so many stars."""

    stars: int
    cells: tuple[Cell, ...]
    n: int


@dataclass(frozen=True)
class Bin:
    """Reviews of which the model was about as sure, and how often it was right; radius and place of its dot."""

    low: str
    high: str
    n: int
    confidence: str
    accuracy: str
    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class BandRow:
    """How many ages of a band the 90 % interval holds: by the age that the model said, and by the true one."""

    band: str
    predicted: str
    n_predicted: str
    true: str
    n_true: str


@dataclass(frozen=True)
class SliceRow:
    """The figures of one group of reviews."""

    name: str
    n: int
    figures: tuple[str, ...]


@dataclass(frozen=True)
class SliceTable:
    """The groups of one grouping."""

    name: str
    rows: tuple[SliceRow, ...]


@dataclass(frozen=True)
class Evaluation:
    """A whole record."""

    n_reviews: int | None
    baselines: tuple[str, ...]
    rows: tuple[MetricRow, ...]
    confusion: tuple[ConfusionRow, ...]
    reliability: tuple[Bin, ...]
    bands: tuple[BandRow, ...]
    slices: tuple[SliceTable, ...]

    @property
    def curve(self) -> str:
        """The points of the reliability curve, for a polyline."""
        return " ".join(f"{point.x:.1f},{point.y:.1f}" for point in self.reliability)


def read(record: dict[str, Any] | None) -> Evaluation:
    """Lay a record out."""
    known = record or {}
    baselines = _mapping(known.get("baselines"))
    n_reviews = known.get("n")
    return Evaluation(
        n_reviews=n_reviews if isinstance(n_reviews, int) else None,
        baselines=tuple(_BASELINE_NAMES.get(name, name) for name in baselines),
        rows=tuple(
            MetricRow(
                name=name,
                meaning=meaning,
                model=_figure(known, head, metric),
                interval=_interval(known, head, metric),
                baselines=tuple(_figure(baseline, head, metric) for baseline in baselines.values()),
            )
            for head, metric, name, meaning in _METRICS
            if _figure(known, head, metric)
        ),
        confusion=_confusion(known.get("confusion")),
        reliability=_reliability(known.get("reliability")),
        bands=_bands(_mapping(known.get("age"))),
        slices=tuple(
            _slices(_SLICE_NAMES.get(name, name), groups) for name, groups in _mapping(known.get("slices")).items()
        ),
    )


def _confusion(matrix: Any) -> tuple[ConfusionRow, ...]:
    if not isinstance(matrix, list):
        return ()
    return tuple(_confusion_row(row, counts) for row, counts in enumerate(matrix))


def _confusion_row(row: int, counts: list[int]) -> ConfusionRow:
    total = sum(counts)
    shares = [n / total if total else 0.0 for n in counts]
    cells = tuple(
        Cell(
            x=column * CELL,
            y=row * CELL,
            n=n,
            share=f"{share:.0%}".replace("%", " %"),
            shade=f"{share * DARKEST:.3f}",
        )
        for column, (n, share) in enumerate(zip(counts, shares, strict=True))
    )
    return ConfusionRow(row + 1, cells, total)


def _reliability(bins: Any) -> tuple[Bin, ...]:
    filled = [one for one in bins if one["n"]] if isinstance(bins, list) else []
    most = max((one["n"] for one in filled), default=1)
    return tuple(
        Bin(
            low=f"{one['low']:.1f}",
            high=f"{one['high']:.1f}",
            n=one["n"],
            confidence=f"{one['confidence']:.3f}",
            accuracy=f"{one['accuracy']:.3f}",
            x=one["confidence"] * PLOT,
            y=(1 - one["accuracy"]) * PLOT,
            radius=3 + 6 * (one["n"] / most) ** 0.5,
        )
        for one in filled
    )


def _bands(age: dict[str, Any]) -> tuple[BandRow, ...]:
    said, true = _mapping(age.get("coverage_by_band")), _mapping(age.get("coverage_by_true_band"))
    n_said, n_true = _mapping(age.get("n_by_band")), _mapping(age.get("n_by_true_band"))
    return tuple(
        BandRow(
            band, _number(said.get(band)), _count(n_said.get(band)), _number(true.get(band)), _count(n_true.get(band))
        )
        for band in said
    )


def _slices(name: str, groups: Any) -> SliceTable:
    figures = ("accuracy", "mae_stars", "age_mae", "coverage_90")
    rows = [
        SliceRow(label, group["n"], tuple(_number(group.get(figure)) for figure in figures))
        for label, group in _mapping(groups).items()
    ]
    return SliceTable(name, tuple(sorted(rows, key=lambda row: -row.n)))


def _interval(record: dict[str, Any], head: str, metric: str) -> str:
    """The bootstrap interval of one figure, empty where the record does not have it."""
    match _mapping(_mapping(record.get("intervals")).get(head)).get(metric):
        case [float() | int() as low, float() | int() as high]:
            return f"{low:.3f} to {high:.3f}"
    return ""


def _figure(record: Any, head: str, metric: str) -> str:
    """One figure with three digits, empty where the record does not have it."""
    return _number(_mapping(_mapping(record).get(head)).get(metric))


def _number(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) else ""


def _count(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else ""


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
