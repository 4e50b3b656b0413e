"""
Publish datasets: immutable builds, put in force at one instant, never an older one over a newer.

What a build looks like, and why a glob over it never mixes builds, is said in `builds`. A draft is a build
that nobody is led to yet. It follows the build that was in force when it was begun, and can be put in force
only while that one is. So a draft whose number is not above the one in force, and which none of those that
led to it follows, is of a writer that died or will be refused: whoever collects knows it by that alone, and
no writer holds a lock or a lease.
"""

import hashlib
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final
from uuid import uuid4

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct

from kernel.running.runtime import DATASET_BUILDS
from warehouse.builds import (
    GROUPS,
    MANIFEST,
    PARTS,
    Group,
    Manifest,
    Part,
    build_name,
    group_folder,
    list_parts,
    manifest_of,
    part_key,
    parts_in,
    read_manifest,
    read_tagged,
)
from warehouse.files import ROOT_FAILS, Root
from warehouse.layout import EMPTY, ROW_GROUP_ROWS, Dataset, conform, group_of

BUILD: Final = re.compile(r"(\d{8,})(-[0-9a-f]+)?")

Step = Callable[[str], None]


class StaleBuildError(Exception):
    """Another build was published since this draft was begun: read again, compute again."""


class Draft(Struct, kw_only=True):
    """
    A build being written. `previous` is what was in force when it was begun, and `tag` is of its manifest;
    None before the first. `is_offered`: it may be in force.
    """

    root: Root
    dataset: Dataset
    token: str
    previous: Manifest | None
    tag: str | None
    parts: list[Part] = []
    folders: set[str] = set()
    is_offered: bool = False

    @property
    def build(self) -> int:
        """Number of the build that this will be."""
        return self.previous.build + 1 if self.previous else 1

    @property
    def name(self) -> str:
        """Name of the build that this will be."""
        return build_name(self.build, self.token)

    @property
    def folder(self) -> str:
        """Where its manifest will be."""
        return f"{self.dataset.name}/{self.name}"

    def group(self, name: str) -> str:
        """Return where its parts of a group are."""
        folder = group_folder(self.dataset.name, f"{name}.{self.name}")
        self.folders.add(folder)
        return folder


def no_step(_: str) -> None:
    """Report nothing."""


@contextmanager
def begin(root: Root, dataset: Dataset) -> Iterator[Draft]:
    """Open a draft; what is not committed when the block ends is removed. Read inputs only after this."""
    _take_over_flat(root, dataset)
    with _open_draft(root, dataset) as draft:
        yield draft


@contextmanager
def _open_draft(root: Root, dataset: Dataset) -> Iterator[Draft]:
    previous, tag = read_tagged(root, dataset)
    draft = Draft(root=root, dataset=dataset, token=uuid4().hex[:8], previous=previous, tag=tag)
    root.make(draft.folder)
    try:
        yield draft
    finally:
        if not draft.is_offered:
            with suppress(*ROOT_FAILS):  # what stays is collected once another build is in force
                for folder in (*draft.folders, draft.folder):
                    root.remove(folder)


class _Flat(Struct, frozen=True):
    """What a manifest of the flat layout lists: all parts, which lie in the build's own folder."""

    parts: list[Part]


def _take_over_flat(root: Root, dataset: Dataset) -> None:
    """Publish a build of the flat layout again, in groups, where one is in force: the same files, linked."""
    in_force = read_manifest(root, dataset)
    if in_force is None or in_force.groups:
        return
    folder = f"{dataset.name}/{in_force.name}"
    flat = msgspec.json.decode(root.read(f"{folder}/{MANIFEST}"), type=_Flat)
    with _open_draft(root, dataset) as draft:
        for part in flat.parts:
            if part.rows:
                root.keep(f"{folder}/{part.file}", draft.group(group_of(dataset, part.partition)))
                draft.parts.append(part)
        commit(draft, replaced=(), watermark=in_force.watermark, as_of=in_force.as_of, now=datetime.now(UTC))


def previous_parts(draft: Draft, partitions: Collection[str] | None = None) -> list[tuple[Part, str]]:
    """Return parts of the build that the draft follows, each with its key; `partitions` None is all."""
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
    order = [pq.SortingColumn(dataset.schema.names.index(name)) for name in dataset.sort]
    file = pa.BufferOutputStream()
    pq.write_table(
        conform(dataset, rows), file, compression="zstd", row_group_size=ROW_GROUP_ROWS, sorting_columns=order
    )
    content = file.getvalue().to_pybytes()
    part = Part(
        file=f"{dataset.name}-{partition}-{uuid4().hex[:12]}.parquet",
        partition=partition,
        rows=rows.num_rows,
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    draft.root.write(f"{draft.group(group_of(dataset, partition))}/{part.file}", content)
    draft.parts.append(part)
    return part


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
        token=draft.token,
        follows=draft.previous.name if draft.previous else "",
    )
    step("groups_complete")
    links = {f"{each.name}.{draft.name}": group_folder(dataset.name, each.folder) for each in groups}
    root.expose(draft.folder, links)
    content = msgspec.json.format(msgspec.json.encode(manifest))
    root.write(f"{draft.folder}/{MANIFEST}", content)
    root.settle([*draft.folders, draft.folder])
    step("draft_complete")
    draft.is_offered = True  # an answer that is lost on its way says neither yes nor no
    draft.is_offered = root.put_in_force(dataset.name, draft.name, content, draft.tag)
    if not draft.is_offered:
        before = draft.previous.name if draft.previous else "none"
        raise StaleBuildError(f"{dataset.name}: build {before} is no longer in force")
    step("swapped")
    DATASET_BUILDS.labels(dataset.name).inc()
    return manifest


def _regroup(draft: Draft, replaced: frozenset[Part]) -> list[Group]:
    """Finish the groups that change; return them with those that stay as they are, by name."""
    before = {group.name: group for group in draft.previous.groups} if draft.previous else {}
    touched = {group_of(draft.dataset, part.partition) for part in (*draft.parts, *replaced)}
    groups = {name: group for name, group in before.items() if name not in touched and name != EMPTY}
    for name in touched:
        own = [part for part in draft.parts if group_of(draft.dataset, part.partition) == name]
        old = _parts_of(draft.root, draft.dataset, before[name]) if name in before else ()
        kept = [part for part in old if part not in replaced and part.rows]
        if own or kept:
            groups[name] = _finish_group(draft, name, own, kept, before.get(name))
    return [groups[name] for name in sorted(groups)]


def _finish_group(draft: Draft, name: str, own: list[Part], kept: list[Part], before: Group | None) -> Group:
    """Take the parts that the group keeps beside the draft's own, and write its list."""
    folder = draft.group(name)
    held = []
    for part in kept:
        assert before is not None, "what is kept was there"
        key = draft.root.keep(part_key(draft.dataset.name, before, part), folder)
        home = key.removesuffix(f"/{part.file}")
        held.append(msgspec.structs.replace(part, folder="" if home == folder else home.rpartition("/")[2]))
    parts = sorted([*held, *own], key=lambda part: (part.partition, part.file))
    draft.root.write(f"{folder}/{PARTS}", msgspec.json.encode(parts))
    return Group(
        name=name,
        build=draft.build,
        parts=len(parts),
        rows=sum(part.rows for part in parts),
        bytes=sum(part.bytes for part in parts),
        token=draft.token,
    )


def _keys(root: Root, dataset: Dataset, group: Group) -> set[str]:
    return {part_key(dataset.name, group, part) for part in _parts_of(root, dataset, group)}


def _parts_of(root: Root, dataset: Dataset, group: Group) -> tuple[Part, ...]:
    return parts_in(root, group_folder(dataset.name, group.folder))


def ensure(root: Root, dataset: Dataset, now: datetime) -> Manifest:
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


def collect(root: Root, dataset: Dataset, *, grace_s: float, now: datetime) -> list[int]:
    """
    Remove drafts that can never be in force, and builds replaced more than the grace period ago, the oldest
    first; return those builds.

    With a build go the parts that its successor does not have; the others are in use.
    """
    names = {name for name in root.names(dataset.name) if BUILD.fullmatch(name)}
    chain = list(_led_to(root, dataset, names))
    if not chain:
        return []
    for name in names - {each.name for each in chain}:
        if int(name.partition("-")[0]) <= chain[0].build:
            _remove_draft(root, dataset, name, chain)
    removed: list[int] = []
    for build, successor in pairwise(reversed(chain)):
        if successor.published_at + timedelta(seconds=grace_s) > now:
            break
        _remove_build(root, dataset, build, successor)
        removed.append(build.build)
    return removed


def _led_to(root: Root, dataset: Dataset, names: Collection[str]) -> Iterator[Manifest]:
    """Yield the manifest in force, and those of the builds that led to it, as far back as they are there."""
    each = read_manifest(root, dataset)
    while each is not None:
        yield each
        before = each.follows or build_name(each.build - 1, "")
        try:
            each = manifest_of(root, dataset.name, before) if before in names else None
        except FileNotFoundError:
            return


def _remove_draft(root: Root, dataset: Dataset, name: str, chain: list[Manifest]) -> None:
    """Remove a draft and its groups; what a build has, in spite of the name, stays."""
    for folder in root.names(f"{dataset.name}/{GROUPS}"):
        if folder.endswith(f".{name}") and not _is_in_use(root, dataset, folder, chain):
            root.remove(group_folder(dataset.name, folder))
    root.remove(f"{dataset.name}/{name}")


def _is_in_use(root: Root, dataset: Dataset, folder: str, chain: list[Manifest]) -> bool:
    groups = [group for build in chain for group in build.groups if folder.startswith(f"{group.name}.")]
    return any(
        group.folder == folder or any(part.folder == folder for part in _parts_of(root, dataset, group))
        for group in groups
    )


def _remove_build(root: Root, dataset: Dataset, build: Manifest, successor: Manifest) -> None:
    """Remove what the successor does not have, a group's list after its parts, and the manifest last."""
    after = {group.name: group for group in successor.groups}
    for group in build.groups:
        new = after.get(group.name)
        if new is not None and new.folder == group.folder:
            continue
        with suppress(FileNotFoundError):  # somebody began with it before, and got as far as the list
            in_use = set() if new is None else _keys(root, dataset, new)
            root.delete(sorted(_keys(root, dataset, group) - in_use))
            root.delete([f"{group_folder(dataset.name, group.folder)}/{PARTS}"])
    root.remove(f"{dataset.name}/{build.name}")
