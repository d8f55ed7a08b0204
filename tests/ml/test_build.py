from pathlib import Path

import pytest

from ml import artifact, starter
from ml.starter import build
from ml.training import StepReport
from tests.ml.conftest import made_up_reviews, write_csv


@pytest.mark.slow
def test_a_starter_is_made_from_one_csv_and_finished_runs_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way of `make starter` on 160 made-up reviews and two seeds, up to the installed version."""
    csv = write_csv(tmp_path / "reviews.csv", made_up_reviews(160))
    into, work, steps = tmp_path / "data", tmp_path / "work", list[StepReport]()
    first = build.build(csv, work=work, into=into, seeds=(0, 1), on_step=steps.append)
    n_steps = len(steps)
    again = build.build(csv, work=work, into=into, seeds=(0, 1), on_step=steps.append)

    assert len(steps) == n_steps > 0
    assert again.version == first.version == f"starter-{artifact.sha256(into / starter.TRAINED)[:8]}"
    assert again.files[starter.TRAINED] == first.files[starter.TRAINED]
    record = artifact.read_evaluation(into)
    assert record is not None
    assert record["seeds"] == [0, 1]
    assert record["over_seeds"]["rating"]["accuracy"]["sd"] is not None
    assert "Over 2 seeds" in (into / artifact.CARD).read_text("utf-8")
    monkeypatch.setattr(starter, "DATA", into)
    assert artifact.verify(starter.install(tmp_path / "version")).version == first.version
