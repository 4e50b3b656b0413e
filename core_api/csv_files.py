"""
CSV as schools have it: read by the names of its columns, every fault named by its line. Pure.

Commas, semicolons (as Excel writes them in half of Europe) and tabs are told apart by the header; letters,
spaces and hyphens of a column's name make no difference, nor do blank lines and columns that nobody asks for.
A line is counted as an editor shows it: the header is line 1, a field may hold line breaks.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from kernel.errors import InvalidInputError, place_of

T = TypeVar("T")

FAULTS_SHOWN: Final = 100
LETTERS_MAX: Final = 4 << 20
COLUMNS_MAX: Final = 200
WIDTH_MAX: Final = 500  # columns of a file
DELIMITERS: Final = (",", ";", "\t")
YES: Final = frozenset({"true", "yes", "1"})
NO: Final = frozenset({"false", "no", "0"})
REPLACED: Final = "\ufffd"  # what a decoder leaves where bytes were no UTF-8
_SEPARATOR_LINE: Final = re.compile(r"\ufeff?sep=(.)\r?\n", re.IGNORECASE)  # Excel's own first line
_PLAIN: Final = re.compile(r"[\W_]")
# What makes a cell a formula that begins with it; in some languages wide signs do, too.
FORMULA_SIGNS: Final = r"=+\-@＝＋－＠"  # noqa: RUF001  the wide ones are meant
# Where a cell begins, be it for a program that reads another separator, if that makes it a formula.
_FORMULA: Final = re.compile(rf"(^|[;,\t\r\n])(?=[{FORMULA_SIGNS}\t\r])")
_LINE: Final = re.compile(r"[^\r\n]*")
# Its line, its fields, and what is wrong with it or None.
Record = tuple[int, list[str], str | None]
# csv reads no longer field unless told so, for the whole process.
assert csv.field_size_limit() >= 131_072, "a field's bound is ours"

CsvText = Annotated[
    str,
    Meta(
        max_length=LETTERS_MAX,
        description="The text of a CSV file: a header, then a row a line; comma, semicolon or tab.",
    ),
]
Columns = Annotated[
    dict[str, str],
    Meta(
        max_length=COLUMNS_MAX,
        description='Columns that have other names, each with the field that it is: `{"Mail": "email"}`.',
    ),
]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much is read: lines of a file, characters of a field."""

    lines: int
    characters: int


class LineFault(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong in a file: `path` is the file, its line and its column."""

    path: str
    message: str


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A row, by the names of the fields; what is missing or blank is empty."""

    file: str
    line: int
    values: dict[str, str]

    def __getitem__(self, field: str) -> str:
        """Return a field, without spaces around it."""
        return self.values.get(field, "")

    def fault(self, field: str, message: str) -> LineFault:
        """Return a fault of one of its fields; of the row as a whole where `field` is empty."""
        where = f"{self.file} line {self.line}"
        return LineFault(path=f"{where}, {field}" if field else where, message=message)


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was read: its rows, which of the fields it has, and what could not be read of it."""

    rows: list[Row]
    fields: frozenset[str]
    faults: list[LineFault]


def read(
    text: str,
    file: str,
    fields: Sequence[str],
    *,
    required: Sequence[str],
    columns: Mapping[str, str],
    limits: Limits,
) -> Sheet:
    """
    Read a file.

    Args:
        text: as it was decoded; a byte order mark is passed over.
        file: what it is called where a fault is named.
        fields: that may be asked for.
        required: of them, those without which it is not this file; one of several as `name|title`.
        columns: fields by the names of columns, where those have others.
        limits: of it.

    Raises:
        InvalidInputError: it has no such header, or is too long.
    """
    found = _SEPARATOR_LINE.match(text)
    text, skipped = (text, 0) if found is None else (text[found.end() :], 1)
    text = text.removeprefix("\ufeff")
    first = _first_line(text)
    if max(map(first.count, DELIMITERS)) >= WIDTH_MAX:
        raise refusal([LineFault(path=file, message=f"its header has more than {WIDTH_MAX} columns")])
    records = _bounded(_records(text, _delimiter(first, fields, columns), skipped), file, limits)
    line, header, broken = next((each for each in records if each[2] or any(each[1])), (1, [], None))
    if broken is not None:
        raise refusal([LineFault(path=f"{file} line {line}", message=broken)])
    while header and not header[-1].strip():
        header.pop()
    places = _places(header, file, line, fields, required, columns)
    rows: list[Row] = []
    faults: list[LineFault] = []
    for line, record, broken in records:
        if broken is None and not any(map(str.strip, record)):
            continue
        values = {field: record[place].strip() for field, place in places.items() if place < len(record)}
        row = Row(file=file, line=line, values=values)
        wrong = broken or _wrong_record(record, len(header), limits)
        if wrong is None:
            rows.append(row)
        else:
            faults.append(row.fault("", wrong))
    return Sheet(rows=rows, fields=frozenset(places), faults=faults)


def _wrong_record(record: Sequence[str], width: int, limits: Limits) -> str | None:
    """Return what is wrong with a record of a bounded width as a whole, or None."""
    if any(len(each) > limits.characters for each in record):
        return f"a field of more than {limits.characters:,} characters"
    if len(record) < width or any(map(str.strip, record[width:])):
        return f"{len(record)} fields, and the header has {width}: quote a field that holds the separator"
    if any(REPLACED in each for each in record):
        return "a character was lost in reading: save the file as UTF-8"
    return None


def _too_wide(record: Sequence[str]) -> str | None:
    """Return what is wrong with a record that has more fields than are looked at one by one, or None."""
    return f"more than {WIDTH_MAX} fields" if len(record) > WIDTH_MAX else None


def _bounded(records: Iterator[Record], file: str, limits: Limits) -> Iterator[Record]:
    """Yield the records; raises InvalidInputError where a header and so many are not all, blank ones too."""
    for number, record in enumerate(records):
        if number > limits.lines:
            message = f"more than {limits.lines:,} rows, blank ones too: send it in parts"
            raise refusal([LineFault(path=file, message=message)])
        yield record


def _records(text: str, delimiter: str, skipped: int) -> Iterator[Record]:
    """Yield each record with its line, and what is wrong with it; after a broken quote nothing follows."""
    reader, line = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True), 0
    while True:
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield line + 1 + skipped, [], "a quotation mark that is not closed or stands inside a field"
            return
        yield line + 1 + skipped, record, _too_wide(record)
        line = reader.line_num


def parts(text: str, fields: Sequence[str], columns: Mapping[str, str], rows: int) -> list[str]:
    """
    Return a file as several, each with its header and so many rows at most; blank lines are left out.

    Args:
        text: of a file that `read` takes.
        fields: that its header may name.
        columns: as for `read`.
        rows: of a part.
    """
    lines = io.StringIO(text, newline="").readlines()
    found = _records(text, _delimiter(_first_line(text), fields, columns), 0)
    starts = [line - 1 for line, record, _ in found if any(map(str.strip, record))]
    ends = [*starts[1:], len(lines)]
    records = ["".join(lines[start:end]) for start, end in zip(starts, ends, strict=True)]
    if not records:
        return [text]
    header, body = records[0], records[1:]
    return [header + "".join(body[n : n + rows]) for n in range(0, len(body), rows)] or [text]


def inert(cell: str) -> str:
    """Return a text as it is written to a CSV file for people: no spreadsheet takes it for a formula."""
    return _FORMULA.sub(r"\1'", cell)


def _first_line(text: str) -> str:
    """Return the first line that is not blank; where a text has none, nothing."""
    found = _LINE.match(text.lstrip())
    return "" if found is None else found[0]


def _delimiter(first: str, fields: Sequence[str], columns: Mapping[str, str]) -> str:
    """Return the delimiter by which the first line has most of the names that are known."""
    known = {plain(each) for each in (*fields, *columns)}

    def names(delimiter: str) -> tuple[int, int]:
        parts = [plain(each) for each in first.split(delimiter)]
        return len(known.intersection(parts)), len(parts)

    return max(DELIMITERS, key=names)


def plain(name: str) -> str:
    """Return a column's name as it is compared: its letters and digits, in small letters."""
    return _PLAIN.sub("", name).casefold()


def _places(
    header: Sequence[str],
    file: str,
    line: int,
    fields: Sequence[str],
    required: Sequence[str],
    columns: Mapping[str, str],
) -> dict[str, int]:
    """Return the place of each field that the header has; raises InvalidInputError."""
    wanted = {plain(each): each for each in fields}
    renamed = {plain(name): wanted.get(plain(field), field) for name, field in columns.items()}
    places: dict[str, int] = {}
    taken = {field for name in map(plain, header) if (field := renamed.get(name))}
    for place, name in enumerate(map(plain, header)):
        field = renamed.get(name) or wanted.get(name)
        if field is None or field not in fields or (name not in renamed and field in taken):
            continue
        if field in places:
            raise refusal([LineFault(path=f"{file} line {line}", message=f"two columns are {field}")])
        places[field] = place
    missing = [each for each in required if not places.keys() & set(each.split("|"))]
    if missing:
        there = ", ".join(each.strip()[:40] for each in header[:30] if each.strip()) or "nothing"
        wanted_one = missing[0].replace("|", " or ")
        message = f"no column {wanted_one}; there are {there}: say which of them it is"
        raise refusal([LineFault(path=f"{file} line {line}", message=message)])
    return places


def check_columns(columns: Mapping[str, str], known: Sequence[str]) -> None:
    """Check that columns are said to be fields that there are; raises InvalidInputError."""
    names = {plain(each) for each in known}
    faults = [
        LineFault(path=f"columns.{name[:40]}", message=f"no such field; there are {', '.join(known)}")
        for name, field in columns.items()
        if plain(field) not in names
    ]
    if faults:
        raise refusal(faults)


def refusal(faults: Sequence[LineFault]) -> InvalidInputError:
    """Return the refusal of files with these faults; the first of them are named."""
    count = len(faults)
    lines = "one fault" if count == 1 else f"{count:,} faults"
    shown = "" if count <= FAULTS_SHOWN else f" The first {FAULTS_SHOWN} are named."
    return InvalidInputError(
        f"Nothing was written: {lines} in what was sent.{shown}",
        errors=[{"path": each.path, "message": each.message} for each in shown_of(faults)],
    )


def shown_of(faults: Sequence[LineFault]) -> list[LineFault]:
    """Return the first of the faults, by file and line, as many as are shown."""
    return sorted(faults, key=lambda fault: place_of(fault.path))[:FAULTS_SHOWN]


def listed(cell: str) -> list[str]:
    """Return the names that a cell lists, by comma, semicolon or bar, each once."""
    parts = cell.replace(";", ",").replace("|", ",").split(",")
    return list(dict.fromkeys(each.strip() for each in parts if each.strip()))


def judged(how: Callable[[], T], row: Row, field: str, faults: list[LineFault]) -> T | None:
    """Return what a function makes of a field; None, and one fault more, where it raises ValueError."""
    try:
        return how()
    except ValueError as error:
        faults.append(row.fault(field, str(error)))
        return None
