"""
A school's files of people, as OneRoster has them or by hand: what each row says, and what is wrong with it.
Pure.

Files and columns are those of OneRoster 1.1 and 1.2 (CSV): users, roles, classes, enrollments. Of these
columns the ones below are read, beside two of ours: `name` for a whole name, `groups` for the groups that
somebody belongs to. Passwords are never read.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from core_api.csv_files import (
    NO,
    YES,
    Columns,
    CsvText,
    Limits,
    LineFault,
    Row,
    Sheet,
    judged,
    listed,
    read,
)
from core_api.identity.accounts import EMAIL_MAX, NAME_MAX
from kernel import spelling
from kernel.events import Role

SOURCE_MAX: Final = 200
GROUP_MAX: Final = 100
ENROLLMENT_MAX: Final = 64
COHORT_MAX: Final = 100
GROUPS_MAX: Final = 50  # of one person's row

USERS: Final = (
    "sourcedId", "status", "enabledUser", "role", "name", "givenName", "familyName", "email", "identifier",
    "grades", "groups",
)  # fmt: skip
ROLES: Final = ("userSourcedId", "role", "roleType", "status")
CLASSES: Final = ("sourcedId", "status", "title", "classCode")
ENROLLMENTS: Final = ("classSourcedId", "userSourcedId", "role", "status")
FIELDS: Final = tuple(dict.fromkeys((*USERS, *ROLES, *CLASSES, *ENROLLMENTS)))
# What an import may make, by the words of OneRoster and by ours.
MADE: Final = {
    "student": Role.student,
    "teacher": Role.teacher,
    "proctor": Role.observer,
    "observer": Role.observer,
    "reviewer": Role.reviewer,
}
# OneRoster's other roles: they have no account here, or none that a file may make.
PASSED_OVER: Final = frozenset(
    {
        "administrator", "aide", "counselor", "districtadministrator", "guardian", "parent", "principal",
        "relative", "siteadministrator", "systemadministrator",
    }
)  # fmt: skip
ACTIVE: Final = frozenset({"", "active"})
GONE: Final = frozenset({"tobedeleted", "inactive"})


class Files(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    The texts of a school's files; at least one of them.

    `users`, `roles`, `classes` and `enrollments` are OneRoster's files of those names; `columns` says which
    column is which field where a file has other names.
    """

    users: CsvText | None = None
    roles: CsvText | None = None
    classes: CsvText | None = None
    enrollments: CsvText | None = None
    columns: Columns = {}


class Person(msgspec.Struct, kw_only=True):
    """A row of users; empty is what it does not say. `role` is None where no file says it."""

    row: Row
    source_id: str
    email: str
    full_name: str
    role: Role | None
    enrollment_id: str
    cohort: str
    is_active: bool
    folded: str = ""  # the address as the database looks it up


class Class(msgspec.Struct, frozen=True, kw_only=True):
    """A row of classes."""

    row: Row
    source_id: str
    title: str
    code: str


class Enrolment(msgspec.Struct, frozen=True, kw_only=True):
    """That somebody belongs to a class, or does so no more; both by sourcedId, or by address and name."""

    row: Row
    class_id: str
    user_id: str
    is_active: bool
    by_name: bool = False  # `class_id` is a group's name, `user_id` an address


class Roster(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the files say. `left_out` are the sourcedIds and addresses of rows that are faulty or have no account
    here, `classes_left_out` those of such classes: what refers to them is no fault of its own. `passed_over`
    are rows of people without a fault that make no account; `names_classes` tells whether there was a file of
    classes.
    """

    people: list[Person]
    classes: list[Class]
    enrolments: list[Enrolment]
    left_out: set[str]
    passed_over: list[Row]
    classes_left_out: set[str]
    names_classes: bool
    faults: list[LineFault]

    def leave_out(self, row: Row) -> None:
        """Note that nobody comes of a row of users."""
        self.left_out.update(each for each in (row["sourcedId"], row["email"].lower()) if each)

    def pass_over(self, row: Row) -> None:
        """Note that nobody comes of a row of users, and that this is no fault."""
        self.passed_over.append(row)
        self.leave_out(row)


def parse(files: Files, limits: Limits) -> Roster:
    """
    Return what the files say, row by row, with every fault of a row.

    Raises:
        InvalidInputError: a file cannot be read as what it is said to be.
    """
    found = Roster(
        people=[],
        classes=[],
        enrolments=[],
        left_out=set(),
        passed_over=[],
        classes_left_out=set(),
        names_classes=files.classes is not None,
        faults=[],
    )

    def sheet(file: str, fields: Sequence[str], required: Sequence[str]) -> Sheet | None:
        text = getattr(files, file)
        if text is None:
            return None
        name = f"{file}.csv"
        kept = read(text, name, fields, required=required, columns=files.columns, limits=limits)
        found.faults.extend(kept.faults)
        return kept

    roles = _roles(sheet("roles", ROLES, ("userSourcedId", "role")))
    users = sheet("users", USERS, ("email", "name|givenName|familyName"))
    if users is not None:
        _people(users, roles, found)
    for row in _rows(sheet("classes", CLASSES, ("sourcedId", "title"))):
        _class(row, found)
    for row in _rows(sheet("enrollments", ENROLLMENTS, ("classSourcedId", "userSourcedId"))):
        _enrolment(row, found)
    return found


def _rows(sheet: Sheet | None) -> list[Row]:
    return [] if sheet is None else sheet.rows


def _roles(sheet: Sheet | None) -> dict[str, str] | None:
    """Return each person's role of OneRoster 1.2, the primary one where there are several."""
    if sheet is None:
        return None
    found: dict[str, str] = {}
    for row in sorted(sheet.rows, key=lambda row: row["roleType"].lower() != "primary"):
        if row["status"].lower() in ACTIVE:
            found.setdefault(row["userSourcedId"], row["role"])
    return found


def _people(sheet: Sheet, roles: dict[str, str] | None, found: Roster) -> None:
    for row in sheet.rows:
        faults: list[LineFault] = []
        word = row["role"] if roles is None else roles.get(row["sourcedId"], row["role"])
        if word.replace(" ", "").casefold() in PASSED_OVER:
            found.pass_over(row)
            continue
        role = _role(word, row, faults)
        names = row["name"] or f"{row['givenName']} {row['familyName']}".strip()
        status, enabled = _is_active(row, faults), row["enabledUser"].lower()
        if enabled not in YES | NO | {""}:
            faults.append(row.fault("enabledUser", "Expected true or false"))
        person = Person(
            row=row,
            source_id=_spelt(row, "sourcedId", SOURCE_MAX, faults),
            email=_spelt(row, "email", EMAIL_MAX, faults, spelling.address),
            full_name=_spelt(row, "name", NAME_MAX, faults, text=names),
            role=role,
            enrollment_id=_spelt(row, "identifier", ENROLLMENT_MAX, faults),
            cohort=_spelt(row, "grades", COHORT_MAX, faults),
            is_active=status and enabled not in NO,
        )
        groups = [_spelt(row, "groups", GROUP_MAX, faults, text=each) for each in listed(row["groups"])]
        if not row["email"]:
            faults = [row.fault("email", "is empty")]
        elif not names:
            faults.append(row.fault("name", "givenName and familyName are empty"))
        elif len(groups) > GROUPS_MAX:
            faults.append(row.fault("groups", f"more than {GROUPS_MAX} groups"))
        found.faults.extend(faults)
        if faults:
            found.leave_out(row)
        else:
            found.people.append(person)
            found.enrolments.extend(
                Enrolment(row=row, class_id=each, user_id=person.email, is_active=True, by_name=True)
                for each in groups
                if person.is_active
            )


def _role(word: str, row: Row, faults: list[LineFault]) -> Role | None:
    if not word:
        return None
    role = MADE.get(word.casefold())
    if role is None:
        known = ", ".join(sorted(MADE))
        faults.append(row.fault("role", f"Expected one of {known}; nobody is made an admin by a file"))
    return role


def _is_active(row: Row, faults: list[LineFault]) -> bool:
    status = row["status"].lower()
    if status not in ACTIVE | GONE:
        faults.append(row.fault("status", "Expected active, inactive or tobedeleted"))
    return status in ACTIVE


def _spelt(
    row: Row,
    field: str,
    length_max: int,
    faults: list[LineFault],
    how: Callable[[str], str] = spelling.name,
    *,
    text: str | None = None,
) -> str:
    """Return a text as it is stored; empty where there is none, or where a fault more says why not."""
    given = row[field] if text is None else text
    stored = (judged(lambda: how(given), row, field, faults) or "") if given else ""
    if len(stored) > length_max:
        faults.append(row.fault(field, f"at most {length_max} characters"))
    return stored


def _class(row: Row, found: Roster) -> None:
    faults: list[LineFault] = []
    made = Class(
        row=row,
        source_id=_spelt(row, "sourcedId", SOURCE_MAX, faults),
        title=_spelt(row, "title", GROUP_MAX, faults),
        code=_spelt(row, "classCode", GROUP_MAX, faults),
    )
    faults += [row.fault(field, "is empty") for field in ("sourcedId", "title") if not row[field]]
    is_active = _is_active(row, faults)
    found.faults.extend(faults)
    if faults or not is_active:
        found.classes_left_out.add(row["sourcedId"])
    else:
        found.classes.append(made)


def _enrolment(row: Row, found: Roster) -> None:
    faults: list[LineFault] = []
    made = Enrolment(
        row=row,
        class_id=_spelt(row, "classSourcedId", SOURCE_MAX, faults),
        user_id=_spelt(row, "userSourcedId", EMAIL_MAX, faults),
        is_active=_is_active(row, faults),
    )
    faults += [
        row.fault(field, "is empty") for field in ("classSourcedId", "userSourcedId") if not row[field]
    ]
    found.faults.extend(faults)
    if not faults and row["role"].casefold() in {"", "student"}:
        found.enrolments.append(made)
