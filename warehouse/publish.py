"""
Publish datasets: immutable builds, swapped in at one instant, never an older one over a newer.

A draft `<root>/<dataset>/.draft-…/` is a build being written, locked by its writer; nobody reads it. What a
build looks like, and why a glob over it never mixes builds, is said in `builds`.
"""

import os
import shutil
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

from kernel.running.runtime import DATASET_BUILDS
from warehouse import files
from warehouse.builds import (
    GROUPS,
    MANIFEST,
    PARTS,
    Group,
    Manifest,
    Part,
    build_folder,
    group_folder,
    list_parts,
    manifest_of,
    parts_in,
    read_manifest,
)
from warehouse.layout import EMPTY, ROW_GROUP_ROWS, Dataset, conform, group_of

DRAFT: Final = ".draft-"

Step = Callable[[str], None]


class StaleBuildError(Exception):
    """Another build was published since this draft was begun: read again, compute again."""


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


@contextmanager
def begin(root: Path, dataset: Dataset) -> Iterator[Draft]:
    """Open a draft; what is not committed when the block ends is removed. Read inputs only after this."""
    _take_over_flat(root, dataset)
    with _open_draft(root, dataset) as draft:
        yield draft


@contextmanager
def _open_draft(root: Path, dataset: Dataset) -> Iterator[Draft]:
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


class _Flat(Struct, frozen=True):
    """What a manifest of the flat layout lists: all parts, which lie in the build's own folder."""

    parts: list[Part]


def _take_over_flat(root: Path, dataset: Dataset) -> None:
    """Publish a build of the flat layout again, in groups, where one is in force: the same files, linked."""
    in_force = read_manifest(root, dataset)
    if in_force is None or in_force.groups:
        return
    folder = build_folder(root, dataset.name, in_force.build)
    flat = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=_Flat)
    with _open_draft(root, dataset) as draft:
        for part in flat.parts:
            if part.rows:
                (_new_group(draft, group_of(dataset, part.partition)) / part.file).hardlink_to(
                    folder / part.file
                )
                draft.parts.append(part)
        commit(draft, replaced=(), watermark=in_force.watermark, as_of=in_force.as_of, now=datetime.now(UTC))


def previous_parts(draft: Draft, partitions: Collection[str] | None = None) -> list[tuple[Part, Path]]:
    """Return parts of the build that the draft follows, each with its file; `partitions` None is all."""
    if draft.previous is None:
        return []
    return list_parts(draft.root, draft.dataset, draft.previous, partitions)


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
    folder = _new_group(draft, group_of(dataset, partition))
    path = folder / f"{dataset.name}-{partition}-{uuid4().hex[:12]}.parquet"
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


def _new_group(draft: Draft, name: str) -> Path:
    folder = draft.folder / GROUPS / f"{name}.{draft.build:08d}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def commit(
    draft: Draft,
    *,
    replaced: Collection[Part],
    watermark: int,
    as_of: datetime,
    now: datetime,
    step: Step = no_step,
) -> Manifest:
    """
    Put the draft in force: the previous build's parts but the replaced ones, and the draft's own.

    Args:
        draft: with its parts added.
        replaced: the previous build's parts that the draft takes the place of.
        watermark: see `Manifest`.
        as_of: moment of the inputs' snapshot.
        now: moment of publication.
        step: called with a name after each step that a crash could follow.

    Raises:
        StaleBuildError: another build came first; nothing has changed.
    """
    root, dataset = draft.root, draft.dataset
    step("parts_written")
    groups = _regroup(draft, frozenset(replaced))
    if not groups:  # a glob and a view need a file to take the schema from
        empty = add(draft, EMPTY, dataset.schema.empty_table())
        groups = [_finish_group(draft, EMPTY, [empty], [], None)]
    manifest = Manifest(
        dataset=dataset.name,
        schema_version=dataset.version,
        build=draft.build,
        watermark=watermark,
        as_of=as_of,
        published_at=now,
        groups=groups,
    )
    for group in groups:
        link = draft.folder / f"{group.name}.{draft.build:08d}"
        link.symlink_to(Path("..") / GROUPS / group.folder, target_is_directory=True)
    files.write_file(draft.folder / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
    files.sync_folder(draft.folder)
    step("draft_complete")
    with files.locked(root / dataset.name / ".lock"):
        _swap(draft, manifest, step)
    DATASET_BUILDS.labels(dataset.name).inc()
    return manifest


def _regroup(draft: Draft, replaced: frozenset[Part]) -> list[Group]:
    """Finish the groups that change; return them with those that stay as they are, by name."""
    before = {group.name: group for group in draft.previous.groups} if draft.previous else {}
    touched = {group_of(draft.dataset, part.partition) for part in (*draft.parts, *replaced)}
    groups = {name: group for name, group in before.items() if name not in touched and name != EMPTY}
    for name in touched:
        own = [part for part in draft.parts if group_of(draft.dataset, part.partition) == name]
        old = parts_in(group_folder(draft.root, draft.dataset.name, before[name])) if name in before else []
        kept = [part for part in old if part not in replaced and part.rows]
        if own or kept:
            groups[name] = _finish_group(draft, name, own, kept, before.get(name))
    return [groups[name] for name in sorted(groups)]


def _finish_group(draft: Draft, name: str, own: list[Part], kept: list[Part], before: Group | None) -> Group:
    """Link the parts that the group keeps beside the draft's own, and write its list."""
    folder = _new_group(draft, name)
    for part in kept:
        assert before is not None, "what is kept was there"
        (folder / part.file).hardlink_to(group_folder(draft.root, draft.dataset.name, before) / part.file)
    parts = sorted([*kept, *own], key=lambda part: (part.partition, part.file))
    files.write_file(folder / PARTS, msgspec.json.encode(parts))
    files.sync_folder(folder)
    return Group(
        name=name,
        build=draft.build,
        parts=len(parts),
        rows=sum(part.rows for part in parts),
        bytes=sum(part.bytes for part in parts),
    )


def _swap(draft: Draft, manifest: Manifest, step: Step) -> None:
    """Compare with what is in force, and set. The caller holds the dataset's lock."""
    in_force = read_manifest(draft.root, draft.dataset)
    expected = draft.previous.build if draft.previous else None
    if (in_force.build if in_force else None) != expected:
        raise StaleBuildError(f"{draft.dataset.name}: build {expected} is no longer in force")
    folder = build_folder(draft.root, draft.dataset.name, manifest.build)
    groups = folder.with_name(GROUPS)
    groups.mkdir(exist_ok=True)
    # A writer may have died between these steps; nobody was ever led to what it left.
    for left in groups.glob(f"*.{manifest.build:08d}"):
        shutil.rmtree(left)
    if folder.exists():
        files.remove_tree(folder)
    for group in manifest.groups:
        if group.build == manifest.build:
            (draft.folder / GROUPS / group.folder).rename(groups / group.folder)
    (draft.folder / GROUPS).rmdir()
    files.sync_folder(groups)
    step("groups_named")
    draft.folder.rename(folder)
    files.sync_folder(folder.parent)
    step("build_named")
    files.point(draft.root / "current" / draft.dataset.name, f"../{draft.dataset.name}/{folder.name}")
    step("swapped")


def ensure(root: Path, dataset: Dataset, now: datetime) -> Manifest:
    """Return the manifest in force; an empty first build is published where there is none."""
    manifest = read_manifest(root, dataset)
    if manifest is not None and manifest.groups:
        return manifest
    with begin(root, dataset) as draft:
        if draft.previous is not None:  # a flat build was taken over, or another process was first
            return draft.previous
        try:
            return commit(draft, replaced=(), watermark=0, as_of=datetime.fromtimestamp(0, UTC), now=now)
        except StaleBuildError:  # another process was first
            return ensure(root, dataset, now)


def collect(root: Path, dataset: Dataset, *, grace_s: float, now: datetime) -> list[int]:
    """
    Remove drafts whose writer died, and builds replaced more than the grace period ago; return those builds.

    With a build go the folders of the groups that its successor has replaced; the others are in use.
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
            after = manifest_of(root, dataset.name, successor)
            if after.published_at + timedelta(seconds=grace_s) > now:
                break
            kept = {group.folder for group in after.groups}
            for group in manifest_of(root, dataset.name, build).groups:
                if group.folder not in kept:
                    shutil.rmtree(group_folder(root, dataset.name, group), ignore_errors=True)
            files.remove_tree(build_folder(root, dataset.name, build))
            removed.append(build)
    return removed
