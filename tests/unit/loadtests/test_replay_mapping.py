"""Foreign rows become events; no row is dropped, and what cannot be is counted."""

import gzip
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from kernel.events import EventType
from loadtests.replay.mapping import MappingError, Plan, plan, read_mapping
from loadtests.replay.replay import fitting_mapping

MAPPING = """
exam = "Lab {lab}"
candidate = "s-{student}"
numbers = ["keys", "clicks"]

[time]
column = "at"
end_column = "until"
format = "%d.%m.%Y %H:%M:%S"
zone = "Europe/Rome"

[[events]]
type = "Keystroke"
above_zero = ["keys"]

[[events]]
type = "tab_switched"
severity = "warning"
equals = { what = ["away", "gone"] }

[[events]]
type = "WindowFocus"

[metadata]
what = "what"
keys = "keys"

[[bounds]]
column = "keys"
min = 0
max = 1000
"""
HEADER = "lab,student,what,at,until,keys,clicks"


def planned(folder: Path, *rows: str, mapping: str = MAPPING, name: str = "rows.csv") -> Plan:
    text = folder / "mapping.toml"
    text.write_text(mapping)
    file = folder / name
    body = "\r\n".join([HEADER, *rows])
    file.write_bytes(gzip.compress(body.encode()) if name.endswith(".gz") else body.encode())
    return plan(file, read_mapping(text))


def test_the_first_rule_that_applies_makes_a_rows_one_event(tmp_path: Path) -> None:
    result = planned(
        tmp_path,
        "1,7,away,2.10.2014 11:25:33,2.10.2014 11:25:35,4,0",
        "1,7,away,2.10.2014 11:25:36,2.10.2014 11:25:36,0,0",
        "1,7,here,2.10.2014 11:25:37,2.10.2014 11:25:37,0,0",
    )
    events = result.sessions["Lab 1", "s-7"]

    assert [event.event_type for event in events] == [
        EventType.Keystroke,
        EventType.TabSwitched,
        EventType.WindowFocus,
    ]
    assert [event.severity for event in events] == [0, 2, 0]
    assert [event.marker for event in events] == ["row-1", "row-2", "row-3"]


def test_local_times_are_read_in_their_zone(tmp_path: Path) -> None:
    result = planned(tmp_path, "1,7,x,2.10.2014 11:25:33,2.10.2014 11:25:35,0,0")
    event = result.sessions["Lab 1", "s-7"][0]

    assert event.at == datetime(2014, 10, 2, 9, 25, 33, tzinfo=UTC)
    assert orjson.loads(event.metadata) == {"row": 1, "what": "x", "keys": 0, "duration_ms": 2000}


def test_each_exam_and_candidate_is_a_session_of_its_own(tmp_path: Path) -> None:
    row = "x,2.10.2014 11:25:33,2.10.2014 11:25:35,0,0"
    result = planned(tmp_path, f"1,7,{row}", f"2,7,{row}", f"1,8,{row}", f"1,7,{row}")

    assert {key: len(events) for key, events in result.sessions.items()} == {
        ("Lab 1", "s-7"): 2,
        ("Lab 2", "s-7"): 1,
        ("Lab 1", "s-8"): 1,
    }


def test_rows_with_impossible_values_are_sent_and_counted(tmp_path: Path) -> None:
    result = planned(
        tmp_path,
        "1,7,x,2.10.2014 11:25:33,2.10.2014 11:25:30,-5,0",
        "1,7,x,yesterday,2.10.2014 11:25:30,1e9,0",
        "1,7,x,1.10.2014 11:25:33,1.10.2014 11:25:33,0,many",
    )
    events = result.sessions["Lab 1", "s-7"]

    assert (result.rows, result.events) == (3, 3)
    assert events[1].at == events[0].at, "an unreadable time takes that of the row before"
    assert result.dirt == {
        "rows": 3,
        "ends_before_it_starts": 2,
        "impossible_keys": 1,
        "unreadable_at": 1,
        "unreadable_keys": 1,
        "runs_backwards": 1,
        "unreadable_clicks": 1,
    }
    assert orjson.loads(events[0].metadata)["impossible"] == ["impossible_keys", "ends_before_it_starts"]


def test_all_rules_that_apply_may_make_events_and_rows_stay_countable(tmp_path: Path) -> None:
    result = planned(
        tmp_path, "1,7,gone,2.10.2014 11:25:33,2.10.2014 11:25:35,4,0", mapping=f'emit = "all"\n{MAPPING}'
    )
    events = result.sessions["Lab 1", "s-7"]

    assert [event.marker for event in events] == ["row-1", "row-1.1", "row-1.2"]
    assert {orjson.loads(event.metadata)["row"] for event in events} == {1}


def test_gzip_is_read_as_such(tmp_path: Path) -> None:
    result = planned(tmp_path, "1,7,x,2.10.2014 11:25:33,2.10.2014 11:25:35,0,0", name="rows.csv.gz")

    assert result.events == 1


def test_newline_delimited_json_and_numeric_times_are_read(tmp_path: Path) -> None:
    file = tmp_path / "rows.ndjson"
    file.write_bytes(b'{"who":"a","ms":1700000000000,"kind":"away"}\n\n{"who":"b","ms":"oops","kind":""}\n')
    mapping = tmp_path / "mapping.toml"
    mapping.write_text(
        'format = "ndjson"\nexam = "E"\ncandidate = "{who}"\n'
        '[time]\ncolumn = "ms"\nformat = "epoch_ms"\n[[events]]\ntype = "Keystroke"\n'
    )
    result = plan(file, read_mapping(mapping))

    assert result.sessions["E", "a"][0].at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert result.dirt == {"rows": 1, "unreadable_ms": 1}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("WindowFocus", "WindowFocused"), "WindowFocused"),
        (("Europe/Rome", "Europe/Atlantis"), "Atlantis"),
        (('severity = "warning"', "severity = 9"), "9 is not a valid Severity"),
        (("[[bounds]]", "[[limits]]"), "limits"),
        (('[[events]]\ntype = "WindowFocus"', ""), "must apply to every row"),
    ],
)
def test_a_mapping_with_a_mistake_is_refused_with_its_name(
    tmp_path: Path, change: tuple[str, str], complaint: str
) -> None:
    with pytest.raises(MappingError, match=complaint):
        planned(tmp_path, mapping=MAPPING.replace(*change))


def test_a_column_that_the_file_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match="'nothing'"):
        planned(tmp_path, "row", mapping=MAPPING.replace("{lab}", "{what}").replace('"what"', '"nothing"'))


def test_the_shipped_mapping_is_found_by_its_columns(tmp_path: Path) -> None:
    file = tmp_path / "activity.csv"
    file.write_text(
        "session,student_id,exercise,activity,start_time,end_time,idle_ms,mouse_wheel,mouse_wheel_click,"
        "mouse_click_left,mouse_click_right,mouse_movement,keystrokes\n"
        "1,1,Es,Other,2.10.2014 11:25:33,2.10.2014 11:25:34,-205909206249217,0,0,0,0,84,0\n"
    )
    result = plan(file, fitting_mapping(file))

    assert result.dirt["impossible_idle_ms"] == 1
    assert result.sessions["Laboratory session 1", "epm-1"][0].event_type == EventType.MouseActivity


def test_a_file_that_no_shipped_mapping_fits_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.csv"
    file.write_text("a,b\n1,2\n")

    with pytest.raises(MappingError, match="no shipped mapping fits"):
        fitting_mapping(file)


def test_a_first_row_without_a_readable_time_takes_that_of_the_row_after(tmp_path: Path) -> None:
    result = planned(
        tmp_path, "1,7,x,soon,2.10.2014 11:25:30,0,0", "1,7,x,2.10.2014 11:25:33,2.10.2014 11:25:35,0,0"
    )
    first, second = result.sessions["Lab 1", "s-7"]

    assert first.at == second.at
