"""
The mapping (TOML) that says which columns or members of foreign rows are what: what all mappings have.
"""

import re
import tomllib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from string import Formatter
from typing import Final, Literal, TypeVar
from zoneinfo import ZoneInfo

import msgspec

EPOCHS: Final = frozenset({"epoch_s", "epoch_ms"})


class MappingError(Exception):
    """The mapping, or an option in its place, cannot be used; the message says why."""


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the mapping file: a name it does not know is refused."""


class TimeColumn(Strict, frozen=True, kw_only=True):
    """
    Where a row's moment stands.

    `format` is a strptime format, or `iso`, `epoch_s`, `epoch_ms`; `zone` (an IANA name) is that of local
    times, and `fold` says which one is meant of two moments at which a clock showed the same: without them, a
    time without an offset, or one that a clock showed twice, is refused. `end_column`, in the same format, is
    when what began then ended.
    """

    column: str
    format: str = "iso"
    zone: str | None = None
    fold: Literal["earlier", "later"] | None = None
    end_column: str | None = None


class Layout(Strict, frozen=True, kw_only=True):
    """
    How a file is read. `encoding` is by the file's mark, else UTF-8, when absent. A Parquet file is known by
    its first bytes, whatever the format says.
    """

    format: Literal["csv", "tsv", "ndjson"] = "csv"
    delimiter: str | None = None
    encoding: str | None = None
    time: TimeColumn | None = None

    @property
    def columns(self) -> set[str]:
        """Return every column that the mapping reads."""
        if self.time is None:
            return set()
        return {self.time.column} | ({self.time.end_column} if self.time.end_column else set())

    @property
    def separator(self) -> str:
        """Return what stands between two fields."""
        return self.delimiter or ("\t" if self.format == "tsv" else ",")


L = TypeVar("L", bound=Layout)


def parts_of(text: str) -> list[tuple[str, str | None]]:
    """
    Return a text with `{column}` in it as pairs of what stands before a column, and the column.

    Raises:
        MappingError: the braces hold anything but a column's name.
    """
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        raise MappingError(f"{text!r}: {error}") from error
    for _, name, form, conversion in parts:
        if name == "" or form or conversion:
            raise MappingError(f"{text!r}: between braces stands a column's name, and nothing else")
    return [(before, name) for before, name, _, _ in parts]


def read_toml(path: Path, kind: type[L], check: Callable[[L], None]) -> L:
    """
    Return the mapping of a TOML file.

    Raises:
        MappingError: a name or value that is not allowed.
    """
    try:
        mapping = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), kind)
        check(mapping)
    except OSError as error:
        raise MappingError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise MappingError(f"{path}: it is not UTF-8") from error
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, MappingError) as error:
        raise MappingError(f"{path}: {error}") from error
    return mapping


def check_layout(layout: Layout) -> None:
    """
    Check what types cannot say of how a file is read.

    Raises:
        MappingError: something in it can be meant for no file.
    """
    if "" in layout.columns:
        raise MappingError("a column's name is empty")
    if layout.delimiter is not None and not re.fullmatch(r"[^\r\n\"\ud800-\udfff]", layout.delimiter):
        raise MappingError("the delimiter is one character, no quote and no line end")
    if layout.time is None:
        return
    if layout.time.zone is not None:
        zone_of(layout.time.zone)
    if layout.time.format not in {"iso", *EPOCHS}:
        _check_format(layout.time.format)


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone by its IANA name; raises MappingError where there is none."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise MappingError(f"there is no time zone {name!r}") from error


def _check_format(form: str) -> None:
    """Raise MappingError for a format that strptime reads no text by."""
    if "%" not in form:
        raise MappingError(f"the time's format {form!r} is neither iso, epoch_s, epoch_ms nor strptime's")
    try:
        datetime.strptime("", form)  # noqa: DTZ007  nothing is read
    except re.error as error:
        raise MappingError(f"the time's format {form!r} names a part twice") from error
    except ValueError as error:
        if "bad directive" in str(error) or "stray %" in str(error):
            raise MappingError(f"the time's format {form!r}: {error}") from error
