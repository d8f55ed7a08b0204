"""The two trivial rivals of every model, fitted on the same training rows and stored beside it without pickle."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge

from ml.calibration import IntervalWidths, fit_interval, interval, softmax
from ml.data import ReviewTable
from ml.errors import DataError
from ml.metrics import N_STARS, Floats, Ints, Readings
from ml.text import ReviewText

MAX_FEATURES = 30_000
RIDGE_ALPHA = 3.0
LOGISTIC_C = 3.0
AGE_IF_UNKNOWN = 43.0
"""Years, of a writer where no row to learn from has an age."""
NUMBERS_FILE, WORDS_FILE = "baselines.safetensors", "baselines.txt"


@dataclass(frozen=True, slots=True)
class Baselines:
    """Both rivals, fitted.

    Attributes:
        shares: (5,) shares of the stars among the training rows; their mode is the majority class.
        mean_age: years, of the training rows.
        words: the unigrams and bigrams of the TF-IDF model, in column order.
        idf: (words,) inverse document frequencies.
        rating_weight: (5, words) of the logistic regression.
        rating_bias: (5,).
        age_weight: (words,) of the ridge regression, years.
        age_bias: years.
        majority_widths: of the constant 90 % age interval, fitted on calibration rows as the model's is.
        tfidf_widths: of the TF-IDF age's interval, likewise.
    """

    shares: Floats
    mean_age: float
    words: tuple[str, ...]
    idf: Floats
    rating_weight: Floats
    rating_bias: Floats
    age_weight: Floats
    age_bias: float
    majority_widths: IntervalWidths
    tfidf_widths: IntervalWidths

    def majority(self, reviews: Sequence[ReviewText]) -> Readings:
        """Answer every review alike."""
        ages = np.full(len(reviews), self.mean_age)
        low, high = interval(ages, self.majority_widths)
        return Readings(np.tile(self.shares, (len(reviews), 1)), ages, low, high)

    def tfidf(self, reviews: Sequence[ReviewText]) -> Readings:
        """Score reviews by their words, linearly."""
        probabilities, ages = self._tfidf_scores(reviews)
        low, high = interval(ages, self.tfidf_widths)
        return Readings(probabilities, ages, low, high)

    def _tfidf_scores(self, reviews: Sequence[ReviewText]) -> tuple[Floats, Floats]:
        vectorizer = _vectorizer(vocabulary={word: column for column, word in enumerate(self.words)})
        vectorizer.idf_ = self.idf
        features = vectorizer.transform([_document(review) for review in reviews])
        logits = features @ self.rating_weight.T + self.rating_bias
        return softmax(logits, temperature=1.0), features @ self.age_weight + self.age_bias

    def save(self, folder: Path) -> None:
        """Write the numbers (float16, float64 for scalars) and the words into a folder."""
        numbers = {
            "shares": self.shares,
            "mean_age": np.array(self.mean_age),
            "idf": self.idf.astype(np.float16),
            "rating_weight": self.rating_weight.astype(np.float16),
            "rating_bias": self.rating_bias,
            "age_weight": self.age_weight.astype(np.float16),
            "age_bias": np.array(self.age_bias),
            "majority_widths": np.array([self.majority_widths.low, self.majority_widths.high]),
            "tfidf_widths": np.array([self.tfidf_widths.low, self.tfidf_widths.high]),
        }
        save_file(numbers, folder / NUMBERS_FILE)
        (folder / WORDS_FILE).write_text("\n".join(self.words) + "\n", "utf-8")


def load(folder: Path) -> Baselines:
    """Read what `Baselines.save` wrote."""
    numbers = {name: array.astype(np.float64) for name, array in load_file(folder / NUMBERS_FILE).items()}
    return Baselines(
        shares=numbers["shares"],
        mean_age=float(numbers["mean_age"]),
        words=tuple((folder / WORDS_FILE).read_text("utf-8").split("\n")[:-1]),
        idf=numbers["idf"],
        rating_weight=numbers["rating_weight"],
        rating_bias=numbers["rating_bias"],
        age_weight=numbers["age_weight"],
        age_bias=float(numbers["age_bias"]),
        majority_widths=_widths(numbers["majority_widths"]),
        tfidf_widths=_widths(numbers["tfidf_widths"]),
    )


def fit(train: ReviewTable, calibration: ReviewTable) -> Baselines:
    """Fit both rivals on the training rows, and their age intervals on the calibration rows.

    Where no rating or no age is known they give every review the same answer, which means nothing.

    Raises:
        DataError: no word occurs in two of the training rows.
    """
    stars = train.ratings[~np.isnan(train.ratings)].astype(np.int64)
    ages = train.ages[~np.isnan(train.ages)].astype(np.float64)
    vectorizer = _vectorizer(vocabulary=None)
    try:
        features = vectorizer.fit_transform([_document(review) for review in train.reviews])
    except ValueError as error:
        raise DataError("training needs words: none occurs in two of the reviews to train on") from error
    weight, bias = _logistic(features[~np.isnan(train.ratings)], stars)
    age_weight, age_bias = _ridge(features[~np.isnan(train.ages)], ages)
    fitted = Baselines(
        shares=np.bincount(stars - 1, minlength=N_STARS) / len(stars) if len(stars) else np.full(N_STARS, 1 / N_STARS),
        mean_age=float(ages.mean()) if len(ages) else AGE_IF_UNKNOWN,
        words=tuple(vectorizer.get_feature_names_out()),
        idf=_as_stored(vectorizer.idf_),
        rating_weight=_as_stored(weight),
        rating_bias=bias,
        age_weight=_as_stored(age_weight),
        age_bias=age_bias,
        majority_widths=IntervalWidths((0.0, 0.0), (0.0, 0.0)),
        tfidf_widths=IntervalWidths((0.0, 0.0), (0.0, 0.0)),
    )
    known = calibration.take(np.flatnonzero(~np.isnan(calibration.ages)))
    true = known.ages.astype(np.float64)
    return replace(
        fitted,
        majority_widths=fit_interval(fitted.majority(known.reviews).ages, true),
        tfidf_widths=fit_interval(fitted.tfidf(known.reviews).ages, true) if len(true) else fitted.majority_widths,
    )


def _logistic(features: csr_matrix, stars: Ints) -> tuple[Floats, Floats]:
    """Return weights (5, words) and bias (5,); a star that nobody gave gets a bias that no review overcomes."""
    given = np.unique(stars)
    if len(given) < 2:  # nothing to tell apart
        bias = np.full(N_STARS, 0.0 if not len(given) else -1e4)
        bias[given - 1] = 0.0
        return np.zeros((N_STARS, features.shape[1])), bias
    logistic = LogisticRegression(C=LOGISTIC_C, max_iter=300).fit(features, stars)
    weight, bias = np.zeros((N_STARS, features.shape[1])), np.full(N_STARS, -1e4)
    if len(logistic.classes_) == 2:  # scikit-learn then gives the log odds of the second class alone
        first, second = logistic.classes_ - 1
        weight[second], bias[second], bias[first] = logistic.coef_[0], logistic.intercept_[0], 0.0
    else:
        weight[logistic.classes_ - 1], bias[logistic.classes_ - 1] = logistic.coef_, logistic.intercept_
    return weight, bias


def _ridge(features: csr_matrix, ages: Floats) -> tuple[Floats, float]:
    """Return weights (words,) and bias, in years; a constant where no age is known."""
    if not len(ages):
        return np.zeros(features.shape[1]), AGE_IF_UNKNOWN
    ridge = Ridge(alpha=RIDGE_ALPHA, solver="sparse_cg").fit(features, ages)
    return ridge.coef_, float(ridge.intercept_)


def _vectorizer(vocabulary: dict[str, int] | None) -> TfidfVectorizer:
    limits = {"min_df": 2, "max_features": MAX_FEATURES} if vocabulary is None else {"vocabulary": vocabulary}
    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, **limits)


def _document(review: ReviewText) -> str:
    return f"{review.title or ''} {review.text}"


def _as_stored(numbers: Floats) -> Floats:
    """Round to what the file will hold, so that the fitted and the re-loaded model answer alike."""
    return numbers.astype(np.float16).astype(np.float64)


def _widths(rows: Floats) -> IntervalWidths:
    return IntervalWidths((float(rows[0, 0]), float(rows[0, 1])), (float(rows[1, 0]), float(rows[1, 1])))
