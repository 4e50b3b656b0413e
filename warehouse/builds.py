"""
Builds as they lie on disk: what a dataset's files are, which build is in force, whether it is whole.

    <root>/<dataset>/00000012/          a build: manifest.json, and for each group of partitions a link named
                                        after group and build, to the folder that holds the group's parts
    <root>/<dataset>/groups/<group>.00000009/   one group as build 9 left it: parts.json and plain Parquet
                                        files; immutable, and the same for every build since that kept it
    <root>/current/<dataset>            a link to the build in force; swapping it by rename publishes

A group is what `layout.group_of` says: a month of days, a hundredth of the exams. So a build costs as much as
the groups that it changes, plus a link and a line for each other one, however many parts there are.

`current/<dataset>/*/*.parquet` is one build, whole. Every build has its own names for all of its groups, and
the paths of all its files go through them: they all vanish at once at the swap. Who listed before it and
opens after it gets "no such file" and looks again; with names that outlive a build they would get a part of
the old one, silently, because DuckDB leaves out what vanishes while it lists. Long scans take the paths of
the build itself (the catalogue does): it stays for the grace period.
"""

from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
import pyarrow.parquet as pq
from msgspec import Struct

from warehouse import files
from warehouse.layout import Dataset, assert_file, group_of

MANIFEST: Final = "manifest.json"
PARTS: Final = "parts.json"
GROUPS: Final = "groups"


class CorruptBuildError(Exception):
    """A published file is not what its manifest says; the message names it."""


class Part(Struct, frozen=True, kw_only=True):
    """One Parquet file of one partition."""

    file: str
    partition: str
    rows: int
    bytes: int
    sha256: str


class Group(Struct, frozen=True, kw_only=True):
    """Some partitions of a dataset, as `build` left them; the sums are over its parts."""

    name: str
    build: int
    parts: int
    rows: int
    bytes: int

    @property
    def folder(self) -> str:
        """Return its folder's name in `groups`."""
        return f"{self.name}.{self.build:08d}"


class Manifest(Struct, frozen=True, kw_only=True):
    """
    What a build is.

    `watermark` says how far its inputs reach (the events' archive batch; the highest mark taken for other
    datasets); `as_of` is the moment of the snapshot that they were read in. A build without groups is of the
    flat layout of earlier versions, which `publish.begin` takes over.
    """

    dataset: str
    schema_version: int
    build: int
    watermark: int
    as_of: datetime
    published_at: datetime
    groups: list[Group] = []

    @property
    def parts(self) -> int:
        """How many parts all groups have."""
        return sum(group.parts for group in self.groups)

    @property
    def rows(self) -> int:
        """Rows of all groups."""
        return sum(group.rows for group in self.groups)

    @property
    def bytes(self) -> int:
        """Bytes of all groups."""
        return sum(group.bytes for group in self.groups)


def build_folder(root: Path, dataset: str, build: int) -> Path:
    """Return where a build's manifest and links are."""
    return root / dataset / f"{build:08d}"


def group_folder(root: Path, dataset: str, group: Group) -> Path:
    """Return where a group's parts are."""
    return root / dataset / GROUPS / group.folder


def manifest_of(root: Path, dataset: str, build: int) -> Manifest:
    """Return the manifest of a build that is there."""
    raw = (build_folder(root, dataset, build) / MANIFEST).read_bytes()
    return msgspec.json.decode(raw, type=Manifest)


def read_manifest(root: Path, dataset: Dataset) -> Manifest | None:
    """Return the manifest in force, or None when nothing was published yet."""
    try:
        raw = (root / "current" / dataset.name / MANIFEST).read_bytes()
    except FileNotFoundError:
        return None
    return msgspec.json.decode(raw, type=Manifest)


def parts_in(folder: Path) -> list[Part]:
    """Return the parts of one group's folder."""
    return msgspec.json.decode((folder / PARTS).read_bytes(), type=list[Part])


def list_parts(
    root: Path, dataset: Dataset, manifest: Manifest, partitions: Collection[str] | None = None
) -> list[tuple[Part, Path]]:
    """
    Return a build's parts, each with its file.

    Args:
        root: the warehouse.
        dataset: which.
        manifest: of the build.
        partitions: only these, which opens only their groups; None is all.
    """
    wanted = None if partitions is None else {group_of(dataset, each) for each in partitions}
    return [
        (part, folder / part.file)
        for group in manifest.groups
        if wanted is None or group.name in wanted
        for folder in [group_folder(root, dataset.name, group)]
        for part in parts_in(folder)
        if partitions is None or part.partition in partitions
    ]


def part_paths(
    root: Path, dataset: Dataset, manifest: Manifest, partitions: Collection[str] | None = None
) -> list[Path]:
    """
    Return the immutable files of a build, or of these partitions of it, each with its schema checked against
    the dataset's.

    Raises:
        LayoutError: a file has another schema.
    """
    paths = [path for _, path in list_parts(root, dataset, manifest, partitions)]
    for path in paths:
        assert_file(dataset, path)
    return paths


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
    where = f"{dataset.name} build {manifest.build}"
    parts = list_parts(root, dataset, manifest)
    if (len(parts), sum(part.rows for part, _ in parts)) != (manifest.parts, manifest.rows):
        raise CorruptBuildError(f"{where}: the groups' parts are not those of the manifest")
    for part, path in parts:
        if not path.exists() or files.sha256(path) != part.sha256:
            raise CorruptBuildError(f"{where}: {part.file} is not what was published")
        assert_file(dataset, path)
        if pq.read_metadata(path).num_rows != part.rows:
            raise CorruptBuildError(f"{where}: {part.file} has another row count")
    return manifest
