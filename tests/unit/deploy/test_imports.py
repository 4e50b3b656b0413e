"""How a file becomes exams with results: each row is taken, or named with its line and why (spec.md W-7)."""

import gzip
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from core_api.authoring.items import Essay, MultipleChoice, Numeric, ShortText, SingleChoice
from deploy.commands.results import parts
from deploy.imports.mapping import Compare, Mapping, check, read_mapping
from deploy.imports.planning import Exam, Plan, Source, plan
from kernel.files.mapping import MappingError, TimeColumn
from kernel.files.reading import UnreadableError
from loadtests.example.run import commands

ROOT = Path(__file__).parents[3]
AT = datetime(2015, 1, 20, 9, tzinfo=UTC)
ANSWERS = """candidate,item,option,seconds,key,topics,time
amina,q1,b,12.5,b,Logic|Sets,2015-01-20T10:00:00Z
amina,q2,a,,c,Sets,2015-01-20T10:05:00Z
ben,q1,a,3,b,Logic|Sets,2015-01-20T09:00:00Z
ben,q2,,,c,Sets,2015-01-20T09:01:00Z
"""


def read(folder: Path, text: str, **more: Any) -> Plan:
    file = folder / "answers.csv"
    file.write_text(text)
    given: dict[str, Any] = {"mapping": Mapping(exam="Finals"), "is_mapped": False} | more
    return plan(Source(file=file, **given))


def faults(found: Plan) -> list[str]:
    return [str(each) for each in found.findings]


def test_columns_that_are_called_as_the_fields_are_need_no_mapping_w7(tmp_path: Path) -> None:
    found = read(tmp_path, ANSWERS)

    (exam,) = found.exams
    assert (found.findings, found.unread) == ([], [])
    assert [each.topics for each in exam.form.items] == [["Logic", "Sets"], ["Sets"]]
    first, second = (each.item for each in exam.form.items)
    assert isinstance(first, SingleChoice)
    assert [each.id for each in first.content.options] == ["a", "b"]
    assert isinstance(second, SingleChoice)
    assert (second.key.choice, [each.id for each in second.content.options]) == ("c", ["a", "c"])
    amina, ben = exam.results
    assert (amina.candidate, amina.line, amina.finalised_at.minute) == ("amina", 2, 5)
    assert [(each.item, each.seconds) for each in amina.answers] == [("q1", 12.5), ("q2", None)]
    assert [each.response and each.response.choice for each in ben.answers] == ["a", None]


def test_the_same_rows_in_any_format_are_the_same_results_w7(tmp_path: Path) -> None:
    wanted = read(tmp_path, ANSWERS).exams
    frame = pl.read_csv(ANSWERS.encode())
    frame.write_csv(tmp_path / "answers.tsv", separator="\t")
    frame.with_columns(pl.col("time").str.to_datetime(time_zone="UTC")).write_parquet(tmp_path / "a.parquet")
    (tmp_path / "answers.csv.gz").write_bytes(gzip.compress(ANSWERS.encode()))
    for name in ("answers.tsv", "a.parquet", "answers.csv.gz"):
        mapping = Mapping(exam="Finals", format="tsv" if name.endswith("tsv") else "csv")
        found = plan(Source(file=tmp_path / name, mapping=mapping, is_mapped=False)).exams

        lines = [each.line for exam in found for each in exam.results]
        assert lines == ([1, 3] if name == "a.parquet" else [2, 4]), name
        assert [_without_lines(each) for each in found] == [_without_lines(each) for each in wanted], name


def _without_lines(exam: Exam) -> Any:
    return exam.form, [msgspec.structs.replace(each, line=1) for each in exam.results]


def test_a_wide_file_is_an_answer_in_each_of_its_columns_w7(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(
        'exam = "Exam, sitting {sitting}"\ncandidate = "epm-{id}"\nscore = "value"\nmax_score = "points"\n'
        "[wide]\ncolumns = 'ES (?P<item>[0-9.]+) \\((?P<points>[0-9]+) points\\)'\n"
    )
    header = "sitting,id,ES 1.1 (2 points),ES 1.2 (3 points),TOTAL (5 points)\n"
    text = header + "1,3,2,1.5,3.5\n2,3,0,,0\n1,4,3,1,4\n"
    found = read(tmp_path, text, mapping=read_mapping(tmp_path / "m.toml"), is_mapped=True, at=AT)

    assert [each.form.title for each in found.exams] == ["Exam, sitting 1", "Exam, sitting 2"]
    assert [(each.item.content.stem, each.points) for each in found.exams[0].form.items] == [
        ("1.1", 2.0), ("1.2", 3.0),
    ]  # fmt: skip
    (result,) = found.exams[0].results
    assert (result.candidate, result.finalised_at) == ("epm-3", AT)
    assert [each.points for each in result.answers] == [2.0, 1.5]
    assert [each.points for each in found.exams[1].results[0].answers] == [0.0, None]
    assert faults(found) == [
        "line 4, '1.1': 3 points, and the item has 2: say more with --points or max_score"
    ]


def test_texts_are_in_the_order_of_their_versions_or_times_w7(tmp_path: Path) -> None:
    text = "candidate,question,{}text,time\n{}"
    mapping = Mapping(exam="Essays", item="{question}", text="text", time=TimeColumn(column="time"))
    by_time = read(
        tmp_path,
        text.format("", "a,q,Second.,2015-01-02T00:00Z\na,q,First.,2015-01-01T00:00Z\n"),
        mapping=mapping,
    )
    numbered = read(
        tmp_path,
        text.format("version,", "a,q,2,Second.,2015-01-01T00:00Z\na,q,1,First.,2015-01-02T00:00Z\n"),
        mapping=mapping,
    )
    for found in (by_time, numbered):
        (answer,) = found.exams[0].results[0].answers
        assert isinstance(found.exams[0].form.items[0].item, Essay)
        assert answer.response is not None
        assert ([each.text for each in answer.drafts], answer.response.text) == (["First."], "Second.")


@pytest.mark.parametrize(
    ("rows", "wrong"),
    [
        ("amina,q1,b,2015-01-20T10:00Z,1,\n,q1,b,2015-01-20T10:00Z,1,", "line 3, 'candidate'"),
        ("amina,q1,b,soon,1,", "line 2, 'time'"),
        ("amina,q1,b,2015-01-20T10:00,1,", "line 2, 'time'"),
        ("amina,q1,b,2015-01-20T10:00Z,-1,", "line 2, 'score'"),
        ("amina,q1,b,2015-01-20T10:00Z,one,", "line 2, 'score'"),
        ("amina,q1,b,2015-01-20T10:00Z,2,", "line 2, 'q1'"),
        ("amina,q1,b,2015-01-20T10:00Z,1,\namina,q1,a,2015-01-20T10:00Z,1,", "line 3: the item stands"),
        ("amina,q1,b,2015-01-20T10:00Z,1,a\namina,q2,b,2015-01-20T10:00Z,1,b\nben,q1,b,2015-01-20T10:00Z,1,b",
         "line 4, 'key'"),
        ("amina,q1,b,2015-01-20T10:00Z", "line 2: the number of its fields"),
        ('amina,"q\n1",b,2015-01-20T10:00Z,1,', "line 2: the item cannot be called so"),
    ],
)  # fmt: skip
def test_a_faulty_row_is_named_and_its_result_left_out_whole_w7(
    tmp_path: Path, rows: str, wrong: str
) -> None:
    found = read(tmp_path, f"candidate,item,option,time,score,key\n{rows}\n")

    (fault,) = faults(found)
    assert fault.startswith(wrong), fault
    faulty = {row.split(",")[0] for row in rows.splitlines()[-1:]}
    kept = {each.candidate for exam in found.exams for each in exam.results}
    assert not kept & (faulty - {""})


def test_a_file_of_items_says_what_they_are_and_nothing_is_guessed_w7(tmp_path: Path) -> None:
    items = tmp_path / "items.csv"
    items.write_text(
        "item,kind,text,options,key,tolerance,points,topics\nq1,,Which?,a=One|b=Two|c,b,,2,Logic\n"
        "q2,multiple_choice,,a|b|c,a|c,,,\nq3,numeric,,,3.5,0.1,,\nq4,,,,,,4,\nq5,short_text,,,Rome|Roma,,,\n"
    )
    text = "candidate,item,option\nx,q1,c\nx,q2,a|b\nx,q3,3.4\nx,q4,anything\nx,q5,roma\n"
    found = read(tmp_path, text, items=items, at=AT)

    assert faults(found) == []
    made = found.exams[0].form.items
    assert [type(each.item) for each in made] == [SingleChoice, MultipleChoice, Numeric, Essay, ShortText]
    assert [each.points for each in made] == [2.0, 1.0, 1.0, 4.0, 1.0]
    assert made[0].item.content.stem == "q1\nWhich?"
    (signs,) = read(tmp_path, "candidate,item,option,key\nx,q1,x=3,x=3\ny,q1,x=5,x=3\n", at=AT).exams
    (asked,) = (each.item for each in signs.form.items)
    assert isinstance(asked, SingleChoice)
    assert asked.key.choice in {each.id for each in asked.content.options if each.text == "x=3"}
    unknown = read(tmp_path, "candidate,item,option\nx,q9,c\n", items=items, at=AT)
    assert (unknown.exams, faults(unknown)) == ([], ["line 2: the file of items has no such item"])
    items.write_text("item,points\nq1,many\n")
    with pytest.raises(UnreadableError, match="line 2, 'points'"):
        read(tmp_path, text, items=items, at=AT)


def test_a_mapping_that_means_nothing_is_refused_w7() -> None:
    for wrong in (
        {"option": "a", "response": "b"}, {"text": "a", "option": "b"}, {"points": 0.0}, {"candidate": "{}"},
        {"compare": Compare(reference="A", focal="B")},
        {"group": "course", "compare": Compare(reference="A", focal="a")},
        {"at": {"Finals": datetime(2015, 1, 20)}},  # noqa: DTZ001  that is what is wrong
    ):  # fmt: skip
        with pytest.raises(MappingError):
            check(Mapping(exam="Finals", **wrong))


def test_a_column_says_the_groups_of_candidates_and_two_are_compared_w7(tmp_path: Path) -> None:
    rows = "candidate,item,option,course\namina,q1,a,A\namina,q2,a,\nben,q1,a,B\nben,q2,a,A\ncleo,q1,a,\n"
    mapping = Mapping(
        exam="Finals", option="option", group="course", compare=Compare(reference="A", focal="B")
    )
    found = read(tmp_path, rows, mapping=mapping, is_mapped=True, at=AT)

    (exam,) = found.exams
    assert [(each.candidate, each.group) for each in exam.results] == [("amina", "A"), ("cleo", None)]
    assert (exam.form.reference_group, exam.form.focal_group) == ("A", "B")
    assert len(faults(found)) == 1
    assert "line 5" in faults(found)[0]
    assert "an earlier row of this result says 'B'" in faults(found)[0]


def test_requests_are_bounded_and_together_are_all_results_w7(tmp_path: Path) -> None:
    rows = "".join(f"c{n},q{m},b\n" for n in range(120) for m in range(3))
    (exam,) = read(tmp_path, "candidate,item,option\n" + rows, at=AT).exams
    sent = list(parts(exam))

    assert [len(each) for each in sent] == [50, 50, 20]
    assert [each for part in sent for each in part] == exam.results


def test_the_commands_of_the_example_are_those_that_it_runs_and_its_mappings_fit_the_data_w7(
    tmp_path: Path,
) -> None:
    wanted = commands((ROOT / "docs/example.md").read_text())
    (tmp_path / "final_grades.csv").write_text(
        "sitting,student_id,ES 1.1 (2 points),ES 6.2 (15 points),TOTAL (100 points)\n"
        "1,3,2,15,85\n2,3,1.5,0,9\n"
    )
    (tmp_path / "intermediate_grades.csv").write_text("student_id,session_2,session_6\n1,5,2.25\n3,6,0\n")
    found = {}
    for command in wanted:
        if " import results " in command:
            words = shlex.split(command)
            given = dict(zip(words[4::2], words[5::2], strict=True))
            name = words[3].removeprefix("$DATA/")
            source = Source(
                file=tmp_path / name,
                mapping=read_mapping(ROOT / given["--mapping"]),
                items=ROOT / given["--items"] if "--items" in given else None,
                at=datetime.fromisoformat(given["--at"]) if "--at" in given else None,
            )
            found[name] = plan(source)

    assert [each.split()[0] for each in wanted] == ["make", "veritas", "veritas", "veritas", "python"]
    assert [faults(each) for each in found.values()] == [[], []]
    assert [
        (exam.form.title, len(exam.form.items), exam.results[0].candidate)
        for each in found.values()
        for exam in each.exams
    ] == [
        ("Final examination, sitting 1", 2, "epm-3@replay.example"),
        ("Final examination, sitting 2", 2, "epm-3@replay.example"),
        ("Grade of laboratory session 2", 1, "epm-1@replay.example"),
        ("Grade of laboratory session 6", 1, "epm-1@replay.example"),
    ]
