"""
Dirty files, as people have them: each with what `veritas replay` must say of it.

A case names the rows that are refused, by line; all others of its rows are stored. Text in place of that is
part of why the file as a whole cannot be read.
"""

import gzip
from typing import Any, Final

import msgspec
from backports import zstd

from kernel.files.findings import Kind
from kernel.files.rows import Options

MAPPING: Final = """
exam = "Paper {paper}"
candidate = "{who}"
numbers = ["keys"]
[time]
column = "at"
[[events]]
type = "TabSwitched"
severity = 2
equals = { what = ["away"] }
[[events]]
type = "MouseActivity"
above_zero = ["keys"]
[[events]]
type = "Keystroke"
[metadata]
what = "what"
keys = "keys"
"""
NDJSON: Final = 'format = "ndjson"\n' + MAPPING
LENIENT: Final = MAPPING.replace('above_zero = ["keys"]', 'equals = { what = ["moves"] }')
EPOCH: Final = MAPPING.replace('column = "at"', 'column = "at"\nformat = "epoch_s"')
ROME: Final = MAPPING.replace('column = "at"', 'column = "at"\nzone = "Europe/Rome"')

HEADER: Final = "paper,who,at,what,keys"


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A file, what is said of it, and what must come of it: rows read and those refused, or why none is."""

    name: str
    content: bytes
    read: int = 0
    refused: dict[int, Kind] = {}
    unreadable: str = ""
    damaged: bool = False
    mapping: str = MAPPING
    options: Options = Options()


def row(at: str = "2026-03-01T10:00:00Z", *, who: str = "c1", what: str = "types", keys: str = "1") -> str:
    return f"1,{who},{at},{what},{keys}"


def table(*rows: str, header: str = HEADER, end: str = "\n") -> str:
    """Return a file of the header, a good row, the rows given, and a good row of the same candidate."""
    return end.join([header, row(), *rows, row("2026-03-01T10:09:00Z"), ""])


def line(**members: object) -> bytes:
    good = {"paper": 1, "who": "c1", "at": "2026-03-01T10:00:00Z", "what": "types", "keys": 1}
    return msgspec.json.encode({name: each for name, each in (good | members).items() if each is not ...})


def lines(*some: bytes) -> bytes:
    """Return a file of a good object, the lines given, and a good object of the same candidate."""
    return b"\n".join([line(), *some, line(at="2026-03-01T10:09:00Z"), b""])


def csv(name: str, *rows: str, refused: Kind | dict[int, Kind] | None = None, **more: Any) -> Case:
    """Return a case of a table of UTF-8: `refused` is by line, or of the third line alone."""
    found = {3: refused} if isinstance(refused, Kind) else refused or {}
    members: dict[str, Any] = {"content": table(*rows).encode(), "read": len(rows) + 2} | more
    return Case(name=name, refused=found, **members)


def ndjson(name: str, *some: bytes, refused: Kind | None = None) -> Case:
    found = {2: refused} if refused else {}
    return Case(name=name, content=lines(*some), read=len(some) + 2, refused=found, mapping=NDJSON)


def whole(name: str, content: bytes, unreadable: str, options: Options | None = None) -> Case:
    """Return a case of a file that cannot be read as a whole."""
    return Case(name=name, content=content, unreadable=unreadable, options=options or Options())


GOOD: Final = table().encode()
ACCENTED: Final = table(row(what="tapé"))
LONG: Final = "x" * 200_000
PACKED: Final = gzip.compress(table(*[row()] * 500).encode())

CASES: Final = [
    # encodings
    csv(
        "latin-1 in a file said to be nothing",
        content=ACCENTED.encode("latin-1"),
        read=3,
        refused={3: Kind.undecodable},
    ),
    csv(
        "latin-1, said to be", content=ACCENTED.encode("latin-1"), read=3, options=Options(encoding="latin-1")
    ),
    csv(
        "a byte that cp1252 does not have",
        content=GOOD + b"1,c1,2026-03-01T10:00:00Z,\x81,1\n",
        read=3,
        refused={4: Kind.undecodable},
        options=Options(encoding="cp1252"),
    ),
    csv("UTF-8 with its mark", content=b"\xef\xbb\xbf" + ACCENTED.encode(), read=3),
    csv("UTF-16 with its mark", content=ACCENTED.encode("utf-16"), read=3),
    csv(
        "UTF-16 that ends within a character",
        content=b"\xff\xfe" + table().encode("utf-16-le") + b"1",
        read=3,
        refused={4: Kind.undecodable},
    ),
    csv("UTF-32 with its mark", content=ACCENTED.encode("utf-32"), read=3),
    whole("UTF-16 without a mark", ACCENTED.encode("utf-16-le"), "--encoding utf-16-le"),
    csv(
        "UTF-16 without a mark, said to be",
        content=ACCENTED.encode("utf-16-be"),
        read=3,
        options=Options(encoding="utf-16-be"),
    ),
    whole(
        "UTF-8's mark in what was said to be cp1252",
        b"\xef\xbb\xbf" + GOOD,
        "begins with the mark of utf-8",
        options=Options(encoding="cp1252"),
    ),
    whole("an encoding that is none", GOOD, "no encoding of texts", options=Options(encoding="hex")),
    csv(
        "half a character in UTF-8",
        content=GOOD + b"1,c1,2026-03-01T10:00:00Z,\xed\xa0\x80,1\n",
        read=3,
        refused={4: Kind.undecodable},
    ),
    csv("a NUL in a value", row(what="a\0b"), refused=Kind.unusable_text),
    # lines
    csv("CRLF", content=table(row(), end="\r\n").encode(), read=3),
    csv("CR alone", content=table(row(), end="\r").encode(), read=3),
    csv("no end of the last line", content=GOOD.rstrip(), read=2),
    csv("blank lines between", content=GOOD.replace(b"\n", b"\n\n\r\n"), read=2),
    csv("a field of 200,000 characters", row(what=LONG), refused=Kind.refused_by_server),
    csv("a line of 2,000,000 characters", row(what=LONG * 10), refused=Kind.too_long),
    # tables
    csv("a quote that is never closed", row(what='"away'), row(), row(), refused=Kind.unclosed_quote),
    csv(
        "a quote that the next one closes",
        row(what='"away'),
        row(),
        row(what='"x"'),
        refused=Kind.unclosed_quote,
    ),
    csv("a quote closed within a field", row(what='"a"way'), refused=Kind.unclosed_quote),
    csv("a quoted line end", row(what='"a\nb"'), read=3),
    csv("two fields too few", "1,c1,2026-03-01T10:00:00Z", refused=Kind.field_count),
    csv("a comma too many", row(what="a,b"), refused=Kind.field_count),
    whole("no header", f"{row()}\n{row()}".encode(), "has no column"),
    whole("a column missing", table(header="paper,who,at,what,taps").encode(), "has no column 'keys'"),
    whole("a column twice", table(header="paper,who,at,what,what").encode(), "has no column 'keys'"),
    whole("a column that is read, twice", table(header=HEADER + ",keys").encode(), "names 'keys' twice"),
    csv("a column that nobody reads", content=f"{HEADER},more\n{row()},x\n".encode(), read=1),
    whole("semicolons", GOOD.replace(b",", b";"), "seems to be ';'"),
    csv("semicolons, said to be", content=GOOD.replace(b",", b";"), read=2, options=Options(delimiter=";")),
    csv("the same row twice", row(), row()),
    # values
    csv("an integer over 64 bits", row(keys="9" * 30)),
    csv("an integer of 5,000 digits", row(keys="9" * 5000)),
    csv(
        "a number that says what the event is, and is none", row(keys="many"), refused=Kind.unreadable_number
    ),
    csv("a number that only describes, and is none", row(keys="1_000"), mapping=LENIENT),
    csv("nobody", row(who=""), refused=Kind.absent),
    csv("somebody of 5,000 characters, with quotes and spaces", row(who=f"o'neil <{'é' * 5000}>")),
    csv(
        "an exam of 500 characters",
        f"{'9' * 500},c1,2026-03-01T10:00:00Z,types,1",
        refused=Kind.unusable_text,
    ),
    # times
    csv("a time that is none", row("yesterday"), refused=Kind.unreadable_time),
    csv("a time that is not there", row(""), refused=Kind.absent),
    csv("a day without a time", row("2026-03-01"), refused=Kind.unreadable_time),
    csv("a local time without a zone", row("2026-03-01T10:00:00"), refused=Kind.zoneless_time),
    csv("a local time, with a zone said", row("2026-03-01T10:00:00"), options=Options(zone="Asia/Dubai")),
    csv(
        "an hour that clocks showed twice",
        row("2026-10-25T02:30:00"),
        refused=Kind.ambiguous_time,
        mapping=ROME,
    ),
    csv(
        "an hour that clocks showed twice, said which",
        row("2026-10-25T02:30:00"),
        mapping=ROME,
        options=Options(fold="later"),
    ),
    csv("an hour that no clock showed", row("2026-03-29T02:30:00"), refused=Kind.skipped_time, mapping=ROME),
    csv("the first moment of year 1", row("0001-01-01T00:00:00+14:00"), refused=Kind.unreadable_time),
    csv("the last moment of year 9999", row("9999-12-31T23:59:59-12:00"), refused=Kind.unreadable_time),
    csv("a time before 1970", row("1969-12-31T23:59:59Z"), refused=Kind.refused_by_server),
    csv("the 30th of February", row("2026-02-30T10:00:00Z"), refused=Kind.unreadable_time),
    csv(
        "an epoch that no calendar holds",
        content=f"{HEADER}\n{row('9' * 25)}\n{row('1772359200')}\n".encode(),
        read=2,
        refused={2: Kind.unreadable_time},
        mapping=EPOCH,
    ),
    csv(
        "NaN as a time",
        content=f"{HEADER}\n{row('NaN')}\n{row('1772359200.5')}\n".encode(),
        read=2,
        refused={2: Kind.unreadable_time},
        mapping=EPOCH,
    ),
    # JSON
    ndjson("a line that is cut", b'{"paper": 1, "who": "c', refused=Kind.not_json),
    ndjson("a line that is a list", b"[1, 2]", refused=Kind.not_json),
    ndjson("a member twice", line()[:-1] + b',"who":"c2"}', refused=Kind.not_json),
    ndjson("NaN", line()[:-2] + b"NaN}", refused=Kind.not_json),
    ndjson("a number that no double holds", line()[:-2] + b"1e999}", refused=Kind.not_json),
    ndjson("100,000 levels", b"[" * 100_000, refused=Kind.not_json),
    ndjson("50 levels", line(what=msgspec.Raw(b"[" * 50 + b"]" * 50)), refused=Kind.refused_by_server),
    ndjson("a NUL inside", line(what={"deep": "a\0b"}), refused=Kind.refused_by_server),
    ndjson("half a character", line()[:-1] + b',"more":1,"w":1}'.replace(b"1,", b'"\\ud800",')),
    ndjson(
        "half a character in what is sent",
        line(what=...)[:-1] + b',"what":["\\ud800"]}',
        refused=Kind.unusable_text,
    ),
    ndjson("no member for whom", line(who=...), refused=Kind.absent),
    ndjson("a list for whom", line(who=[1]), refused=Kind.unusable_text),
    ndjson("a member that only describes is absent", line(what=..., keys=...)),
    ndjson("an integer over 64 bits in JSON", line()[:-2] + b"9" * 40 + b"}"),
    # packed, and no file of rows at all
    csv("gzip", content=gzip.compress(GOOD), read=2),
    csv("gzip in two members", content=gzip.compress(GOOD) + gzip.compress(row().encode()), read=3),
    csv("zstd", content=zstd.compress(GOOD), read=2),
    csv("gzip that ends early", content=gzip.compress(GOOD)[:-6], read=2, damaged=True),
    csv("gzip with something behind it", content=gzip.compress(GOOD) + b"behind", read=2, damaged=True),
    csv("zstd with something behind it", content=zstd.compress(GOOD) + b"behind", read=2, damaged=True),
    whole("gzip of which a byte is wrong", PACKED[:-6] + b"\0" + PACKED[-5:], "damaged"),
    whole("a Parquet file", b"PAR1" + bytes(100), "it is a Parquet file"),
    csv("nothing", content=b"", read=0),
    csv("a mark and nothing else", content=b"\xef\xbb\xbf\r\n \n", read=0),
    csv("a header and nothing else", content=HEADER.encode(), read=0),
]
