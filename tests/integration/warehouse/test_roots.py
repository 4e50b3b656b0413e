"""spec.md W-4: the warehouse in a folder, and the same in a bucket of a real S3-compatible server."""

import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
import msgspec
import obstore
import polars as pl
import pytest
from obstore.fsspec import FsspecStore

from deploy.commands.doctor_pipeline import bucket_finding
from kernel.settings import Settings
from pipeline.archive import archive_events
from pipeline.jobs import behind, run_job
from pipeline.publications import publish_marked, show_builds
from pipeline.rebuild import rebuild
from pipeline.replays import replay
from sql.running import connect
from tests.integration.warehouse.test_publish import replace_one_of_many, rows, seen_by_glob
from tests.kits.pipeline_child import PUBLISH_STEPS, fold_now, kill_publisher_at, put_in_force
from tests.kits.pipeline_world import make_sittings, rows_of, some_events, store_now
from tests.kits.s3 import BUCKET, running_s3
from tests.kits.warehouse import root_of
from warehouse import builds, catalogue, publish
from warehouse.archived import scan_events
from warehouse.bucket import Bucket
from warehouse.datasets import DATASETS
from warehouse.datasets.events import EVENTS
from warehouse.described import PAGE
from warehouse.files import Root

AT = datetime(2026, 9, 1, tzinfo=UTC)
AWAY = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with running_s3(tmp_path_factory.mktemp("s3") / "server") as settings:
        yield settings


@pytest.fixture
def bucket(s3: dict[str, Any]) -> Settings:
    return Settings(warehouse=f"s3://{BUCKET}/school/{uuid4().hex}", build_grace_s=0, **s3)


@pytest.fixture(params=["folder", "bucket"])
def settings(request: pytest.FixtureRequest, bucket: Settings, tmp_path: Path) -> Settings:
    is_bucket = request.param == "bucket"
    return bucket if is_bucket else msgspec.structs.replace(bucket, warehouse=str(tmp_path / "a" / "b"))


@pytest.fixture
def root(settings: Settings) -> Root:
    return root_of(settings)


def seen(root: Root) -> set[tuple[int, int]]:
    """(mark, rows) of the build in force, which is whole; in a folder a plain glob shows the same."""
    manifest = builds.verify(root, EVENTS)
    assert manifest is not None
    frame = builds.scan(root, builds.part_addresses(root, EVENTS, manifest))
    found = set(frame.group_by("event_type").agg(pl.len()).collect().iter_rows())
    assert not root.has_links or seen_by_glob(root) == found
    return found


def files_below(root: Root, folder: str) -> set[str]:
    """Return the keys below a folder; as folders the server shows emptied ones, too, for a while."""
    if isinstance(root, Bucket):
        return {each["path"] for some in obstore.list(root.store, folder) for each in some}
    place = Path(root.location)
    paths = [path for path in (place / folder).rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(place)) for path in paths}


def keys_by_file(root: Root) -> dict[str, str]:
    manifest = publish.ensure(root, EVENTS, AT)
    return {part.file: key for part, key in builds.list_parts(root, EVENTS, manifest)}


def test_every_root_does_what_a_root_can_do(root: Root) -> None:
    root.write("d/x-1/part", b"abcdef")
    root.make("d/y-1")
    root.settle(["d/x-1"])

    assert root.read("d/x-1/part") == b"abcdef"
    with root.open("d/x-1/part") as file:
        file.seek(-3, 2)
        assert (file.tell(), file.read(2), file.read()) == (3, b"de", b"f")
    assert root.read(root.keep("d/x-1/part", "d/y-1")) == b"abcdef"
    assert root.names("d") == ["x-1", "y-1"]
    for missing in (root.read, root.open):
        with pytest.raises(FileNotFoundError):
            missing("d/nothing")
    assert root.read_tagged("d/nothing") is None
    assert root.names("nothing") == []

    assert root.replace("whole", b"1", None)
    assert not root.replace("whole", b"2", None)
    first = root.read_tagged("whole")
    assert first is not None
    assert root.replace("whole", b"2", first[1])
    assert not root.replace("whole", b"3", first[1])
    assert not root.replace("nothing", b"3", first[1])
    assert root.read("whole") == b"2"

    root.remove("d/y-1")
    root.delete(["d/x-1/part", "d/x-1/other"])
    root.remove("d/y-1")
    assert files_below(root, "d") == set()


@pytest.mark.parametrize("step", PUBLISH_STEPS)
def test_a_publisher_killed_at_any_step_leaves_the_old_build_or_the_new(
    settings: Settings, root: Root, step: str
) -> None:
    put_in_force(root, rows(1))
    assert kill_publisher_at(settings, rows(2, 14), step)
    assert seen(root) == ({(2, 14)} if step == "swapped" else {(1, 10)})

    newest = put_in_force(root, rows(3, 6))
    publish.collect(root, EVENTS, grace_s=0, now=datetime.now(UTC) + timedelta(seconds=1))
    assert seen(root) == {(3, 6)}
    left = {name for key in files_below(root, "events") for name in key.split("/")[1:-1]}
    assert left == {newest.name, builds.GROUPS, f"2026-09.{newest.name}"}


def test_of_publishers_at_a_time_one_is_in_force_and_the_others_are_refused(root: Root) -> None:
    put_in_force(root, rows(0))
    at_once = threading.Barrier(4)
    published: list[int] = []
    refused: list[int] = []

    def try_one(mark: int) -> None:
        with publish.begin(root, EVENTS) as draft:
            publish.add(draft, "2026-09-01", rows(mark))
            old = {part for part, _ in publish.previous_parts(draft)}
            at_once.wait(60)
            try:
                publish.commit(draft, replaced=old, watermark=mark, as_of=AT, now=AT)
            except publish.StaleBuildError:
                refused.append(mark)
            else:
                published.append(mark)

    threads = [threading.Thread(target=try_one, args=(mark,)) for mark in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [mark] = published
    assert sorted([mark, *refused]) == [1, 2, 3, 4]
    assert seen(root) == {(mark, 10)}
    folders = {key.rpartition("/")[0] for key in files_below(root, f"events/{builds.GROUPS}")}
    assert len(folders) == 2, "what was refused is gone"


def test_a_lost_answer_is_not_taken_for_a_refusal(bucket: Settings) -> None:
    """Who puts again because no answer came meets what it has put itself."""
    root = root_of(bucket)
    assert root.replace("current/events/manifest.json", b"mine", None)
    assert root.replace("current/events/manifest.json", b"mine", None)
    assert not root.replace("current/events/manifest.json", b"other", None)


def test_what_a_build_keeps_is_not_copied_and_outlives_the_builds_before(root: Root) -> None:
    """A group that changes takes its other parts along: by a second name, or where they lie."""
    replace_one_of_many(root, 1, kept=2)
    before = {
        part.file: key for part, key in builds.list_parts(root, EVENTS, publish.ensure(root, EVENTS, AT))
    }
    for mark in range(2, 5):
        replace_one_of_many(root, mark)
        publish.collect(root, EVENTS, grace_s=0, now=datetime.now(UTC) + timedelta(seconds=1))

    assert seen(root) == {(0, 20), (4, 10)}
    manifest, after = publish.ensure(root, EVENTS, AT), keys_by_file(root)
    kept = before.keys() & after.keys()
    assert len(kept) == 2
    assert root.has_links or all(before[name] == after[name] for name in kept)
    parts = f"events/groups/2026-09.{manifest.name}/{builds.PARTS}"
    assert files_below(root, "events/groups") == {*after.values(), parts}


def test_analysts_read_the_catalogue_with_duckdb_and_the_manifest_with_polars(
    bucket: Settings, tmp_path: Path
) -> None:
    root = root_of(bucket)
    for dataset in DATASETS.values():
        publish.ensure(root, dataset, AT)
    replace_one_of_many(root, 7, kept=2)
    catalogue.refresh(root)
    path = tmp_path / "catalogue.duckdb"
    path.write_bytes(root.read("catalogue.duckdb"))
    replace_one_of_many(root, 8)

    config: Any = {
        "endpoint": bucket.s3_endpoint,
        "access_key_id": bucket.s3_access_key,
        "secret_access_key": bucket.s3_secret_key,
        "region": bucket.s3_region,
    }
    with duckdb.connect(str(path), read_only=True) as conn:
        conn.register_filesystem(FsspecStore("s3", config=config, client_options={"allow_http": True}))
        found = conn.execute("SELECT event_type, count(*) FROM events GROUP BY 1 ORDER BY 1").fetchall()
        assert found == [(0, 20), (7, 10)], "the build of when it was fetched"
        assert conn.execute("SELECT count(*) FROM attempt_activity").fetchall() == [(0,)]
        assert conn.execute("SELECT rows FROM datasets WHERE dataset = 'events'").fetchall() == [(30,)]
        conn.unregister_filesystem("s3")
    assert seen(root) == {(0, 20), (8, 10)}

    [program] = re.findall(r"```python\n([^`]*import obstore.*?)```", PAGE.read_text(), re.DOTALL)
    assert isinstance(root, Bucket)
    names: dict[str, Any] = {"store": root.store, "root": root.location, "options": root.options}
    exec(program, names)  # noqa: S102  what docs/warehouse.md shows
    assert names["events"].height == 30


def test_the_pipeline_works_on_a_bucket(
    bucket: Settings, database_as: Callable[[str], str], database: str
) -> None:
    """spec.md W-2, W-4: archive, publication, rebuild and replay of scores."""
    settings = msgspec.structs.replace(bucket, database_url=database_as("veritas_pipeline"))
    first, second = make_sittings(database)
    for sitting in (first, second):
        store_now(database, sitting, some_events(sitting, 12))
    fold_now(settings)
    assert archive_events(settings) == 24
    assert publish_marked(settings)["attempt_activity"] == 1
    store_now(database, first, some_events(first, 3))
    assert archive_events(settings) == 3
    show_builds(settings)

    root = root_of(settings)
    keys = rows_of(database, "SELECT session_id, seq FROM events ORDER BY 1, 2")

    def archived() -> list[tuple[Any, ...]]:
        scanned = scan_events(root, first.started_at, first.started_at + timedelta(days=1))
        return scanned.select("session_id", "seq").sort("session_id", "seq").collect().rows()

    assert archived() == keys
    assert rebuild(settings).events == 27
    assert archived() == keys
    manifest = builds.verify(root, DATASETS["attempt_activity"])
    assert manifest is not None
    assert manifest.rows == 2
    with connect(database) as conn:
        found = replay(conn, root, first.session_id, limit=10)
    assert found
    assert all(each.is_equal and each.from_archive is not None for each in found)


def test_a_bucket_that_is_away_is_named(
    bucket: Settings, database_as: Callable[[str], str], database: str
) -> None:
    """Readiness and `veritas doctor` say it, and nobody waits for it but its own job."""
    away = msgspec.structs.replace(
        bucket, s3_endpoint=AWAY, database_url=database_as("veritas_pipeline"), warehouse="s3://away/x"
    )
    assert bucket_finding(bucket).ok
    finding = bucket_finding(away)
    assert not finding.ok
    assert "s3://away/x: " in finding.found
    assert AWAY in finding.found

    [sitting] = make_sittings(database, attempts=1)
    store_now(database, sitting, some_events(sitting, 3))
    run_job(away, "archive", lambda: _archive(away))
    with connect(away.database_url) as conn:
        [said] = behind(conn, away)
    assert said.startswith("The archive of events fails since ")
    assert AWAY in said


def _archive(settings: Settings) -> None:
    archive_events(settings)
