import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kernel.settings import Settings
from tests.kits.pipeline_child import put_in_force
from warehouse import builds, catalogue, publish
from warehouse.datasets import DATASETS
from warehouse.datasets.events import EVENTS
from warehouse.files import Root, WarehouseError, open_root
from warehouse.folder import Folder
from warehouse.layout import LayoutError, conform

AT = datetime(2026, 9, 1, tzinfo=UTC)
# For every look: to open one costs four looks. It keeps nothing that it has read.
LOOKING = duckdb.connect(config={"enable_external_file_cache": False})
DAYS = 4  # parts of a month that nothing changes: more than the names that it costs


@pytest.fixture
def root(tmp_path: Path) -> Folder:
    return Folder(str(tmp_path / "warehouse"))


def rows(mark: int, number: int = 10) -> pa.Table:
    """Rows whose event_type says which build they belong to."""
    given = {
        "session_id": list(range(number, 0, -1)),
        "seq": [1] * number,
        "attempt_id": ["a"] * number,
        "exam_id": ["e"] * number,
        "occurred_at": [AT] * number,
        "event_type": [mark] * number,
        "event_type_name": ["Other"] * number,
        "severity": [0] * number,
        "is_violation": [False] * number,
        "is_late": [False] * number,
    }
    columns = [pa.array(given.get(field.name, [None] * number), field.type) for field in EVENTS.schema]
    return pa.table(columns, names=EVENTS.schema.names)


def seen_by_glob(root: Root) -> set[tuple[int, int]]:
    """(mark, rows) of every build that a plain glob shows: one, or builds were mixed."""
    pattern = f"{root.location}/current/events/*/*.parquet"
    return set(
        LOOKING.execute("SELECT event_type, count(*) FROM read_parquet($1) GROUP BY 1", [pattern]).fetchall()
    )


@contextmanager
def busy(publish_next: Callable[[int], object]) -> Iterator[None]:
    """Publish on and on beside what is tried: marks 2, 3, 4 …"""
    halt = threading.Event()

    def keep_publishing() -> None:
        for mark in count(2):
            if halt.is_set():
                return
            publish_next(mark)

    publisher = threading.Thread(target=keep_publishing)
    publisher.start()
    try:
        yield
    finally:
        halt.set()
        publisher.join()


def looks(root: Folder, times: int) -> Iterator[set[tuple[int, int]]]:
    """Yield what each look shows; a file that vanished between listing and opening is an error to repeat."""
    found = 0
    for _ in range(times):
        with suppress(duckdb.IOException):
            yield seen_by_glob(root)
            found += 1
    assert found > 0


def test_a_glob_beside_a_busy_publisher_never_mixes_builds(root: Folder) -> None:
    """spec.md W-4."""
    put_in_force(root, rows(1))
    with busy(lambda mark: put_in_force(root, rows(mark, 10 + mark % 5))):
        for found in looks(root, 80):
            [(mark, number)] = found
            assert number == (10 if mark == 1 else 10 + mark % 5)


@pytest.mark.slow("readers beside builds that go on")
def test_a_glob_never_shows_only_the_parts_that_two_builds_share(root: Folder) -> None:
    """spec.md W-4. DuckDB leaves out what vanishes while it lists: a kept part needs a new name."""
    replace_one_of_many(root, 1, kept=20)
    with busy(lambda mark: replace_one_of_many(root, mark)):
        for found in looks(root, 200):
            assert len(found) == 2, found
            assert (0, 200) in found


def replace_one_of_many(root: Root, mark: int, *, kept: int = 0) -> None:
    """Publish a build that keeps every part but one, or at first so many parts to keep."""
    with publish.begin(root, EVENTS) as draft:
        for _ in range(kept):
            publish.add(draft, "2026-09-01", rows(0))
        publish.add(draft, "2026-09-02", rows(mark))
        replaced = {part for part, _ in publish.previous_parts(draft, {"2026-09-02"})}
        publish.commit(draft, replaced=replaced, watermark=mark, as_of=AT, now=AT)


def test_the_catalogue_is_right_beside_a_busy_publisher(root: Folder) -> None:
    """spec.md W-4: whoever has it open keeps one build; opening it again shows a newer one."""
    for dataset in DATASETS.values():
        publish.ensure(root, dataset, AT)
    put_in_force(root, rows(1))
    path = catalogue.refresh(root)

    def publish_next(mark: int) -> None:
        put_in_force(root, rows(mark, 10 + mark % 5))
        catalogue.refresh(root)
        publish.collect(root, EVENTS, grace_s=60, now=datetime.now(UTC))

    marks = []
    with busy(publish_next):
        for _ in range(25):
            with duckdb.connect(path, read_only=True) as conn:
                first = conn.execute("SELECT event_type, count(*) FROM events GROUP BY 1").fetchall()
                again = conn.execute("SELECT event_type, count(*) FROM events GROUP BY 1").fetchall()
                stated = conn.execute("SELECT rows FROM datasets WHERE dataset = 'events'").fetchone()
            [(mark, number)] = first
            assert again == first
            assert stated == (number,)
            marks.append(mark)
    assert marks == sorted(marks)
    assert len(set(marks)) > 1


def test_a_replaced_build_stays_for_the_grace_period(root: Folder) -> None:
    """design.md: old builds are collected after a grace period, and parts that are still in force stay
    readable."""
    put_in_force(root, rows(1))
    second = put_in_force(root, rows(2))
    replaced_at = second.published_at

    assert publish.collect(root, EVENTS, grace_s=60, now=replaced_at + timedelta(seconds=59)) == []
    assert publish.collect(root, EVENTS, grace_s=60, now=replaced_at + timedelta(seconds=60)) == [1]
    assert builds.verify(root, EVENTS) == second


def test_a_draft_of_a_living_writer_is_not_collected(root: Folder) -> None:
    put_in_force(root, rows(1))
    with publish.begin(root, EVENTS) as draft:
        publish.collect(root, EVENTS, grace_s=0, now=datetime.now(UTC))
        assert (Path(root.location) / draft.folder).exists()


def test_rows_of_another_schema_are_refused(root: Folder) -> None:
    """design.md: one explicit schema per dataset version, asserted on write."""
    with publish.begin(root, EVENTS) as draft:
        with pytest.raises(LayoutError, match="payload"):
            publish.add(draft, "2026-09-01", rows(1).drop_columns(["payload"]))
        with pytest.raises(LayoutError, match="severity is int64"):
            publish.add(draft, "2026-09-01", rows(1).set_column(11, "severity", pa.array([0] * 10)))
        with pytest.raises(LayoutError, match="attempt_id has 10 nulls"):
            publish.add(draft, "2026-09-01", rows(1).set_column(2, "attempt_id", pa.nulls(10, pa.string())))


def test_a_file_of_another_schema_or_content_is_seen_on_read(root: Folder) -> None:
    """design.md: asserted on read; hashes are in the manifest."""
    manifest = put_in_force(root, rows(1))
    path = builds.part_addresses(root, EVENTS, manifest)[0]
    bare = conform(EVENTS, rows(1)).replace_schema_metadata()
    pq.write_table(bare, path)

    with pytest.raises(LayoutError):
        builds.part_addresses(root, EVENTS, manifest)
    with pytest.raises(builds.CorruptBuildError):
        builds.verify(root, EVENTS)


def test_a_file_whose_columns_were_worded_otherwise_is_read(root: Folder) -> None:
    """spec.md W-2: the archive outlives the words of its schema."""
    manifest = put_in_force(root, rows(1))
    [path, _] = builds.part_addresses(root, EVENTS, manifest)
    older = EVENTS.schema.set(0, EVENTS.schema.field(0).with_metadata({"description": "A session."}))
    pq.write_table(conform(EVENTS, rows(1)).cast(older), path)

    assert len(builds.part_addresses(root, EVENTS, manifest)) == 2


def test_descriptions_and_units_travel_in_the_files(root: Folder) -> None:
    """spec.md W-4: schemas and units are documented in the data itself."""
    manifest = put_in_force(root, rows(1))
    schema = pq.read_schema(builds.part_addresses(root, EVENTS, manifest)[0])

    assert schema.metadata[b"veritas.partition_key"] == b"UTC day of occurred_at"
    assert schema.field("payload").metadata[b"unit"] == b"JSON object as text"
    assert all(field.metadata[b"description"] for field in schema)
    assert [
        group.sorting_columns
        for group in [pq.read_metadata(builds.part_addresses(root, EVENTS, manifest)[0]).row_group(0)]
    ]


def test_a_stale_log_beside_the_catalogue_is_cleared(root: Folder) -> None:
    """design.md: a stale .wal is cleared by the publisher."""
    for dataset in DATASETS.values():
        publish.ensure(root, dataset, AT)
    path = catalogue.refresh(root)
    Path(f"{path}.wal").write_bytes(os.urandom(64))

    catalogue.refresh(root)
    with duckdb.connect(path, read_only=True) as conn:
        assert conn.execute("SELECT count(*) FROM datasets").fetchall() == [(len(DATASETS),)]


def test_an_address_of_another_kind_is_refused_by_name() -> None:
    with pytest.raises(WarehouseError, match="gs://bucket"):
        open_root("gs://bucket/veritas", Settings())


def links_and_names(root: Folder) -> int:
    """How many names the build in force and the groups that it changed have: what publishing it cost."""
    manifest = builds.read_manifest(root, EVENTS)
    assert manifest is not None
    changed = [group for group in manifest.groups if group.build == manifest.build]
    folders = [builds.group_folder(EVENTS.name, group.folder) for group in changed]
    return sum(len(root.names(folder)) for folder in (f"events/{manifest.name}", *folders))


@pytest.mark.slow("thousands of parts before it is measured")
def test_a_build_costs_what_it_changes_however_many_parts_there_are(root: Folder) -> None:
    """spec.md X-1: in proportion to what is new. Ten times the months cost their links, not their parts."""
    costs = []
    for months in (1, 10, 100):
        with publish.begin(root, EVENTS) as draft:
            for month in range(months):
                for day in range(1, DAYS + 1):
                    publish.add(draft, f"{1900 + month // 12}-{month % 12 + 1:02d}-{day:02d}", rows(0, 1))
            old = {part for part, _ in publish.previous_parts(draft)}
            publish.commit(draft, replaced=old, watermark=1, as_of=AT, now=AT)
        replace_one_of_many(root, 2)
        costs.append(links_and_names(root))
        assert len(builds.part_addresses(root, EVENTS, publish.ensure(root, EVENTS, AT))) == months * DAYS + 1

    one_month = 1 + 2 + 2  # the manifest and two links; the new part and its list
    assert costs == [one_month, one_month + 9, one_month + 99]


def test_a_build_of_the_flat_layout_is_taken_over_whole(root: Folder) -> None:
    """spec.md W-2: the archive may be the only copy of old events; an upgrade keeps it and its hashes."""
    before = put_in_force(root, rows(1))
    events = Path(root.location) / "events"
    flat = (events / before.name).rename(events / f"{before.build:08d}")
    parts = builds.list_parts(root, EVENTS, before)
    for part, key in parts:
        (Path(root.location) / key).rename(flat / part.file)
    for link in flat.glob("*.0*"):
        link.unlink()
    current = Path(root.location) / "current" / "events"
    current.unlink()
    current.symlink_to(f"../events/{flat.name}")
    old = msgspec.to_builtins(before) | {"parts": msgspec.to_builtins([part for part, _ in parts])}
    for name in ("groups", "token", "follows"):
        del old[name]
    (flat / builds.MANIFEST).write_bytes(msgspec.json.encode(old))

    replace_one_of_many(root, 2)
    publish.collect(root, EVENTS, grace_s=0, now=datetime.now(UTC))
    assert builds.verify(root, EVENTS) is not None
    assert seen_by_glob(root) == {(1, 5), (2, 10)}
    assert not flat.exists()
