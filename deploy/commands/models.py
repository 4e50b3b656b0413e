"""
`veritas model …`: train a model of leaving, score with it, read its card, see whether it has drifted.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from deploy.commands.helps import Group
from deploy.local.server import ServerError

if TYPE_CHECKING:
    import polars as pl

    from kernel.settings import Settings
    from pipeline.features.models import Model

app = typer.Typer(cls=Group, help="Models of who leaves.", no_args_is_help=True)
DRIFTED: Final = 1
HORIZON_MAX: Final = 3650  # days

HorizonDays = Annotated[int, typer.Option(min=1, max=HORIZON_MAX, help="Days within which leaving counts.")]
Progress = Annotated[
    Path,
    typer.Argument(
        exists=True,
        dir_okay=False,
        help="CSV or Parquet with the columns of PROGRESS (docs/analytics.md, “How likely somebody leaves”).",
    ),
]
ModelFile = Annotated[Path, typer.Option("--model", exists=True, dir_okay=False, help="The model's file.")]
State = Annotated[
    Path | None,
    typer.Option("--state", help="Folder of the local stack; VERITAS_STATE or .veritas by default."),
]
Out = Annotated[Path, typer.Option("--out", dir_okay=False, help="File to write.")]


@app.callback()
def group() -> None:
    """Train models of who leaves, score with them, and see whether they still hold."""


@app.command()
def train(
    progress: Progress,
    out: Out,
    version: Annotated[str, typer.Option(help="What the model is called in what it scores.")],
    horizon_days: Annotated[
        int, typer.Option(min=1, max=HORIZON_MAX, help="Days within which leaving counts.")
    ],
    base_rate: Annotated[
        float | None, typer.Option(min=0.0001, max=0.9999, help="Share who leave where it will be used.")
    ] = None,
    as_of: Annotated[datetime | None, typer.Option(help="The card's date, UTC; now by default.")] = None,
) -> None:
    """
    Train on closed cohorts, and write the model with its card.

    Exits with 2 where there are under 200 outcomes, or all of one kind.
    """
    import msgspec  # noqa: PLC0415

    from pipeline.features import training  # noqa: PLC0415

    moment = datetime.now(UTC) if as_of is None else as_of.replace(tzinfo=UTC)
    try:
        model = training.train(
            _progress(progress), version=version, as_of=moment, horizon_days=horizon_days, base_rate=base_rate
        )
    except training.TooFewError as error:
        raise ServerError(str(error)) from error
    out.write_bytes(msgspec.json.format(msgspec.json.encode(model)))
    _show(model)


@app.command()
def progress(
    out: Out,
    horizon_days: Annotated[
        int, typer.Option(min=1, max=HORIZON_MAX, help="Days within which leaving counts.")
    ],
    cut_off: Annotated[
        list[datetime] | None,
        typer.Option(
            help="Up to when everything counts, UTC; may be given often. Today's midnight by default."
        ),
    ] = None,
    state: State = None,
) -> None:
    """
    Write what each group's members had done by each cut-off, and who left where that is known already.

    People are their ids, nothing else of them. Groups with fewer than ten who were enrolled are left out.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415

    from pipeline.features.models import PROGRESS  # noqa: PLC0415
    from pipeline.leaving import progress_of  # noqa: PLC0415

    now = datetime.now(UTC)
    empty = PROGRESS.schema.to_frame()
    rows = 0
    found = progress_of(_database(state), _moments(cut_off, now), horizon_days=horizon_days, as_of=now)
    if out.suffix == ".parquet":
        with pq.ParquetWriter(out, empty.to_arrow().schema) as writer:
            for each in found:
                writer.write_table(each.to_arrow().cast(writer.schema))
                rows += each.height
    else:
        with out.open("wb") as file:
            empty.write_csv(file)
            for each in found:
                each.write_csv(file, include_header=False)
                rows += each.height
    print(f"{rows} rows.")


@app.command()
def apply(
    model: ModelFile,
    cut_off: Annotated[
        datetime | None, typer.Option(help="As of when, UTC. Today's midnight by default.")
    ] = None,
    state: State = None,
) -> None:
    """
    Score everybody who is enrolled, as of a cut-off: their labels follow, by their last attempt until then.

    The horizon is the one that the model's card has. Exits with 2 where the file is no model.
    """
    from pipeline import leaving  # noqa: PLC0415

    known, text, now = _model(model), model.read_bytes(), datetime.now(UTC)
    horizon_days = known.card.get("horizon_days")
    if not isinstance(horizon_days, int) or not 1 <= horizon_days <= HORIZON_MAX:
        raise ServerError(f"{model} is no model: its card has no horizon_days from 1 to {HORIZON_MAX}")
    [moment] = _moments([cut_off] if cut_off else None, now)
    students, attempts = leaving.apply(
        _database(state),
        known,
        leaving.version_in_file(known, text),
        cut_off=moment,
        horizon_days=horizon_days,
        now=now,
    )
    print(f"{students} students scored, {attempts} attempts marked for their turn.")


@app.command()
def score(progress: Progress, model: ModelFile, out: Out) -> None:
    """Write a row for each enrolled student: probability, coverage, reasons, the model's version."""
    from pipeline.features import models  # noqa: PLC0415

    scored = models.score(_model(model), _progress(progress))
    if out.suffix == ".parquet":
        scored.write_parquet(out)
    else:
        scored.write_csv(out)
    print(f"{scored.height} students scored.")


@app.command()
def card(model: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Its file.")]) -> None:
    """Say what a model was made of, when, how good it is, and who is left out."""
    _show(_model(model))


@app.command()
def words(
    rows: Annotated[
        int, typer.Option(min=1, max=100_000, help="Attempts at most, the most urgent first.")
    ] = 100,
    state: State = None,
) -> None:
    """
    Let the language model of the settings (VERITAS_LLM_URL) word attempts' reasons.

    It is told numbers and sentences of ours, no id, name or text of anybody's. What it says that rests on no
    reason is left out; where nothing is left, or it is not there, the text of the rules stands.

    Exits with 2 where no model is set.
    """
    from pipeline.writer import write_due  # noqa: PLC0415

    settings = _settings(state)
    if not (settings.llm_url and settings.llm_model):
        raise ServerError("no model is set: VERITAS_LLM_URL and VERITAS_LLM_MODEL")
    worded, asked = write_due(_of_database(settings), rows_max=rows)
    print(f"{worded} of {asked} attempts were worded by {settings.llm_model}.")


@app.command()
def drift(progress: Progress, model: ModelFile) -> None:
    """
    Compare today's students with those of the training, and what was predicted with what came about.

    Exits with 1 where an input or the score has drifted far (PSI from 0.25 on).
    """
    from pipeline.features import models  # noqa: PLC0415

    known, given = _model(model), _progress(progress)
    table = Table(title="Drift since the training: PSI", title_justify="left")
    for name in ("input", "PSI", "verdict", "students"):
        table.add_column(name)
    found = models.drift(known, given)
    for each in found:
        psi = "" if each["psi"] is None else f"{each['psi']:.3f}"
        table.add_row(each["name"], psi, each["verdict"], str(each["n"]))
    Console(highlight=False).print(table)
    _table("What came about", models.calibration_report(known, given))
    if any(each["verdict"] == "act" for each in found):
        raise typer.Exit(DRIFTED)


def _show(model: "Model") -> None:
    card = dict(model.card)
    metrics = card.pop("metrics", {})
    _table(f"Model {model.version}", {**card, **metrics, "calibration": model.calibration.kind})
    weights = sorted(zip(model.inputs, model.coefficients, strict=True), key=lambda each: -abs(each[1]))
    _table("What weighs how much, standardised", dict(weights))


def _table(title: str, values: dict[str, Any]) -> None:
    table = Table(title=title, title_justify="left", show_header=False)
    for name, value in values.items():
        table.add_row(name, f"{value:.4f}" if isinstance(value, float) else str(value))
    Console(highlight=False).print(table)


def _settings(state: Path | None) -> "Settings":
    from kernel.settings import load  # noqa: PLC0415

    return load() if state is None else load(state=str(state))


def _of_database(settings: "Settings") -> "Settings":
    """Return settings that name the database of these."""
    from msgspec.structs import replace  # noqa: PLC0415

    from deploy.local.stack import database_url_of  # noqa: PLC0415

    return replace(settings, database_url=database_url_of(settings))


def _database(state: Path | None) -> "Settings":
    return _of_database(_settings(state))


def _moments(given: list[datetime] | None, now: datetime) -> list[datetime]:
    """Return cut-offs in UTC, ascending; the last midnight where none is given."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    moments = sorted({each.replace(tzinfo=UTC) for each in given or [midnight]})
    if moments[-1] > now:
        raise ServerError(f"the cut-off {moments[-1]:%Y-%m-%d %H:%M} is yet to come")
    return moments


def _model(path: Path) -> "Model":
    import msgspec  # noqa: PLC0415

    from pipeline.features.models import read_model  # noqa: PLC0415

    try:
        return read_model(path.read_bytes())
    except msgspec.DecodeError as error:
        raise ServerError(f"{path} is no model: {error}") from error


def _progress(path: Path) -> "pl.DataFrame":
    """Return the rows of a file in the types of PROGRESS."""
    import polars as pl  # noqa: PLC0415

    from pipeline.features.models import PROGRESS  # noqa: PLC0415

    try:
        if path.suffix == ".parquet":
            found = pl.read_parquet(path)
        else:
            found = pl.read_csv(path, infer_schema=False).with_columns(
                pl.col("cut_off").str.to_datetime("%+", time_zone="UTC", time_unit="us"),
                pl.col("is_enrolled", "has_left").str.to_lowercase().replace({"": None}) == "true",
            )
        return found.select(pl.col(name).cast(kind) for name, kind in PROGRESS.schema.items())
    except pl.exceptions.PolarsError as error:
        raise ServerError(f"{path} is not what a model takes: {error}") from error
