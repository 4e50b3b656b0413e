"""What `veritas import` makes of the files that it is given (spec.md A-8)."""

import csv
import io
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_api import csv_files
from core_api.people.roster import USERS
from deploy.commands.importing import by_kind, read_text
from deploy.commands.invitations import SHOWN, new_private, write_invitations
from deploy.local.passwords import password_of
from deploy.local.server import ServerError

WRONG = {
    "Latin-1": "Müller\nOk\n".encode("latin-1"),
    "UTF-16": "email,name\n".encode("utf-16"),
    "a workbook": b"PK\x03\x04...",
}


@pytest.mark.parametrize("form", WRONG)
def test_a_file_that_is_no_utf_8_is_refused_with_what_to_do(tmp_path: Path, form: str) -> None:
    file = tmp_path / "users.csv"
    file.write_bytes(WRONG[form])

    with pytest.raises(ServerError, match=r"save (it|the file) as “CSV UTF-8”"):
        read_text(file)


def test_the_mark_that_excel_writes_is_no_part_of_the_text(tmp_path: Path) -> None:
    file = tmp_path / "users.csv"
    file.write_bytes("email,name\n".encode("utf-8-sig"))

    assert read_text(file) == "email,name\n"


def written(folder: Path, **files: str) -> list[Path]:
    paths = [folder / f"{name}.csv" for name in files]
    for path, text in zip(paths, files.values(), strict=True):
        path.write_text(text)
    return paths


def test_files_are_known_by_their_names_or_else_by_their_headers_in_any_order(tmp_path: Path) -> None:
    paths = written(
        tmp_path,
        members="classSourcedId;userSourcedId\n",
        orgs="sourcedId,name\n",
        courses_of_study="sourcedId\ttitle\n",
        staff="Mail,Vorname\n",
        users_roles="userSourcedId,role\n",
    )

    found = by_kind(paths, {"Mail": "email"})

    assert {kind: path.stem for kind, path in found.items()} == {
        "enrollments": "members",
        "classes": "courses_of_study",
        "users": "staff",
        "roles": "users_roles",
    }


def test_a_file_of_exams_and_a_second_one_of_people_are_refused(tmp_path: Path) -> None:
    exams = written(tmp_path, whatever="title,durationMinutes,groups\n")
    people = written(tmp_path, users="email,name\n", more="email,name\n")

    with pytest.raises(ServerError, match="veritas import exams"):
        by_kind(exams, {})
    with pytest.raises(ServerError, match="both a file of users"):
        by_kind(people, {})
    with pytest.raises(ServerError, match="none of the files"):
        by_kind(written(tmp_path, orgs="sourcedId\n"), {})


def test_the_parts_of_a_file_hold_every_row_once_each_under_the_header() -> None:
    rows = [["email", "name"], *([f"{n}@x.example", f"A\nname {n}, of two; lines"] for n in range(10))]
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows([*rows[:5], [], *rows[5:]])

    parts = csv_files.parts(text.getvalue(), USERS, {}, 4)
    read = [list(csv.reader(io.StringIO(part, newline=""))) for part in parts]

    assert [len(list(filter(None, part))) for part in read] == [5, 5, 3]
    assert {tuple(part[0]) for part in read} == {("email", "name")}
    assert [row for part in read for row in part[1:] if row] == rows[1:]


def test_a_password_is_the_only_line_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    for end in ("", "\n", "\r\n"):
        file.write_bytes(f" with sp\u00e4ces {end}".encode())
        assert password_of(None, file) == " with sp\u00e4ces "
    assert password_of("given", None) == "given"
    assert password_of(None, None) is None

    for wrong in (b"", b"\n", b"two\nlines\n", b"\nlater"):
        file.write_bytes(wrong)
        with pytest.raises(ServerError, match="must hold one line"):
            password_of(None, file)
    file.write_bytes(b"\xff")
    with pytest.raises(ServerError, match="not UTF-8"):
        password_of(None, file)
    with pytest.raises(ServerError, match="not both"):
        password_of("given", file)
    with pytest.raises(ServerError, match="No such file or directory"):
        password_of(None, tmp_path / "none")


COMMANDS = {
    "people": "deploy.commands.cli import people rows.csv",
    "exams": "deploy.commands.cli import exams rows.csv",
    "replay": "deploy.commands.cli replay rows.csv --database-url postgresql://127.0.0.1:9/x",
    "links": "loadtests.client.links --database-url postgresql://127.0.0.1:9/x",
}


@pytest.mark.parametrize(
    ("words", "stdin"),
    [("people", ""), ("people", "<&-"), ("exams", "</dev/null"), ("replay", "<&-"), ("links", "</dev/null")],
)
def test_without_anybody_to_ask_for_the_password_nothing_is_done(
    tmp_path: Path, words: str, stdin: str
) -> None:
    written(tmp_path, rows="email,name\n" if words == "people" else "title,durationMinutes,groups\n")
    command = f"{sys.executable} -m {COMMANDS[words]}".replace("rows.csv", str(tmp_path / "rows.csv"))
    done = subprocess.run(
        ["/bin/sh", "-c", f"exec {command} --url http://127.0.0.1:9 --email a@x.example {stdin}"],
        stdin=subprocess.PIPE if not stdin else None,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "there is no terminal to ask for the password at: name a --password-file\n"


@pytest.mark.parametrize("form", ["there", "a link", "a link to nothing", "no folder"])
def test_a_private_file_is_new_or_refused_in_a_sentence(tmp_path: Path, form: str) -> None:
    path, other = tmp_path / "invitations.csv", tmp_path / "other"
    other.write_text("kept")
    if form == "there":
        path.write_text("kept")
    elif form == "no folder":
        path = tmp_path / "nowhere/invitations.csv"
    else:
        path.symlink_to(other if form == "a link" else tmp_path / "nothing")
    before = sorted(tmp_path.iterdir())

    with pytest.raises(ServerError, match=re.escape(str(path))), new_private(path):
        pass
    assert sorted(tmp_path.iterdir()) == before
    assert other.read_text() == "kept"


def test_what_was_issued_stays_whatever_comes_after_and_no_empty_file_does(tmp_path: Path) -> None:
    path = tmp_path / "invitations.csv"
    with pytest.raises(ServerError, match="later"), new_private(path):
        raise ServerError("later")
    assert not path.exists()

    rows = [dict.fromkeys(SHOWN, str(n)) for n in range(3)]
    with suppress(ServerError), new_private(path) as file:
        write_invitations(file, rows[:2])
        write_invitations(file, rows[2:])
        raise ServerError("later")
    assert path.stat().st_mode & 0o777 == 0o600
    with path.open(encoding="utf-8-sig", newline="") as written_file:
        assert list(csv.DictReader(written_file)) == rows


@given(st.text("=+-@＝＋－＠\t\r;,'\"ab1("))  # noqa: RUF001  wide signs
def test_no_cell_is_a_formula_by_whatever_separator_it_is_read(text: str) -> None:
    shown = csv_files.inert(text)

    assert not any(cell.startswith(tuple("=+-@＝＋－＠")) for cell in re.split(r"[;,\t\r]", shown))  # noqa: RUF001
    assert not shown.startswith(("\t", "\r"))
    assert shown.replace("'", "") == text.replace("'", "")


@given(st.text("ab1 .'(=+-").filter(lambda text: not text.startswith(("=", "+", "-"))))
def test_a_cell_that_is_no_formula_is_written_as_it_is(text: str) -> None:
    assert csv_files.inert(text) == text
