"""
The rows of a foreign file, whatever its format: each by the names of its columns, or what is wrong with it.

CSV and TSV have a header; NDJSON and Parquet name their members. Of a Parquet file a line is a row, from 1.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Generic

import msgspec

from kernel.files.findings import Finding, RowError, shown
from kernel.files.mapping import L, check_layout
from kernel.files.reading import (
    DELIMITERS,
    PARQUET,
    STANDARD_INPUT,
    Line,
    Lines,
    UnreadableError,
    csv_rows,
    json_rows,
    names_in,
    opened,
)
from kernel.files.values import Fold, Row

ROWS_MAX: Final = 2_000_000  # all of a file's rows are held in memory, as what they become
_NAMED_MAX: Final = 10
_SLICE_ROWS: Final = 10_000


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of a file beside its mapping, and goes before it."""

    encoding: str | None = None
    delimiter: str | None = None
    zone: str | None = None
    fold: Fold | None = None
    limit: int | None = None


class Records(Generic[L]):
    """
    An opened file as rows.

    Attributes:
        layout: its mapping with what the options say; None for a file without a line.
        unread: columns that the mapping does not read.
        seen: columns and members that rows had.
    """

    def __init__(
        self,
        layout: L | None,
        rows: Iterator[tuple[int, Row | RowError]],
        unread: list[str],
        lines: Lines | None,
    ) -> None:
        """Hold what was opened."""
        self.layout = layout
        self.unread = unread
        self.seen: set[str] = set()
        self._rows = rows
        self._lines = lines

    def read(self, limit: int | None) -> Iterator[tuple[int, Row | RowError]]:
        """Yield the rows, at most `limit` of them; raises UnreadableError where there are too many."""
        for count, (line, row) in enumerate(self._rows):
            if count == limit:
                return
            if count == ROWS_MAX:
                raise UnreadableError(f"it has more than {ROWS_MAX:,} rows: split it, or name a --limit")
            if not isinstance(row, RowError):
                self.seen.update(row)
            yield line, row

    @property
    def damage(self) -> list[Finding]:
        """Return what ended the reading before the file's end, once it has."""
        return [self._lines.damage] if self._lines is not None and self._lines.damage else []


@contextmanager
def open_records(
    path: Path, mapping: L | None, shipped: Sequence[L], options: Options
) -> Iterator[Records[L]]:
    """
    Open a file for its rows.

    Args:
        path: the file; `-` is standard input.
        mapping: what its columns are; the first shipped one whose columns it has when absent.
        shipped: mappings to choose from.
        options: what is known of it besides.

    Raises:
        MappingError: an option is not possible.
        OSError: the file cannot be opened or read.
        UnreadableError: it is no text, has no such columns, or no shipped mapping fits.
    """
    if path != STANDARD_INPUT and _is_parquet(path):
        yield _of_parquet(path, mapping, shipped, options)
        return
    encoding = options.encoding or (mapping.encoding if mapping else None)
    with opened(path, encoding) as lines:
        if lines.first() is None:
            yield Records(None, iter(()), [], lines)
            return
        chosen = fitted(mapping or _fitting(lines, shipped, options), options)
        if chosen.format == "ndjson":
            yield Records(chosen, json_rows(lines), [], lines)
            return
        rows = csv_rows(lines, chosen.separator)
        number, header = next(rows)
        if isinstance(header, RowError):
            raise UnreadableError(f"line {number}, the header: {header.why}")
        _check_header(f"line {number}, the header,", header, chosen)
        unread = [name for name in dict.fromkeys(header) if name not in chosen.columns]
        yield Records(chosen, _by_name(header, rows), unread, lines)


def _by_name(
    header: list[str], rows: Iterator[tuple[int, list[str] | RowError]]
) -> Iterator[tuple[int, Row | RowError]]:
    for number, fields in rows:
        yield number, fields if isinstance(fields, RowError) else dict(zip(header, fields, strict=True))


def fitted(mapping: L, options: Options) -> L:
    """Return the mapping with what the options say in its place; raises MappingError."""
    time = mapping.time
    if time is not None:
        time = msgspec.structs.replace(time, zone=options.zone or time.zone, fold=options.fold or time.fold)
    chosen = msgspec.structs.replace(mapping, time=time, delimiter=options.delimiter or mapping.delimiter)
    check_layout(chosen)
    return chosen


def _fitting(lines: Lines, shipped: Sequence[L], options: Options) -> L:
    """Return the first shipped mapping whose columns the first line names; raises UnreadableError."""
    first = lines.first()
    assert first is not None, "a file without a line fits nothing"
    for mapping in shipped:
        if _names(first, fitted(mapping, options).separator) >= mapping.columns:
            return mapping
        for other in DELIMITERS:
            if _names(first, other) >= mapping.columns:
                raise UnreadableError(f"its delimiter seems to be {other!r}: say so with --delimiter")
    raise UnreadableError(
        "no shipped mapping fits the columns of its first line; say what they are with --mapping"
    )


def _names(first: Line, delimiter: str) -> set[str]:
    try:
        return set(names_in(first, delimiter))
    except RowError:
        return set()


def _check_header(where: str, header: list[str], mapping: L) -> None:
    """
    Hold a header against the mapping.

    Raises:
        UnreadableError: a column that the mapping reads is missing, or stands there twice.
    """
    missing = sorted(mapping.columns.difference(header))
    if missing:
        there = ", ".join(map(shown, header[:_NAMED_MAX])) + (", …" if len(header) > _NAMED_MAX else "")
        why = f"{where} has no column {', '.join(map(shown, missing))}; it has {there}"
        counts = {each: header[0].count(each) for each in DELIMITERS if each != mapping.separator}
        likely = max(counts, key=counts.__getitem__)
        if len(header) == 1 and counts[likely]:
            why += (
                f". Its delimiter seems to be {likely!r}, not {mapping.separator!r}: say so with --delimiter"
            )
        raise UnreadableError(why)
    twice = [name for name in sorted(mapping.columns) if header.count(name) > 1]
    if twice:
        names = ", ".join(map(shown, twice))
        raise UnreadableError(f"{where} names {names} twice: nobody knows which is meant")


def _is_parquet(path: Path) -> bool:
    """Tell whether a file begins as Parquet does; nothing is read of a pipe, which could not give it back."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(PARQUET)) == PARQUET


def _of_parquet(path: Path, mapping: L | None, shipped: Sequence[L], options: Options) -> Records[L]:
    import polars as pl  # noqa: PLC0415  most files are texts

    try:
        scanned = pl.scan_parquet(path)
        header = scanned.collect_schema().names()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UnreadableError(f"it is a Parquet file that cannot be read: {error}") from error
    chosen = mapping or next((each for each in shipped if each.columns.issubset(header)), None)
    if chosen is None:
        raise UnreadableError("no shipped mapping fits its columns; say what they are with --mapping")
    chosen = fitted(chosen, options)
    _check_header("it", header or [""], chosen)

    def rows() -> Iterator[tuple[int, Row | RowError]]:
        start = 0
        while len(part := scanned.slice(start, _SLICE_ROWS).collect()):
            for number, row in enumerate(part.iter_rows(named=True), start + 1):
                yield number, {name: value for name, value in row.items() if value is not None}
            start += _SLICE_ROWS

    unread = [name for name in header if name not in chosen.columns]
    return Records(chosen, rows(), unread, None)
