"""
Publish datasets: immutable builds, swapped in at one instant, never an older one over a newer.

    <root>/<dataset>/00000012/   a build: manifest.json and the plain Parquet files of all its parts. A part
                                 that a later build keeps is the same file under a second name (a hard link).
    <root>/<dataset>/.draft-…/   a build being written, locked by its writer; nobody reads it.
    <root>/current/<dataset>     a link to the build in force. Swapping it by rename publishes manifest and
                                 files at once; a listing through it is one folder's: one build, whole.

Every build has its own name for every file, also for a part that it keeps. So all the names of one build
vanish at once: who listed it and comes back after the swap gets "no such file" and looks again. With
names that outlive a build it would get a part of the old one, silently: DuckDB leaves out what vanishes while
it lists. Long scans take the paths of the build itself (the catalogue does): it stays for the grace period.
"""

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final
from uuid import uuid4

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct

from kernel.runtime import DATASET_BUILDS
from warehouse import files
from warehouse.layout import ROW_GROUP_ROWS, Dataset, assert_file, conform

MANIFEST: Final = "manifest.json"
DRAFT: Final = ".draft-"
Step = Callable[[str], None]


class StaleBuildError(Exception):
    """Another build was published since this draft was begun: read again, compute again."""


class CorruptBuildError(Exception):
    """A published file is not what its manifest says; the message names it."""


class Part(Struct, frozen=True, kw_only=True):
    """One Parquet file of one partition."""

    file: str
    partition: str
    rows: int
    bytes: int
    sha256: str


class Manifest(Struct, frozen=True, kw_only=True):
    """
    What a build is.

    `watermark` says how far its inputs reach (the events' archive batch; the highest mark taken for other
    datasets); `as_of` is the moment of the snapshot that they were read in.
    """

    dataset: str
    schema_version: int
    build: int
    watermark: int
    as_of: datetime
    published_at: datetime
    parts: list[Part]

    @property
    def rows(self) -> int:
        """Rows of all parts."""
        return sum(part.rows for part in self.parts)


class Draft(Struct, kw_only=True):
    """A build being written. `previous` is what was in force when it was begun, None before the first."""

    root: Path
    dataset: Dataset
    folder: Path
    previous: Manifest | None
    parts: list[Part] = msgspec.field(default_factory=list)

    @property
    def build(self) -> int:
        """Number of the build that this will be."""
        return self.previous.build + 1 if self.previous else 1


def no_step(_: str) -> None:
    """Report nothing."""


def build_folder(root: Path, dataset: str, build: int) -> Path:
    """Return where a build's files are."""
    return root / dataset / f"{build:08d}"


def read_manifest(root: Path, dataset: Dataset) -> Manifest | None:
    """Return the manifest in force, or None when nothing was published yet."""
    try:
        raw = (root / "current" / dataset.name / MANIFEST).read_bytes()
    except FileNotFoundError:
        return None
    return msgspec.json.decode(raw, type=Manifest)


def part_paths(root: Path, dataset: Dataset, manifest: Manifest, *, check: bool = True) -> list[Path]:
    """
    Return the immutable files of a build, each with its schema checked against the dataset's.

    Raises:
        LayoutError: a file has another schema.
    """
    folder = build_folder(root, dataset.name, manifest.build)
    paths = [folder / part.file for part in manifest.parts]
    if check:
        for path in paths:
            assert_file(dataset, path)
    return paths


@contextmanager
def begin(root: Path, dataset: Dataset) -> Iterator[Draft]:
    """Open a draft; what is not committed when the block ends is removed. Read inputs only after this."""
    (root / dataset.name).mkdir(exist_ok=True)
    folder = root / dataset.name / f"{DRAFT}{uuid4().hex}"
    with files.locked(
        root / dataset.name / ".lock"
    ):  # whoever collects meanwhile sees it locked or not at all
        folder.mkdir()
        handle = files.try_lock(folder)
    try:
        yield Draft(root=root, dataset=dataset, folder=folder, previous=read_manifest(root, dataset))
    finally:
        if folder.exists():
            files.remove_tree(folder)
        if handle is not None:
            os.close(handle)


def add(draft: Draft, partition: str, rows: pa.Table) -> Part:
    """
    Write one part of the draft, sorted and durable.

    Args:
        draft: the open draft.
        partition: value of the dataset's partition key that all rows share.
        rows: at most PART_ROWS_MAX by convention; columns in any order.

    Raises:
        LayoutError: the rows do not have the dataset's schema.
    """
    dataset = draft.dataset
    path = draft.folder / _name(f"{dataset.name}-{partition}-{uuid4().hex[:12]}", draft.build)
    order = [pq.SortingColumn(dataset.schema.names.index(name)) for name in dataset.sort]
    pq.write_table(
        conform(dataset, rows), path, compression="zstd", row_group_size=ROW_GROUP_ROWS, sorting_columns=order
    )
    files.sync_file(path)
    part = Part(
        file=path.name,
        partition=partition,
        rows=rows.num_rows,
        bytes=path.stat().st_size,
        sha256=files.sha256(path),
    )
    draft.parts.append(part)
    return part


def commit(
    draft: Draft,
    *,
    replaced: Collection[str],
    watermark: int,
    as_of: datetime,
    now: datetime,
    step: Step = no_step,
) -> Manifest:
    """
    Put the draft in force: the previous build's parts but the replaced ones, and the draft's own.

    Args:
        draft: with its parts added.
        replaced: file names of the previous build's parts that the draft takes the place of.
        watermark: see `Manifest`.
        as_of: moment of the inputs' snapshot.
        now: moment of publication.
        step: called with a name after each step that a crash could follow.

    Raises:
        StaleBuildError: another build came first; nothing has changed.
    """
    root, dataset, previous = draft.root, draft.dataset, draft.previous
    step("parts_written")
    old = previous.parts if previous else []
    assert set(replaced) <= {part.file for part in old}, "only what the previous build has can be replaced"
    kept = _keep(draft, [part for part in old if part.file not in set(replaced) and part.rows])
    if not kept and not draft.parts:
        add(
            draft, "empty", dataset.schema.empty_table()
        )  # a glob and a view need a file to take the schema from
    manifest = Manifest(
        dataset=dataset.name,
        schema_version=dataset.version,
        build=draft.build,
        watermark=watermark,
        as_of=as_of,
        published_at=now,
        parts=sorted([*kept, *draft.parts], key=lambda part: (part.partition, part.file)),
    )
    files.write_file(draft.folder / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
    files.sync_folder(draft.folder)
    step("draft_complete")
    with files.locked(root / dataset.name / ".lock"):
        _swap(draft, manifest, step)
    DATASET_BUILDS.labels(dataset.name).inc()
    return manifest


def _name(stem: str, build: int) -> str:
    return f"{stem}.{build:08d}.parquet"


def _keep(draft: Draft, parts: list[Part]) -> list[Part]:
    """Link parts of the previous build into the draft, under the new build's names."""
    kept = []
    for part in parts:
        assert draft.previous is not None, "parts to keep come from a build"
        name = _name(part.file.partition(".")[0], draft.build)
        source = build_folder(draft.root, draft.dataset.name, draft.previous.build) / part.file
        (draft.folder / name).hardlink_to(source)
        kept.append(msgspec.structs.replace(part, file=name))
    return kept


def _swap(draft: Draft, manifest: Manifest, step: Step) -> None:
    """Compare with what is in force, and set. The caller holds the dataset's lock."""
    in_force = read_manifest(draft.root, draft.dataset)
    expected = draft.previous.build if draft.previous else None
    if (in_force.build if in_force else None) != expected:
        raise StaleBuildError(f"{draft.dataset.name}: build {expected} is no longer in force")
    folder = build_folder(draft.root, draft.dataset.name, manifest.build)
    if folder.exists():  # a writer died between these two steps; nobody was ever led there
        files.remove_tree(folder)
    draft.folder.rename(folder)
    files.sync_folder(folder.parent)
    step("build_named")
    files.point(draft.root / "current" / draft.dataset.name, f"../{draft.dataset.name}/{folder.name}")
    step("swapped")


def ensure(root: Path, dataset: Dataset, now: datetime) -> Manifest:
    """Return the manifest in force; an empty first build is published where there is none."""
    manifest = read_manifest(root, dataset)
    if manifest is not None:
        return manifest
    with begin(root, dataset) as draft:
        try:
            return commit(draft, replaced=(), watermark=0, as_of=datetime.fromtimestamp(0, UTC), now=now)
        except StaleBuildError:  # another process was first
            return ensure(root, dataset, now)


def collect(root: Path, dataset: Dataset, *, grace_s: float, now: datetime) -> list[int]:
    """Remove drafts whose writer died, and builds replaced more than the grace period ago; return those
    builds.
    """
    folder = root / dataset.name
    removed: list[int] = []
    with files.locked(folder / ".lock"):
        for draft in folder.glob(f"{DRAFT}*"):
            handle = files.try_lock(draft)
            if handle is not None:
                files.remove_tree(draft)
                os.close(handle)
        builds = sorted(int(entry.name) for entry in folder.iterdir() if entry.name.isdigit())
        in_force = read_manifest(root, dataset)
        for build, successor in pairwise(builds):
            if in_force is None or successor > in_force.build:
                break
            raw = (build_folder(root, dataset.name, successor) / MANIFEST).read_bytes()
            replaced_at = msgspec.json.decode(raw, type=Manifest).published_at
            if replaced_at + timedelta(seconds=grace_s) <= now:
                files.remove_tree(build_folder(root, dataset.name, build))
                removed.append(build)
    return removed


def verify(root: Path, dataset: Dataset) -> Manifest | None:
    """
    Read the build in force back and compare rows, hashes and schemas with its manifest.

    Raises:
        CorruptBuildError: a file is missing, or its hash or row count is another.
        LayoutError: a file has another schema.
    """
    manifest = read_manifest(root, dataset)
    if manifest is None:
        return None
    for part, path in zip(manifest.parts, part_paths(root, dataset, manifest, check=False), strict=True):
        if not path.exists() or files.sha256(path) != part.sha256:
            raise CorruptBuildError(
                f"{dataset.name} build {manifest.build}: {part.file} is not what was published"
            )
        assert_file(dataset, path)
        if pq.read_metadata(path).num_rows != part.rows:
            raise CorruptBuildError(
                f"{dataset.name} build {manifest.build}: {part.file} has another row count"
            )
    return manifest
