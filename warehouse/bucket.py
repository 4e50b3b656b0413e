"""
A bucket as the place of a warehouse, as `warehouse.files.Root` says: files are objects, a file in force is
replaced by a conditional put, and what a build keeps of another stays where it lies.
"""

import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import IO, TYPE_CHECKING, Final

import obstore
from obstore.exceptions import AlreadyExistsError, PreconditionError
from obstore.store import S3Store

from kernel.settings import Settings
from kernel.storage.s3 import open_bucket

if TYPE_CHECKING:
    from obstore.store import RetryConfig

DRAFT: Final = "draft"  # the object that says of a folder that it is there
RETRY: Final["RetryConfig"] = {"max_retries": 5, "retry_timeout": timedelta(seconds=20)}
REFUSED: Final = (AlreadyExistsError, PreconditionError, FileNotFoundError)


@dataclass(frozen=True)
class Bucket:
    """A warehouse below a prefix of a bucket, as `bucket_at` names it."""

    location: str
    options: dict[str, str] = field(compare=False)
    store: S3Store = field(compare=False)
    has_links: bool = False

    def write(self, key: str, content: bytes) -> None:
        """Put an object; a large one in parts, which the last one makes an object."""
        obstore.put(self.store, key, content)

    def read(self, key: str) -> bytes:
        """Return an object's content."""
        return bytes(obstore.get(self.store, key).bytes())

    def read_tagged(self, key: str) -> tuple[bytes, str] | None:
        """Return content and tag, the ETag of the very answer."""
        try:
            found = obstore.get(self.store, key)
        except FileNotFoundError:
            return None
        tag = found.meta["e_tag"]
        assert tag is not None, "a store of conditional puts has tags"
        return bytes(found.bytes()), tag

    def open(self, key: str) -> IO[bytes]:
        """Open an object, of which pieces are fetched as they are read."""
        return io.BufferedReader(_Reader(self.store, key))

    def keep(self, key: str, folder: str) -> str:  # noqa: ARG002
        """Leave it where it lies."""
        return key

    def expose(self, folder: str, targets: Mapping[str, str]) -> None:
        """Do nothing: there are no links."""

    def settle(self, folders: Collection[str]) -> None:
        """Do nothing: an object that was put is durable."""

    def make(self, folder: str) -> None:
        """Put an object that says of the folder that it is there."""
        obstore.put(self.store, f"{folder}/{DRAFT}", b"")

    def names(self, folder: str) -> list[str]:
        """Return what the keys below a folder begin with, up to the next slash."""
        found = obstore.list_with_delimiter(self.store, folder)
        paths = [*found["common_prefixes"], *(each["path"] for each in found["objects"])]
        return sorted(path.rpartition("/")[2] for path in paths)

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects, many with one request."""
        if keys:
            obstore.delete(self.store, list(keys))

    def remove(self, folder: str) -> None:
        """Delete the objects below a folder."""
        for some in obstore.list(self.store, folder):
            self.delete([each["path"] for each in some])

    def replace(self, key: str, content: bytes, tag: str | None) -> bool:
        """Put an object on the condition that the old one still is there."""
        mode: obstore.PutMode = "create" if tag is None else {"e_tag": tag}
        try:
            obstore.put(self.store, key, content, mode=mode, use_multipart=False)
        except REFUSED:
            # An answer that was lost is asked for again, and finds what was put the first time.
            found = self.read_tagged(key)
            return found is not None and found[0] == content
        return True

    def put_in_force(self, dataset: str, folder: str, manifest: bytes, tag: str | None) -> bool:  # noqa: ARG002
        """Put the manifest: it is all that leads to a build."""
        return self.replace(f"current/{dataset}/manifest.json", manifest, tag)


def bucket_at(bucket: str, prefix: str, settings: Settings) -> Bucket:
    """Return the warehouse below a prefix of a bucket; nothing is asked of it yet."""
    endpoint = settings.s3_endpoint
    options = {
        "aws_region": settings.s3_region,
        "aws_access_key_id": settings.s3_access_key,
        "aws_secret_access_key": settings.s3_secret_key,
        "aws_virtual_hosted_style_request": "false" if endpoint else "true",
    }
    if endpoint:
        is_plain = endpoint.startswith("http://")
        options |= {"aws_endpoint_url": endpoint, "aws_allow_http": "true" if is_plain else "false"}
    location = f"s3://{bucket}/{prefix}".rstrip("/")
    return Bucket(location, options, open_bucket(bucket, prefix, settings, RETRY))


class _Reader(io.RawIOBase):
    """An object as a file of Python's kind."""

    def __init__(self, store: S3Store, key: str) -> None:
        self._file = obstore.open_reader(store, key)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        piece = self._file.read(len(buffer))
        buffer[: len(piece)] = memoryview(piece)
        return len(piece)
