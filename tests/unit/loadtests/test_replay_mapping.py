"""Foreign rows become events, or are refused by name; what cannot be is sent and doubtful."""

import gzip
import re
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from kernel import spelling
from kernel.events import EventType
from kernel.files.findings import Kind
from kernel.files.mapping import MappingError
from kernel.files.reading import UnreadableError
from kernel.files.rows import Options
from loadtests.replay.mapping import read_mapping
from loadtests.replay.planning import Plan, plan
from loadtests.replay.replay import address_of

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


def named(result: Plan) -> list[tuple[int, Kind, str | None]]:
    """Return what is wrong: the line, the kind, the column."""
    return [(each.line, each.kind, each.column) for each in result.findings]


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
    assert [event.marker for event in events] == ["line-2", "line-3", "line-4"]


def test_local_times_are_read_in_their_zone(tmp_path: Path) -> None:
    result = planned(tmp_path, "1,7,x,2.10.2014 11:25:33,2.10.2014 11:25:35,0,0")
    event = result.sessions["Lab 1", "s-7"][0]

    assert event.at == datetime(2014, 10, 2, 9, 25, 33, tzinfo=UTC)
    assert orjson.loads(event.metadata) == {
        "line": 2,
        "what": "x",
        "keys": 0,
        "duration_ms": 2000,
    }


def test_each_exam_and_candidate_is_a_session_of_its_own(tmp_path: Path) -> None:
    row = "x,2.10.2014 11:25:33,2.10.2014 11:25:35,0,0"
    result = planned(tmp_path, f"1,7,{row}", f"2,7,{row}", f"1,8,{row}", f"1,7,{row}")

    assert {key: len(events) for key, events in result.sessions.items()} == {
        ("Lab 1", "s-7"): 2,
        ("Lab 2", "s-7"): 1,
        ("Lab 1", "s-8"): 1,
    }


def test_rows_with_impossible_values_are_sent_and_doubtful(tmp_path: Path) -> None:
    result = planned(
        tmp_path,
        "1,7,x,2.10.2014 11:25:33,2.10.2014 11:25:30,-5,0",
        "1,7,x,1.10.2014 11:25:33,1.10.2014 11:25:33,0,many",
        "1,7,x,1.10.2014 11:25:34,then,99999999999999999999,0",
        "1,7,x,1.10.2014 11:25:34,then,99999999999999999999,0",
    )
    events = result.sessions["Lab 1", "s-7"]
    metadata = [orjson.loads(event.metadata) for event in events]

    assert (result.rows, result.events) == (4, 4)
    assert named(result) == [
        (2, Kind.impossible_value, "keys"),
        (2, Kind.ends_early, "until"),
        (3, Kind.unreadable_value, "clicks"),
        (3, Kind.runs_backwards, None),
        (4, Kind.impossible_value, "keys"),
        (4, Kind.unreadable_value, "until"),
        (4, Kind.wide_number, "keys"),
        (5, Kind.impossible_value, "keys"),
        (5, Kind.unreadable_value, "until"),
        (5, Kind.wide_number, "keys"),
        (5, Kind.repeated, None),
    ]
    assert metadata[0]["impossible"] == ["impossible_keys", "ends_before_it_starts"]
    assert metadata[2]["keys"] == "99999999999999999999", "as it stands, not through a double"


def test_a_row_that_is_nobodys_or_of_no_time_is_refused_and_its_neighbours_stay(tmp_path: Path) -> None:
    good = "1,7,x,2.10.2014 11:25:33,2.10.2014 11:25:35,0,0"
    result = planned(
        tmp_path,
        good,
        good.replace("2.10.2014 11:25:33", "yesterday"),
        good.replace(",7,", ", ,"),
        good.replace(",0,0", ",many,0"),
        good.replace("33", "34"),
    )

    assert [event.marker for event in result.sessions["Lab 1", "s-7"]] == ["line-2", "line-6"]
    assert named(result) == [
        (3, Kind.unreadable_time, "at"),
        (4, Kind.absent, "student"),
        (5, Kind.unreadable_number, "keys"),
    ]


@pytest.mark.parametrize(
    ("text", "options", "kind", "at"),
    [
        ("26.10.2014 02:30:00", Options(), Kind.ambiguous_time, None),
        ("26.10.2014 02:30:00", Options(fold="earlier"), None, "2014-10-26T00:30:00+00:00"),
        ("26.10.2014 02:30:00", Options(fold="later"), None, "2014-10-26T01:30:00+00:00"),
        ("26.10.2014 02:30:00", Options(zone="UTC"), None, "2014-10-26T02:30:00+00:00"),
        ("30.03.2014 02:30:00", Options(fold="later"), Kind.skipped_time, None),
        ("30.03.2014 03:00:00", Options(), None, "2014-03-30T01:00:00+00:00"),
        ("01.01.0001 00:00:00", Options(), Kind.unreadable_time, None),
        ("31.12.9999 23:59:59", Options(zone="America/New_York"), Kind.unreadable_time, None),
    ],
)
def test_a_local_time_is_one_moment_or_refused(
    tmp_path: Path, text: str, options: Options, kind: Kind | None, at: str | None
) -> None:
    (tmp_path / "mapping.toml").write_text(MAPPING)
    file = tmp_path / "rows.csv"
    file.write_text(f"{HEADER}\n1,7,x,{text},{text},0,0\n")
    result = plan(file, read_mapping(tmp_path / "mapping.toml"), options)
    events = [event for some in result.sessions.values() for event in some]

    assert [each.kind for each in result.findings] == ([kind] if kind else [])
    assert [event.at.isoformat() for event in events] == ([at] if at else [])


def test_all_rules_that_apply_may_make_events_and_rows_stay_countable(tmp_path: Path) -> None:
    result = planned(
        tmp_path, "1,7,gone,2.10.2014 11:25:33,2.10.2014 11:25:35,4,0", mapping=f'emit = "all"\n{MAPPING}'
    )
    events = result.sessions["Lab 1", "s-7"]

    assert [event.marker for event in events] == ["line-2", "line-2.1", "line-2.2"]
    assert {orjson.loads(event.metadata)["line"] for event in events} == {2}


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
    assert named(result) == [(3, Kind.unreadable_time, "ms")]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("WindowFocus", "WindowFocused"), "no event type 'WindowFocused': is WindowFocus meant"),
        (("WindowFocus", "Qqqqqq"), "no event type 'Qqqqqq'$"),
        (("Europe/Rome", "Europe/Atlantis"), "Atlantis"),
        (('severity = "warning"', "severity = 9"), "no severity 9: it is one of 0, 1, "),
        (('severity = "warning"', 'severity = "loud"'), "no severity 'loud': it is one of .*Info, .*warning"),
        (("[[bounds]]", "[[limits]]"), "limits"),
        (('[[events]]\ntype = "WindowFocus"', ""), "must apply to every row"),
        (('"Lab {lab}"', '"Lab {lab"'), "Lab {lab"),
        (('"Lab {lab}"', '"Lab {lab!r:>9}"'), "and nothing else"),
        (('what = "what"', 'marker = "what"'), "marker"),
        (("%d.%m.%Y %H:%M:%S", "%d.%d.%Y"), "twice"),
        (("%d.%m.%Y %H:%M:%S", "%d.%Q"), "bad directive"),
        (("%d.%m.%Y %H:%M:%S", "unix"), "unix"),
        (('numbers = ["keys", "clicks"]', 'delimiter = ";;"'), "one character"),
    ],
)
def test_a_mapping_with_a_mistake_is_refused_with_its_name(
    tmp_path: Path, change: tuple[str, str], complaint: str
) -> None:
    with pytest.raises(MappingError, match=complaint):
        planned(tmp_path, mapping=MAPPING.replace(*change))


def test_a_mapping_that_cannot_be_read_is_said_in_words(tmp_path: Path) -> None:
    latin = tmp_path / "latin.toml"
    latin.write_bytes("exam = 'Prüfung'".encode("latin-1"))

    for path, complaint in (
        (tmp_path / "none.toml", "No such file or directory"),
        (latin, "it is not UTF-8"),
    ):
        with pytest.raises(MappingError) as refused:
            read_mapping(path)
        assert str(refused.value) == f"{path}: {complaint}"


@pytest.mark.parametrize(
    "line",
    [b'{"a":"\t"}', b'{"a":"b', b'{"a":1,}', b"{a}", b"[1", b'{"a":"\\x"}', b"{} {}", b"nothing", b'{"a" 1}'],
)
def test_what_is_wrong_with_json_is_said_with_its_place(tmp_path: Path, line: bytes) -> None:
    file = tmp_path / "rows.ndjson"
    file.write_bytes(line)
    (tmp_path / "mapping.toml").write_text(
        'format = "ndjson"\nexam = "E"\ncandidate = "{who}"\n[time]\ncolumn = "ms"\n'
        '[[events]]\ntype = "Keystroke"\n'
    )
    (found,) = plan(file, read_mapping(tmp_path / "mapping.toml")).findings

    assert found.kind == Kind.not_json
    assert re.fullmatch(r"[A-Z].+(?<! at) at character \d+", found.why), found.why


def test_a_column_that_the_file_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="'nothing'"):
        planned(tmp_path, "row", mapping=MAPPING.replace("{lab}", "{what}").replace('"what"', '"nothing"'))


def test_the_shipped_mapping_is_found_by_its_columns(tmp_path: Path) -> None:
    file = tmp_path / "activity.csv"
    file.write_text(
        "session,student_id,exercise,activity,start_time,end_time,idle_ms,mouse_wheel,mouse_wheel_click,"
        "mouse_click_left,mouse_click_right,mouse_movement,keystrokes\n"
        "1,1,Es,Other,2.10.2014 11:25:33,2.10.2014 11:25:34,-205909206249217,0,0,0,0,84,0\n"
    )
    result = plan(file)

    assert named(result) == [(2, Kind.impossible_value, "idle_ms")]
    assert result.sessions["Laboratory session 1", "epm-1"][0].event_type == EventType.MouseActivity


def test_a_file_that_no_shipped_mapping_fits_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.csv"
    file.write_text("a,b\n1,2\n")

    with pytest.raises(UnreadableError, match="no shipped mapping fits"):
        plan(file)


def test_everybody_has_an_address_of_their_own_whatever_they_are_called() -> None:
    names = [
        "epm-7",
        "EPM-7",
        "\uff45pm-7",
        "e\u0301",
        "\u00e9",
        "a b",
        "@",
        "x" * 500,
        "candidate-7",
        ".",
        "-",
        "a.",
    ]

    addresses = {address_of(name) for name in names}
    assert len(addresses) == len(names)
    assert all(spelling.address(each) == each for each in addresses), "as an account stores it"
