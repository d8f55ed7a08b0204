"""A bell's answer: claim what waits, read it in batches, record what the model said."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from ml.explanation import Explanation
from ml.inference import Prediction, Predictor, ReviewText
from store import claims
from store.claims import Claim
from store.database import Database
from store.explanations import HeadAmounts, NewExplanation, WordWeight
from store.jobs import JobKind, QueueName
from store.outages import outage_of
from store.reviews import NewPrediction
from worker.errors import AbandonedError, BrokenModelError, NotFiniteError, defect, summary
from worker.lease import LeaseKeeper
from worker.slot import Loaded, ModelSlot

BACK_OFF_S = 5.0  # before jobs are claimed again that a fault which is not theirs kept from being read
PROBE = (ReviewText(None, "A dress."),)

log = structlog.get_logger()


@dataclass
class Reader:
    """Reads the reviews of claimed jobs, one batch after the other, until its queues are empty or it must stop."""

    database: Database
    slot: ModelSlot
    worker_id: str
    queues: tuple[QueueName, ...]
    lease_s: float
    batch_reviews: int
    is_draining: Callable[[], bool]
    reviews_done: int = 0
    is_busy: bool = False

    def answer(self) -> None:
        """Answer one ring of the bell: read all that waits, people's jobs before bulk.

        Harmless when repeated, and when nothing waits. Without a model nothing is claimed: the jobs wait for one.

        Raises:
            BrokenModelError: the model reads nothing any more; this process has to end.
        """
        if self.slot.fill() is None:
            return
        self.is_busy = True
        try:
            while not self.is_draining() and (held := self._claim(self.queues)):
                self._read(held)
        except SQLAlchemyError as error:  # while claiming: nothing is held, and the sweeper rings again
            log.warning("nothing_claimed", reason=summary(error))
        finally:
            self.is_busy = False

    def _claim(self, queues: Sequence[QueueName]) -> list[Claim]:
        self.slot.follow()
        for queue in queues:
            with self.database.read() as session:
                if not claims.anything_ready(session, queue):
                    continue
            with self.database.begin() as session:
                held = claims.claim(
                    session,
                    queue=queue,
                    max_reviews=self.batch_reviews,
                    worker_id=self.worker_id,
                    lease_s=self.lease_s,
                )
            if held:
                return held
        return []

    def _read(self, held: list[Claim]) -> None:
        """Read a batch with the model of this moment, to its end, whatever takes over meanwhile."""
        loaded = self._loaded()
        predictor = loaded.predictor
        log.info("batch_claimed", jobs=[claim.job_id for claim in held], n_reviews=sum(len(c.reviews) for c in held))
        try:
            with LeaseKeeper(self.database, held, lease_s=self.lease_s) as keeper:
                if held[0].kind is JobKind.EXPLAIN:
                    self._explain(held[0], loaded, keeper)
                else:
                    said = predictor.predict(_texts(held), between_batches=self._between(held, keeper))
                    self._record(held, said, keeper, version=loaded.version)
        except AbandonedError:
            self._give_up(held, keeper)
        except BrokenModelError:  # an urgent batch met it in the middle of this one
            self._hand_back(held, partial(claims.release, run_after_s=BACK_OFF_S))
            raise
        except SQLAlchemyError as error:
            if outage_of(error) is None:
                self._fail(held, error)
            else:
                log.warning("database_away", reason=summary(error))
                self._hand_back(held, partial(claims.release, run_after_s=BACK_OFF_S))
        except Exception as error:  # whatever else the model's code raises, the jobs must not be left running
            self._refuse_broken(predictor, held, error)
            self._fail(held, error)

    def _loaded(self) -> Loaded:
        if self.slot.loaded is None:
            raise AssertionError("a slot that was filled is empty")
        return self.slot.loaded

    def _between(self, held: list[Claim], keeper: LeaseKeeper) -> Callable[[int], None]:
        interactive_first = [queue for queue in self.queues if queue is QueueName.INTERACTIVE]
        n_reviews = sum(len(claim.reviews) for claim in held)
        is_bulk = held[0].queue is not QueueName.INTERACTIVE

        def between(n_done: int) -> None:
            keeper.n_done = n_done
            if n_done < n_reviews and (not keeper.standing or self.is_draining()):
                raise AbandonedError
            if is_bulk and (urgent := self._claim(interactive_first)):
                self._read(urgent)

        return between

    def _explain(self, claimed: Claim, loaded: Loaded, keeper: LeaseKeeper) -> None:
        if not claimed.reviews:  # deleted since the request
            self._record([claimed], [], keeper, version=loaded.version)
            return
        said, explained = loaded.predictor.explain(*_texts([claimed]))
        prediction, weights = _stored(said), _stored_explanation(explained)
        if claimed.job_id not in keeper.standing:
            raise AbandonedError
        with self.database.begin() as session:
            ended = claims.succeed_explained(session, claimed, prediction, weights, model_version=loaded.version)
        if ended:
            self.reviews_done += 1
        else:
            log.warning("stale_write_refused", job_id=claimed.job_id, fence=claimed.fence)

    def _record(self, held: list[Claim], said: Sequence[Prediction], keeper: LeaseKeeper, *, version: str) -> None:
        wanted = [claim for claim in held if claim.job_id in keeper.standing]
        answers = dict(zip([claim.job_id for claim in held], _split(held, said), strict=True))
        with self.database.begin() as session:
            ended = claims.succeed(session, wanted, [answers[c.job_id] for c in wanted], model_version=version)
        self.reviews_done += sum(len(claim.reviews) for claim in wanted if claim.job_id in ended)
        for claim in held:
            if claim.job_id not in ended:
                log.warning("stale_write_refused", job_id=claim.job_id, fence=claim.fence)
        self._give_up([claim for claim in held if claim.job_id in keeper.cancelled], keeper)

    def _give_up(self, held: list[Claim], keeper: LeaseKeeper) -> None:
        self._hand_back([claim for claim in held if claim.job_id in keeper.cancelled], claims.confirm_cancel)
        self._hand_back([claim for claim in held if claim.job_id not in keeper.cancelled], claims.release)

    def _fail(self, held: list[Claim], error: Exception) -> None:
        log.exception("batch_failed", jobs=[claim.job_id for claim in held])
        if len(held) == 1:
            self._hand_back(held, partial(claims.fail, error=defect(error, log="the worker's log")))
        else:
            self._hand_back(held, partial(claims.release, run_alone=True))

    def _refuse_broken(self, predictor: Predictor, held: list[Claim], error: Exception) -> None:
        """Tell a model that chokes on these reviews from one that reads nothing any more (lost device, no memory).

        A job that was read alone is not handed back: when its lease lapses, the sweep counts that a worker died of it.
        """
        try:
            for said in predictor.predict(PROBE):
                _stored(said)
        except Exception as second:
            log.exception("model_broken", jobs=[claim.job_id for claim in held], first=summary(error))
            self.slot.error = f"The model stopped working, and its process ends: {summary(second)}"
            if len(held) > 1:
                self._hand_back(held, partial(claims.release, run_alone=True, run_after_s=BACK_OFF_S))
            raise BrokenModelError(self.slot.error) from error

    def _hand_back(self, held: Sequence[Claim], leave: Callable[[Session, Claim], bool]) -> None:
        """End or release claims one by one. What cannot be written the sweep repairs once the leases have lapsed."""
        for claim in held:
            try:
                with self.database.begin() as session:
                    leave(session, claim)
            except SQLAlchemyError as error:
                log.warning("claim_not_handed_back", job_id=claim.job_id, reason=summary(error))
                if outage_of(error) is not None:
                    return


def _texts(held: Sequence[Claim]) -> list[ReviewText]:
    return [ReviewText(title=review.title, text=review.text) for claim in held for review in claim.reviews]


def _split(held: Sequence[Claim], said: Sequence[Prediction]) -> list[list[NewPrediction]]:
    remaining = iter(said)
    return [[_stored(next(remaining)) for _ in claim.reviews] for claim in held]


def _stored(said: Prediction) -> NewPrediction:
    numbers = (*said.rating_probabilities, said.expected_stars, said.age, said.age_low, said.age_high)
    if not all(map(isfinite, numbers)):
        raise NotFiniteError("the model's answer to a review holds a number that is not finite")
    return NewPrediction(
        rating=said.rating,
        rating_probabilities=said.rating_probabilities,
        expected_stars=said.expected_stars,
        age=said.age,
        age_low=said.age_low,
        age_high=said.age_high,
        truncated=said.truncated,
    )


def _stored_explanation(explained: Explanation) -> NewExplanation:
    # What is unexplained is the prediction less all the rest: one that is no number makes it none.
    if not isfinite(explained.unexplained.stars + explained.unexplained.years):
        raise NotFiniteError("the explanation of a review holds a number that is not finite")
    return NewExplanation(
        words=tuple(
            WordWeight(part=word.part, start=word.start, end=word.end, stars=word.stars, years=word.years)
            for word in explained.words
        ),
        baseline=HeadAmounts(explained.baseline.stars, explained.baseline.years),
        unexplained=HeadAmounts(explained.unexplained.stars, explained.unexplained.years),
    )
