"""The file of invitations that `veritas import people` writes: for its owner's eyes, and for spreadsheets."""

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TextIO

from deploy.local.server import ServerError

SHOWN: Final = ("email", "full_name", "role", "token", "expires_at")


@contextmanager
def new_private(path: Path) -> Iterator[TextIO]:
    """
    Make a file that only its owner can read; it is taken away again where nothing was written to it.

    Raises:
        ServerError: it is there already, even as a link, or cannot be made or written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError as error:
        raise ServerError(f"{path} is there already: name a new file") from error
    except OSError as error:
        raise ServerError(f"{path} cannot be made: {error.strerror}") from error
    file = os.fdopen(descriptor, "w", encoding="utf-8-sig", newline="")
    try:
        yield file
    finally:
        file.close()
        if not path.stat().st_size:
            path.unlink()


def write_invitations(file: TextIO, given: Sequence[Mapping[str, Any]]) -> None:
    """Write invitations at once, whatever comes after; raises ServerError, which says how to renew them."""
    from core_api.csv_files import inert  # noqa: PLC0415

    rows = csv.writer(file)
    try:
        if not file.tell():
            rows.writerow(SHOWN)
        rows.writerows([inert(each[name]) for name in SHOWN] for each in given)
        file.flush()
    except OSError as error:
        message = f"{file.name} cannot be written: {error.strerror}; --renew makes the tokens anew"
        raise ServerError(message) from error
