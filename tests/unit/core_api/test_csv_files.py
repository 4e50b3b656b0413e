"""What a CSV file may cost before it is refused (spec.md A-8)."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from core_api.csv_files import WIDTH_MAX, Limits, Sheet, read
from kernel.errors import InvalidInputError

LIMITS = Limits(lines=100, characters=200)
MANY = 100_000
WIDE = {
    "columns": "title" + "," * MANY,
    "columns of another separator": "title" + ";" * MANY,
    "columns behind a line break": 'title,"\n"' + ",a" * MANY,
    "blank lines": "title\n" + "\n" * MANY,
    "blank lines before the header": "\n" * MANY + "title\n",
    "rows of nothing": "title\n" + " , \n" * MANY,
    "faulty rows": "title\n" + "a,b\n" * MANY,
}


def calls_of(what: Callable[[], Any]) -> int:
    """Return how many functions are called, of Python and of C."""
    calls = 0

    def count(_frame: FrameType, event: str, _given: Any) -> None:
        nonlocal calls
        calls += event.endswith("call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        what()
    finally:
        sys.setprofile(before)
    return calls


@pytest.mark.parametrize("form", WIDE)
def test_a_file_is_refused_before_each_of_its_columns_or_lines_is_looked_at(form: str) -> None:
    def refuse() -> None:
        with pytest.raises(InvalidInputError):
            read(WIDE[form], "x.csv", ("title",), required=("title",), columns={}, limits=LIMITS)

    assert calls_of(refuse) < MANY / 10


def test_a_row_of_very_many_fields_is_a_fault_and_looked_at_by_no_field() -> None:
    text = "title\ngood\n" + "," * MANY + "\n"

    def read_it() -> Sheet:
        return read(text, "x.csv", ("title",), required=("title",), columns={}, limits=LIMITS)

    sheet = read_it()

    assert [each["title"] for each in sheet.rows] == ["good"]
    assert [each.path for each in sheet.faults] == ["x.csv line 3"]
    assert calls_of(read_it) < MANY / 10


def test_as_many_columns_and_lines_as_are_allowed_are_read() -> None:
    header = ",".join(["title", *(f"c{n}" for n in range(WIDTH_MAX - 1))])
    row = "," * (WIDTH_MAX - 1)
    text = "\n".join([header, *([f"t{row}"] * 60), *([""] * 40)])
    sheet = read(text, "x.csv", ("title",), required=("title",), columns={}, limits=LIMITS)

    assert (len(sheet.rows), sheet.faults) == (60, [])
