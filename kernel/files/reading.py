"""
A file, or a pipe, of foreign rows as lines and records. Whatever the bytes are, each row is read or named.

Lines are physical lines, counted from 1, ended by LF, CR or CRLF. Nothing is guessed: what is no text of the
encoding, closes no quote or is no JSON is a finding of the line where the row begins, and reading goes on
with the line after it.
"""

import codecs
import csv
import gzip
import io
import json
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
from backports import zstd

from kernel.files.findings import Finding, Kind, RowError, shown
from kernel.files.values import whole
from kernel.values import too_deep

ROW_CHARS_MAX: Final = 1 << 20
ROW_LINES_MAX: Final = 100  # of one row, by line ends in quoted fields
LEVELS_MAX: Final = 100
SKIPPED_CHARS_MAX: Final = 64 << 20  # a longer line is of no text file
STANDARD_INPUT: Final = Path("-")
DELIMITERS: Final = ",;\t|"

_HEAD_BYTES: Final = 1024
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
PARQUET: Final = b"PAR1"
READABLE: Final = "what is read is CSV, TSV and NDJSON, plain, .gz or .zst, and Parquet"
_OTHER_FORMATS: Final = {
    PARQUET: "a Parquet file",
    b"PK\x03\x04": "a ZIP archive or a spreadsheet",
    b"BZh": "packed with bzip2",
    b"\xfd7zXZ": "packed with xz",
    b"%PDF": "a PDF",
    b"SQLite format 3": "an SQLite database",
    b"\xd0\xcf\x11\xe0": "an old Office document",
}
_BYTE_ORDER_MARKS: Final = (  # the longer ones first: UTF-32's begins as UTF-16's
    (codecs.BOM_UTF8, ("utf-8", "utf-8-sig")),
    (codecs.BOM_UTF32_LE, ("utf-32", "utf-32-le")),
    (codecs.BOM_UTF32_BE, ("utf-32", "utf-32-be")),
    (codecs.BOM_UTF16_LE, ("utf-16", "utf-16-le")),
    (codecs.BOM_UTF16_BE, ("utf-16", "utf-16-be")),
)
# Stands for a byte that is none of the encoding: half a character, which no text holds.
_UNDECODABLE: Final = "\udcff"


class UnreadableError(Exception):
    """The file as a whole cannot be read, or not with this mapping; the message says why."""


def _marked(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError), "files are only read here"
    return _UNDECODABLE * (error.end - error.start), error.end


codecs.register_error("foreign", _marked)


class Line(msgspec.Struct, frozen=True, gc=False):
    """A physical line with its end, without the byte order mark; `cut`: its beginning, for it is too long."""

    number: int
    text: str
    cut: bool = False


class Buffered(Protocol):
    """What is read from: a file, or what unpacks one."""

    def read1(self, size: int, /) -> bytes:
        """Return some bytes, `size` at most, none at the end."""


class _Joined(io.RawIOBase):
    """A stream of which the head has been read, from its beginning; `damage`: why it ends before its end."""

    def __init__(self, head: bytes, rest: Buffered) -> None:
        self._head = head
        self._rest = rest
        self.damage: str | None = None
        self.ends_early = False

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:  # noqa: ANN401  any writable buffer
        if self._head:
            part, self._head = self._head[: len(into)], self._head[len(into) :]
        else:
            part = self._read(len(into))
        into[: len(part)] = part
        return len(part)

    def look(self) -> bytes:
        """Return how the stream begins; it is still to be read."""
        while len(self._head) < _HEAD_BYTES and (part := self._read(_HEAD_BYTES - len(self._head))):
            self._head += part
        return self._head

    def _read(self, size: int) -> bytes:
        """Read on; the rows before a damage stay good where it says nothing against them."""
        if self.damage:
            return b""
        try:
            return self._rest.read1(size)
        except EOFError:
            self.damage, self.ends_early = "the packed file ends early: its last part is missing", True
        except (gzip.BadGzipFile, zlib.error, zstd.ZstdError) as error:
            if "Not a gzipped file" not in str(error) and "Unknown frame descriptor" not in str(error):
                raise UnreadableError(f"the packed file is damaged: {error}") from error
            self.damage = "the packed file goes on with bytes that are not packed; they are not read"
        return b""


class Lines:
    """The lines of a text, one by one; lines that were taken too many can be given back."""

    def __init__(self, text: io.TextIOWrapper, source: _Joined) -> None:
        """Read from the beginning."""
        self._text = text
        self._source = source
        self._back: deque[Line] = deque()
        self._number = 0

    def next(self) -> Line | None:
        """
        Return the next line; None at the end.

        Raises:
            UnreadableError: a line without an end, or a damage that leaves nothing to rely on.
        """
        if self._back:
            return self._back.popleft()
        try:
            text = self._text.readline(ROW_CHARS_MAX)
        except UnicodeError as error:  # a codec that goes on after no fault
            raise UnreadableError(f"line {self._number + 1}: {error}") from error
        if not text:
            return None
        self._number += 1
        if self._number == 1:
            text = text.removeprefix("\ufeff")
        cut = len(text) >= ROW_CHARS_MAX
        if cut:
            self._skip(text)
        return Line(self._number, text, cut)

    def _skip(self, part: str) -> None:
        skipped = len(part)
        while part and not part.endswith("\n"):
            part = self._text.readline(ROW_CHARS_MAX)
            skipped += len(part)
            if part.endswith("\r"):
                return
            if skipped > SKIPPED_CHARS_MAX:
                raise UnreadableError(
                    f"line {self._number} is longer than {SKIPPED_CHARS_MAX >> 20} MiB: this is no text file"
                )

    def back(self, lines: list[Line]) -> None:
        """Give lines back, the first of them to be next."""
        self._back.extendleft(reversed(lines))

    def first(self) -> Line | None:
        """Return the first line that is not blank, still to be read; None where there is none."""
        while (line := self.next()) is not None:
            if line.text.strip():
                self.back([line])
                return line
        return None

    @property
    def damage(self) -> Finding | None:
        """Return what ended the reading before the file's end, once it has."""
        if self._source.damage is None:
            return None
        return Finding(max(self._number, 1), Kind.damaged, self._source.damage)

    def is_cut_off(self, line: Line) -> bool:
        """Tell whether a line lacks its end because a damaged file does."""
        return self._source.ends_early and not line.text.endswith(("\n", "\r"))


@contextmanager
def opened(path: Path, encoding: str | None) -> Iterator[Lines]:
    """
    Open a file, or standard input where it is called `-`, packed with gzip or zstd or not.

    Args:
        path: a file, a pipe, a device.
        encoding: a codec of Python; by the byte order mark, else UTF-8, when absent.

    Raises:
        OSError: it cannot be opened or read.
        UnreadableError: it is no text, or of another encoding.
    """
    with path.open("rb") if path != STANDARD_INPUT else open(0, "rb", closefd=False) as file:
        head = file.read(_HEAD_BYTES)
        source = _Joined(head, file)
        for magic, name in _OTHER_FORMATS.items():
            if head.startswith(magic):
                raise UnreadableError(
                    f"it is {name}: what is read is CSV, TSV and NDJSON, plain, .gz or .zst, and Parquet"
                )
        if head.startswith((_GZIP, _ZSTD)):
            packed = io.BufferedReader(source)
            source = _Joined(
                b"", gzip.GzipFile(fileobj=packed) if head.startswith(_GZIP) else zstd.ZstdFile(packed)
            )
            head = source.look()
        codec = _codec(head, encoding)
        text = io.TextIOWrapper(io.BufferedReader(source), encoding=codec, errors="foreign", newline="")
        yield Lines(text, source)


def _codec(head: bytes, named: str | None) -> str:
    """Return the codec of a text that begins so."""
    name = None if named is None else named.strip().lower().replace("_", "-")
    if name is not None:
        try:
            found = codecs.lookup(name)
            io.TextIOWrapper(io.BytesIO(), encoding=name).close()  # some are of bytes
        except (LookupError, ValueError, UnicodeError) as error:
            raise UnreadableError(f"{shown(named)} is no encoding of texts") from error
        name = found.name
    for mark, names in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            if name is not None and name not in names:
                raise UnreadableError(f"it begins with the mark of {names[0]}, and was said to be {name}")
            return names[0]
    if name is not None:
        return name
    zeros = (head[0::2].count(0), head[1::2].count(0))
    if len(head) > 1 and max(zeros) > len(head) // 4 and min(zeros) == 0:
        order = "le" if zeros[1] else "be"
        raise UnreadableError(f"it looks like UTF-16 without a mark: say --encoding utf-16-{order}")
    return "utf-8"


# -- rows ----------------------------------------------------------------------------------------------------


def names_in(line: Line, delimiter: str) -> list[str]:
    """Return the columns that a header names; raises RowError where it is none."""
    return _split([line.text], delimiter)


def csv_rows(lines: Lines, delimiter: str) -> Iterator[tuple[int, list[str] | RowError]]:
    """
    Yield where each row begins, the header first, and its fields or what is wrong.

    A row of several lines that is wrong is the line it begins with; the others are read as rows again.
    """
    columns = 0
    while (line := lines.next()) is not None:
        if not line.text.strip("\r\n"):
            continue
        taken = [line]
        try:
            fields = _fields(line, lines, delimiter, taken)
            _check_count(len(fields), columns, len(taken))
        except RowError as error:
            lines.back(taken[1:])
            yield line.number, error
        else:
            columns = columns or len(fields)
            yield line.number, fields


def _check_count(fields: int, columns: int, over: int) -> None:
    """Raise RowError where a row has another number of fields than the header, once that is known."""
    if columns and fields != columns:
        how = f", over {over} lines because of a quote" if over > 1 else ""
        raise RowError(Kind.field_count, f"the number of its fields is {fields}, the header's {columns}{how}")


def _fields(line: Line, lines: Lines, delimiter: str, taken: list[Line]) -> list[str]:
    """Return a row's fields; `taken` gets the lines that it goes on with, those of a wrong row too."""
    _check(line, lines)
    if '"' not in line.text:
        return line.text.rstrip("\r\n").split(delimiter)

    def feed() -> Iterator[str]:
        yield line.text
        chars = len(line.text)
        while (more := lines.next()) is not None:
            taken.append(more)
            chars += len(more.text)
            if len(taken) > ROW_LINES_MAX or chars > ROW_CHARS_MAX:
                raise RowError(
                    Kind.unclosed_quote,
                    f"a quote is not closed within {ROW_LINES_MAX} lines and {ROW_CHARS_MAX:,} characters",
                )
            _check(more, lines)
            yield more.text

    return _split(feed(), delimiter)


def _split(texts: Any, delimiter: str) -> list[str]:  # noqa: ANN401  lines, as csv takes them
    csv.field_size_limit(ROW_CHARS_MAX + 1)
    try:
        return next(csv.reader(texts, delimiter=delimiter, strict=True))
    except csv.Error as error:
        if "unexpected end of data" in str(error):
            raise RowError(Kind.unclosed_quote, "a quote is not closed before the end of the file") from error
        raise RowError(Kind.unclosed_quote, f"its quotes cannot be right: {error}") from error


def json_rows(lines: Lines) -> Iterator[tuple[int, dict[str, Any] | RowError]]:
    """Yield the number of each line that is not blank, and its object or what is wrong."""
    while (line := lines.next()) is not None:
        if not line.text.strip():
            continue
        try:
            _check(line, lines)
            yield line.number, _object(line.text)
        except RowError as error:
            yield line.number, error


def _check(line: Line, lines: Lines) -> None:
    """Raise RowError for a line that is not whole."""
    if line.cut:
        raise RowError(Kind.too_long, f"it is longer than {ROW_CHARS_MAX:,} characters")
    if lines.is_cut_off(line):
        raise RowError(Kind.cut_off, "the file ends within it")
    if _UNDECODABLE in line.text:
        at = line.text.index(_UNDECODABLE) + 1
        raise RowError(
            Kind.undecodable,
            f"character {at} is none of the file's encoding: say which one it is with --encoding",
        )


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(
            text,
            object_pairs_hook=_members,
            parse_int=whole,
            parse_float=_real,
            parse_constant=_constant,
        )
    except json.JSONDecodeError as error:
        raise RowError(
            Kind.not_json, f"{error.msg.removesuffix(' at')} at character {error.pos + 1}"
        ) from error
    except RecursionError as error:
        raise RowError(Kind.not_json, "it is nested too deep") from error
    if not isinstance(found, dict):
        raise RowError(Kind.not_json, "it is no object")
    if too_deep(text, LEVELS_MAX):
        raise RowError(Kind.not_json, f"it is nested deeper than {LEVELS_MAX} levels")
    return found


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise RowError(Kind.not_json, "the member stands twice", twice)
    return members


def _real(text: str) -> float:
    number = float(text)
    if number in {float("inf"), float("-inf")}:
        raise RowError(Kind.not_json, "a number is larger than a double holds")
    return number


def _constant(text: str) -> float:
    raise RowError(Kind.not_json, f"{text} is no JSON")
