"""An S3-compatible object store, which clients reach by addresses that are signed for a while."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Final

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from kernel.settings import Settings
from kernel.storage.stores import PIECE_BYTES, Found, MissingObjectError

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config

PART_BYTES: Final = 8 << 20  # of an upload in parts; S3 takes 10,000 parts of an object
PARTS_AT_ONCE: Final = 2
LISTED_AT_ONCE: Final = 1000
AWAY: Final = BaseError  # what is raised when the store cannot be reached, or refuses


def open_bucket(bucket: str, prefix: str, settings: Settings, retry: "RetryConfig | None" = None) -> S3Store:
    """Return a bucket as the settings name it, below a prefix; nothing is asked of it yet."""
    endpoint = settings.s3_endpoint
    config: S3Config = {
        "region": settings.s3_region,
        "access_key_id": settings.s3_access_key,
        "secret_access_key": settings.s3_secret_key,
        "virtual_hosted_style_request": not endpoint,
    }
    if endpoint:
        config["endpoint"] = endpoint
    options: ClientConfig = {"allow_http": endpoint.startswith("http://")}
    return S3Store(bucket, prefix=prefix or None, config=config, client_options=options, retry_config=retry)


class ObjectStore:
    """Objects in a bucket, below a prefix."""

    def __init__(self, bucket: str, prefix: str, settings: Settings) -> None:
        """Name the bucket; nothing is asked of it yet."""
        self._store = open_bucket(bucket, prefix, settings)

    def put(self, key: str, pieces: Iterable[bytes]) -> None:
        """Write an object, as `Store` says: in parts, which the last one makes an object."""
        obstore.put(
            self._store,
            key,
            iter(pieces),
            use_multipart=True,
            chunk_size=PART_BYTES,
            max_concurrency=PARTS_AT_ONCE,
        )

    def read(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield what an object holds, as `Store` says."""
        if length == 0:
            return iter(())
        try:
            if length is not None:
                found = obstore.get(self._store, key, options={"range": (start, start + length)})
            elif start:
                found = obstore.get(self._store, key, options={"range": {"offset": start}})
            else:
                found = obstore.get(self._store, key)
        except FileNotFoundError as error:
            raise MissingObjectError from error
        return (bytes(piece) for piece in found.stream(min_chunk_size=PIECE_BYTES))

    def copy(self, source: str, target: str) -> None:
        """Copy an object, as `Store` says; the bucket does it by itself."""
        try:
            obstore.copy(self._store, source, target)
        except FileNotFoundError as error:
            raise MissingObjectError from error

    def found(self, prefix: str) -> list[Found]:
        """List objects, as `Store` says."""
        return list(self._listed(prefix.rstrip("/"), None))

    def after(self, key: str, limit: int) -> list[Found]:
        """List the next objects, as `Store` says."""
        return list(islice(self._listed(None, key or None), limit))

    def _listed(self, prefix: str | None, offset: str | None) -> Iterator[Found]:
        for some in obstore.list(self._store, prefix, offset=offset, chunk_size=LISTED_AT_ONCE):
            for each in some:
                yield Found(each["path"], each["size"], each["last_modified"])

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects, as `Store` says."""
        if keys:
            obstore.delete(self._store, list(keys))

    def upload_url(self, key: str, life_s: int) -> str | None:
        """Return a signed address, as `Store` says."""
        return obstore.sign(self._store, "PUT", key, timedelta(seconds=life_s))

    def download_url(self, key: str, life_s: int) -> str | None:
        """Return a signed address, as `Store` says."""
        return obstore.sign(self._store, "GET", key, timedelta(seconds=life_s))
