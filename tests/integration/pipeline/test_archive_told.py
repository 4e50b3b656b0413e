"""Every file of the event archive is on the ledger, and what is changed there is found (spec.md W-2)."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from deploy.commands.ledger import archive
from kernel.settings import Settings
from pipeline.archive import archive_events
from pipeline.archive_told import File, Report, Telling, by_name, check, events_of, gathered
from pipeline.publications import open_warehouse
from pipeline.rebuild import rebuild
from sql.running import connect
from tests.kits.pipeline_child import put_in_force
from tests.kits.pipeline_world import make_sittings, some_events, store_now
from tests.kits.warehouse import root_of
from warehouse.builds import list_parts, read_manifest
from warehouse.datasets.events import EVENTS

DAYS_APART_S = 86_400.0
AT = datetime(2026, 9, 1, 9, tzinfo=UTC)
files = st.builds(
    File, st.text("abc", min_size=1, max_size=4), st.text("0f", min_size=2, max_size=2), st.integers(1, 9)
)


@pytest.fixture
def settings(database: str, database_as: Callable[[str], str], tmp_path: Path) -> Settings:
    """Five events of a sitting, on five days, in an archive that was opened before."""
    found = Settings(database_url=database_as("veritas_pipeline"), warehouse=str(tmp_path / "warehouse"))
    open_warehouse(found)
    (sitting,) = make_sittings(database, attempts=1)
    store_now(database, sitting, some_events(sitting, 5, seconds=DAYS_APART_S))
    archive_events(found)
    return found


def checked(settings: Settings) -> Report:
    with connect(settings.database_url) as conn:
        return check(conn, root_of(settings))


def paths(settings: Settings) -> list[Path]:
    root = root_of(settings)
    manifest = read_manifest(root, EVENTS)
    assert manifest is not None
    return [Path(root.location) / key for _, key in list_parts(root, EVENTS, manifest)]


def test_a_changed_a_missing_and_an_untold_file_are_found(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VERITAS_DATABASE_URL", settings.database_url)
    monkeypatch.setenv("VERITAS_WAREHOUSE", settings.warehouse)
    archive()
    assert capsys.readouterr().out == "5 files of 5 events are as the ledger has them\n"

    changed, gone, *others = paths(settings)
    content = changed.read_bytes()
    changed.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    gone.unlink()
    with pytest.raises(typer.Exit):
        archive()
    assert sorted(checked(settings).findings) == sorted(
        [f"{changed.name}: it is another than the ledger says", f"{gone.name}: it is not there"]
    )

    put_in_force(root_of(settings), pq.read_table(others[0]))
    said = [each.partition(": ")[2].partition(" on ")[0] for each in checked(settings).findings]
    assert said == ["the ledger does not speak of it", *["the ledger has it"] * 5]


def test_a_later_batch_takes_the_place_of_a_day_and_an_archive_that_begins_anew_says_so(
    settings: Settings,
) -> None:
    before = checked(settings)
    assert (before.rows, before.findings, before.remarks) == (5, [], [])

    shutil.rmtree(settings.warehouse)
    rebuild(settings)

    after = checked(settings)
    assert (after.rows, after.findings) == (5, [])
    assert [each.partition(" the ")[2] for each in after.remarks] == [
        "archive began anew; 5 files were told before"
    ]


days_of = st.dictionaries(
    st.dates().map(str), st.lists(files, unique_by=lambda each: each.file, min_size=1, max_size=5), max_size=3
)


@given(days_of)
def test_what_is_told_in_however_many_events_is_what_was_planned(days: dict[str, list[File]]) -> None:
    """A day may go on in the next event; another batch's takes its place."""
    later = Telling(is_anew=False, days={day: each[:1] for day, each in days.items()})
    first = list(events_of(7, Telling(is_anew=True, days=days), AT, files_max=2))

    assert all(sum(map(len, event.detail["days"].values())) <= 2 for event in first)
    assert [n for n, event in enumerate(first) if event.detail["is_anew"]] == [0][: len(first)]
    assert sorted(first, key=lambda event: event.event_id) == first
    assert gathered(first) == ({day: by_name(each) for day, each in days.items()}, [])
    assert gathered([*first, *events_of(8, later, AT)]) == (
        {day: by_name(each) for day, each in later.days.items()},
        [],
    )
