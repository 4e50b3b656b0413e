"""`veritas model`: from a file of progress to a model, its card, scores and drift (analytics.md)."""

from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from typer.testing import CliRunner

from deploy.commands.cli import app, main
from tests.property.pipeline.test_models import cohorts

TRAIN = ["--version", "left-1", "--horizon-days", "28", "--as-of", "2026-10-01"]


def run(*arguments: str | Path) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["model", *map(str, arguments)])
    return found.exit_code, found.output


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_model_is_trained_read_and_used_from_files_alone(kind: str, tmp_path: Path) -> None:
    past, now, model, out = (
        tmp_path / name for name in (f"past.{kind}", f"now.{kind}", "model.json", f"out.{kind}")
    )
    for path, rows in ((past, cohorts(1)), (now, cohorts(2).with_columns(has_left=pl.lit(None, pl.Boolean)))):
        rows.write_csv(path) if kind == "csv" else rows.write_parquet(path)

    trained = run("train", past, "--out", model, *TRAIN)
    assert trained[0] == 0, trained
    assert "brier" in trained[1]
    assert run("card", model) == trained
    assert run("score", now, "--model", model, "--out", out)[0] == 0
    scored = pl.read_csv(out) if kind == "csv" else pl.read_parquet(out)
    assert scored.height == cohorts(2).filter("is_enrolled").height
    assert scored["model_version"].unique().to_list() == ["left-1"]
    code, told = run("drift", past, "--model", model)
    assert code == 0, told
    assert "What came about" in told


def test_what_is_no_progress_or_no_model_or_too_little_is_said(tmp_path: Path) -> None:
    few, odd, model = tmp_path / "few.csv", tmp_path / "odd.csv", tmp_path / "model.json"
    cohorts(1, number=2).write_csv(few)
    odd.write_text("cohort_id,cut_off,is_enrolled,has_left\n1,2026-01-01T00:00:00Z,true,\n")
    model.write_text("{}")

    assert run("train", few, "--out", model, *TRAIN)[0] != 0
    assert run("train", odd, "--out", model, *TRAIN)[0] != 0
    assert run("card", model)[0] != 0
    assert model.read_text() == "{}"


def test_a_place_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    past = tmp_path / "past.csv"
    cohorts(1).write_csv(past)
    out = str(tmp_path / "nowhere" / "model.json")
    monkeypatch.setattr("sys.argv", ["veritas", "model", "train", str(past), "--out", out, *TRAIN])

    with pytest.raises(SystemExit) as ended:
        main()

    assert (ended.value.code, out in capsys.readouterr().err) == (2, True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"inputs": ["age"]},
        {"means": [0.0, 1.0]},
        {"scales": [0.0]},
        {"calibration": {"kind": "platt", "x": [1.0], "y": []}},
        {"calibration": {"kind": "guess", "x": [1.0], "y": [1.0]}},
        {"calibration": {"kind": "isotonic", "x": [2.0, 1.0], "y": [0.1, 0.2]}},
    ],
    ids=str,
)
def test_a_model_that_could_not_be_asked_is_refused(wrong: dict[str, Any], tmp_path: Path) -> None:
    file, good = tmp_path / "model.json", {
        "version": "m", "inputs": ["lmi"], "means": [0.0], "scales": [1.0], "coefficients": [1.0],
        "intercept": 0.0, "calibration": {"kind": "platt", "x": [1.0, 0.0], "y": []}, "shift": 0.0,
        "bins": {"edges": {}, "shares": {}}, "card": {},
    }  # fmt: skip
    file.write_bytes(orjson.dumps(good))
    assert run("card", file)[0] == 0

    file.write_bytes(orjson.dumps(good | wrong))
    assert run("card", file)[0] != 0
    assert run("apply", "--model", file)[0] != 0
