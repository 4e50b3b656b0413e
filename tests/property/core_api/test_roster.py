"""A school's files against who is there: whatever they say, said again they change nothing (spec.md A-8)."""

from collections.abc import Sequence
from itertools import count
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from core_api.csv_files import Limits
from core_api.people.matching import Groups, Known, KnownGroup, People, enrollable, match_groups, match_people
from core_api.people.roster import Files, parse
from kernel.events import Role

LIMITS = Limits(lines=100, characters=200)
IDS = st.sampled_from(["", "s1", "s2", "s3", "S1"])
ADDRESSES = st.sampled_from(["a@x.example", "A@X.example", "b@x.example", "c@x.example", "nowhere"])
STATUSES = st.sampled_from(["", "active", "tobedeleted", "odd"])
PEOPLE = st.lists(
    st.tuples(
        IDS, st.sampled_from(["", "student", "teacher", "parent", "admin"]), st.sampled_from(["", "N", "M"]),
        ADDRESSES, STATUSES, st.sampled_from(["", "9a", "9A; 9b", "one,two"]),
        st.sampled_from(["", "1", "2"]),
    ),
    max_size=6,
)  # fmt: skip
CLASSES = st.none() | st.lists(
    st.tuples(st.sampled_from(["", "c1", "c2", "c3"]), st.sampled_from(["", "9a", "9A", "Latin"]), STATUSES),
    max_size=4,
)
ENROLMENTS = st.lists(
    st.tuples(st.sampled_from(["", "c1", "c2", "9a", "9c"]), IDS | ADDRESSES, STATUSES), max_size=6
)
Rows = Sequence[tuple[str, ...]] | None


def files_of(people: Rows, classes: Rows, enrolments: Rows) -> Files:
    def text(header: str, rows: Rows) -> str | None:
        if rows is None:
            return None
        return header + "\n" + "".join(",".join(f'"{each}"' for each in row) + "\n" for row in rows)

    return Files(
        users=text("sourcedId,role,name,email,status,groups,identifier", people),
        classes=text("sourcedId,title,status", classes),
        enrollments=text("classSourcedId,userSourcedId,status", enrolments),
    )


class _Folded(dict[str, str]):
    """Every text as the database looks it up."""

    def __missing__(self, text: str) -> str:
        return text.lower()


class School:
    """Who is there, as the files so far have left it."""

    def __init__(self) -> None:
        self.people: dict[UUID, Known] = {}
        self.groups: dict[UUID, KnownGroup] = {}
        self.members: set[tuple[UUID, UUID]] = set()
        self.invited: set[UUID] = set()
        self._ids = map(UUID, (f"{number:032x}" for number in count(1)))

    def take(self, files: Files) -> tuple[int, list[str]]:
        """Do as the files say; return how many changes that was, and the faults."""
        roster = parse(files, LIMITS)
        for person in roster.people:
            person.folded = person.email.lower()
        people = match_people(roster, [*self.people.values()], lambda: next(self._ids))
        there = enrollable([*self.people.values()])
        groups = match_groups(
            roster, [*self.groups.values()], there | people.ids, _Folded(), lambda: next(self._ids)
        )
        self.invited |= {*people.active}
        before = (dict(self.people), dict(self.groups), set(self.members))
        self._keep_people(people)
        self._keep_groups(groups)
        after = (self.people, self.groups, self.members)
        told = len(people.created) + len(people.updated) + len(people.profiles) + len(people.locked)
        told += len(groups.created) + len(groups.updated)
        faults = [*roster.faults, *people.faults, *groups.faults]
        assert (before == after) or told or before[2] != after[2]
        return told + len(before[2] ^ after[2]), [f"{each.path}: {each.message}" for each in faults]

    def _keep_people(self, people: People) -> None:
        for user_id, person in people.created:
            assert user_id not in self.people
            self.people[user_id] = Known(
                id=user_id,
                source_id=person.source_id or None,
                folded=person.folded,
                full_name=person.full_name,
                role=person.role or Role.student,
                is_active=True,
                enrollment_id=person.enrollment_id if (person.role or Role.student) is Role.student else "",
                cohort="",
            )
        for named in people.updated:
            known = self.people[named.id]
            source_id = named.source_id or known.source_id
            self.people[named.id] = replace(known, full_name=named.name, source_id=source_id)
        for profile in people.profiles:
            known = self.people[profile.user_id]
            self.people[known.id] = replace(known, enrollment_id=profile.enrollment_id or known.enrollment_id)
        for user_id in people.locked:
            self.people[user_id] = replace(self.people[user_id], is_active=False)
        assert len({each.folded for each in self.people.values()}) == len(self.people)
        sources = [each.source_id for each in self.people.values() if each.source_id]
        assert len(sources) == len(set(sources))

    def _keep_groups(self, groups: Groups) -> None:
        for named in (*groups.created, *groups.updated):
            known = self.groups.get(named.id)
            source_id = named.source_id or (known.source_id if known else None)
            self.groups[named.id] = KnownGroup(
                id=named.id, name=named.name, folded=named.name.lower(), source_id=source_id
            )
        self.members = (self.members | set(groups.joined)) - set(groups.parted)
        assert {user_id for _, user_id in groups.joined} <= self.people.keys()
        assert {group_id for group_id, _ in groups.joined} <= self.groups.keys()
        assert len({each.folded for each in self.groups.values()}) == len(self.groups)


@given(st.lists(st.tuples(PEOPLE, CLASSES, ENROLMENTS), min_size=1, max_size=3))
def test_the_same_files_again_change_nothing_and_find_the_same_faults(
    imports: list[tuple[Rows, Rows, Rows]],
) -> None:
    school = School()
    for rows in imports:
        files = files_of(*rows)
        school.take(files)
        _, faults = school.take(files)

        assert school.take(files) == (0, faults)


@given(PEOPLE, CLASSES, ENROLMENTS)
def test_nobody_gets_another_role_or_address_nor_is_let_in_again(
    people: Rows, classes: Rows, enrolments: Rows
) -> None:
    school = School()
    school.take(files_of([("s1", "teacher", "N", "a@x.example", "", "", "")], None, None))
    school.take(files_of([("s2", "student", "N", "b@x.example", "", "", "")], None, None))
    school.take(files_of([("s2", "student", "N", "b@x.example", "tobedeleted", "", "")], None, None))
    before = dict(school.people)
    school.take(files_of(people, classes, enrolments))

    for user_id, known in before.items():
        now = school.people[user_id]
        assert (now.role, now.folded) == (known.role, known.folded)
        assert known.source_id == now.source_id
        assert known.is_active or not now.is_active
    assert {each.role for each in school.people.values()} <= {Role.student, Role.teacher}


@given(
    PEOPLE, CLASSES, ENROLMENTS, st.sampled_from([Role.admin, Role.service]), st.sampled_from([None, "s1"])
)
def test_an_admin_and_a_service_are_left_alone_whatever_a_file_says(
    people: Rows, classes: Rows, enrolments: Rows, role: Role, source_id: str | None
) -> None:
    school = School()
    kept = Known(
        id=UUID(int=1 << 100),
        source_id=source_id,
        folded="a@x.example",
        full_name="Kept",
        role=role,
        is_active=True,
        enrollment_id="",
        cohort="",
    )
    school.people[kept.id] = kept
    school.take(files_of(people, classes, enrolments))

    assert school.people[kept.id] == kept
    assert kept.id not in school.invited | {user_id for _, user_id in school.members}
