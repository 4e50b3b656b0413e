"""
Builds as they lie in a warehouse: what a dataset's files are, which build is in force, whether it is whole.

    <dataset>/00000012-5e3a91f0/        a build: manifest.json, and in a folder a link for each group of
                                        partitions, named after group and build, to where its parts are
    <dataset>/groups/<group>.00000009-c07e44d1/   one group as build 9 left it: parts.json and plain Parquet
                                        files; immutable, and the same for every build since that kept it
    current/<dataset>                   the build in force: in a folder a link to it, swapped by rename; in a
                                        bucket its manifest, put on the condition that nobody else put one

A group is what `layout.group_of` says: a month of days, a hundredth of the exams. So a build costs as much as
the groups that it changes, plus a link and a line for each other one, however many parts there are. Names end
in a token that each draft of a build has of its own: two that are written at a time never meet, and what is
written lies where it will be read from the beginning; nobody is led to it before the swap.

In a folder, `current/<dataset>/*/*.parquet` is one build, whole. Every build has its own names for all of its
groups, and the paths of all its files go through them: they all vanish at once at the swap. Who listed before
it and opens after it gets "no such file" and looks again; with names that outlive a build they would get a
part of the old one, silently, because DuckDB leaves out what vanishes while it lists. Long scans take the
paths of the build itself (the catalogue does): it stays for the grace period.

In a bucket there are no links: a part that a group keeps lies where it was written, and the group's list says
in which folder that is.
"""

import hashlib
import os
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import lru_cache
from typing import IO, Final

import msgspec
import polars as pl
import pyarrow.parquet as pq
from msgspec import Struct

from warehouse.files import Root
from warehouse.layout import Dataset, assert_file, group_of

MANIFEST: Final = "manifest.json"
PARTS: Final = "parts.json"
GROUPS: Final = "groups"
LISTS_MAX: Final = 4096  # of groups' parts that are remembered: they never change
READ_AT_ONCE: Final = 8  # footers: each is a request or two to a bucket
_sound: "Final[dict[tuple[Root, str], tuple[str, tuple[int, ...]]]]" = {}


class CorruptBuildError(Exception):
    """A published file is not what its manifest says; the message names it."""


class Part(Struct, frozen=True, kw_only=True):
    """One Parquet file of one partition. `folder` is the one in `groups` that has it, "" its group's own."""

    file: str
    partition: str
    rows: int
    bytes: int
    sha256: str
    folder: str = ""


class Group(Struct, frozen=True, kw_only=True):
    """Some partitions of a dataset, as `build` left them; the sums are over its parts."""

    name: str
    build: int
    parts: int
    rows: int
    bytes: int
    token: str = ""

    @property
    def folder(self) -> str:
        """Return its folder's name in `groups`."""
        return f"{self.name}.{build_name(self.build, self.token)}"


class Manifest(Struct, frozen=True, kw_only=True):
    """
    What a build is.

    `token` tells it from other drafts of the same build, `follows` is the name of the build that it was made
    from. `watermark` says how far its inputs reach (the events' archive batch; the highest mark taken for
    other datasets); `as_of` is the moment of the snapshot that they were read in. Earlier versions had no
    tokens, and a build without groups is of their flat layout, which `publish.begin` takes over.
    """

    dataset: str
    schema_version: int
    build: int
    watermark: int
    as_of: datetime
    published_at: datetime
    groups: list[Group] = []
    token: str = ""
    follows: str = ""

    @property
    def name(self) -> str:
        """Return its folder's name in the dataset's."""
        return build_name(self.build, self.token)

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


def build_name(build: int, token: str) -> str:
    """Return what a build's folder is called, and what the folders of its groups end in."""
    return f"{build:08d}-{token}" if token else f"{build:08d}"


def group_folder(dataset: str, folder: str) -> str:
    """Return where the parts in a folder of `groups` are."""
    return f"{dataset}/{GROUPS}/{folder}"


def part_key(dataset: str, group: Group, part: Part) -> str:
    """Return where a part of a group is."""
    return f"{group_folder(dataset, part.folder or group.folder)}/{part.file}"


def manifest_of(root: Root, dataset: str, name: str) -> Manifest:
    """Return the manifest of a build that is there."""
    return msgspec.json.decode(root.read(f"{dataset}/{name}/{MANIFEST}"), type=Manifest)


def read_tagged(root: Root, dataset: Dataset) -> tuple[Manifest | None, str | None]:
    """Return the manifest in force and its tag (`Root.put_in_force`); None when nothing was published yet."""
    found = root.read_tagged(f"current/{dataset.name}/{MANIFEST}")
    if found is None:
        return None, None
    content, tag = found
    return msgspec.json.decode(content, type=Manifest), tag


def read_manifest(root: Root, dataset: Dataset) -> Manifest | None:
    """Return the manifest in force, or None when nothing was published yet."""
    return read_tagged(root, dataset)[0]


@lru_cache(maxsize=LISTS_MAX)
def parts_in(root: Root, folder: str) -> tuple[Part, ...]:
    """Return the parts of one group, whose list is in a folder."""
    return msgspec.json.decode(root.read(f"{folder}/{PARTS}"), type=tuple[Part, ...])


def list_parts(
    root: Root, dataset: Dataset, manifest: Manifest, partitions: Collection[str] | None = None
) -> list[tuple[Part, str]]:
    """
    Return a build's parts, each with its key.

    Args:
        root: the warehouse.
        dataset: which.
        manifest: of the build.
        partitions: only these, which opens only their groups; None is all.
    """
    wanted = None if partitions is None else {group_of(dataset, each) for each in partitions}
    groups = [each for each in manifest.groups if wanted is None or each.name in wanted]
    with ThreadPoolExecutor(READ_AT_ONCE) as pool:
        lists = pool.map(lambda group: parts_in(root, group_folder(dataset.name, group.folder)), groups)
        return [
            (part, part_key(dataset.name, group, part))
            for group, parts in zip(groups, lists, strict=True)
            for part in parts
            if partitions is None or part.partition in partitions
        ]


def part_addresses(
    root: Root, dataset: Dataset, manifest: Manifest, partitions: Collection[str] | None = None
) -> list[str]:
    """
    Return the addresses of the immutable files of a build, or of these partitions of it, each with its schema
    checked against the dataset's.

    Raises:
        LayoutError: a file has another schema.
    """
    keys = [key for _, key in list_parts(root, dataset, manifest, partitions)]
    with ThreadPoolExecutor(READ_AT_ONCE) as pool:
        list(pool.map(lambda key: _assert_part(root, dataset, key), keys))
    return [f"{root.location}/{key}" for key in keys]


def assert_sound(
    root: Root, dataset: Dataset, manifest: Manifest, partitions: Collection[str] | None = None
) -> None:
    """
    Check that the files of a build, or of these partitions of it, are byte for byte what was published. One
    that was found to be is read again when it was touched since.

    Raises:
        CorruptBuildError: one is another.
    """
    for part, key in list_parts(root, dataset, manifest, partitions):
        with root.open(key) as file:
            seen = (part.sha256, _identity(file))
            if _sound.get((root, key)) == seen:
                continue
            if sha256_of(file) != part.sha256:
                raise CorruptBuildError(f"{part.file} is not what was published")
        while len(_sound) >= LISTS_MAX:
            del _sound[next(iter(_sound))]
        _sound[root, key] = seen


def sha256_of(file: IO[bytes]) -> str:
    """Return the SHA-256 of what a file has from here to its end, as hex digits."""
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # what `Root.open` gives


def _identity(file: IO[bytes]) -> tuple[int, ...]:
    """Return what changes with a file that somebody writes to; an object of a bucket has nothing such."""
    try:
        status = os.fstat(file.fileno())
    except OSError:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _assert_part(root: Root, dataset: Dataset, key: str) -> None:
    with root.open(key) as file:
        assert_file(dataset, file, key)


def scan(root: Root, addresses: Sequence[str]) -> pl.LazyFrame:
    """Return the rows of files of the warehouse."""
    return pl.scan_parquet(list(addresses), storage_options=root.options)


def verify(root: Root, dataset: Dataset) -> Manifest | None:
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
    for part, key in parts:
        try:
            with root.open(key) as file:
                if sha256_of(file) != part.sha256:
                    raise CorruptBuildError(f"{where}: {part.file} is not what was published")
                assert_file(dataset, file, key)
                if pq.read_metadata(file).num_rows != part.rows:
                    raise CorruptBuildError(f"{where}: {part.file} has another row count")
        except FileNotFoundError as error:
            raise CorruptBuildError(f"{where}: {part.file} is missing") from error
    return manifest
