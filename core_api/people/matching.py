"""
What a school's files change: its rows held against who and what is there. Pure.

Somebody is found by sourcedId, else by address, in the organisation alone. What is the school's to say
follows the files: the name, the enrolment number, the cohort, who belongs to which class, and that somebody
has left. An address, a role and a lock are never changed: the row is a fault, or the lock stays. Accounts of
admins and services are none of the school's: whatever a row says of them, they stay as they are.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from uuid import UUID

import msgspec

from core_api.csv_files import LineFault
from core_api.people.roster import GROUP_MAX, Class, Enrolment, Person, Roster
from kernel.events import Role

_NOBODY: Final = UUID(int=0)
# Nothing of these accounts is changed by a file.
KEPT: Final = frozenset({Role.admin, Role.service})


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who is there."""

    id: UUID
    source_id: str | None
    folded: str
    full_name: str
    role: Role
    is_active: bool
    enrollment_id: str
    cohort: str


class KnownGroup(msgspec.Struct, frozen=True, kw_only=True):
    """A group that is there."""

    id: UUID
    name: str
    folded: str
    source_id: str | None


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody, or a group, with the name and the sourcedId that the files give; empty: as it is."""

    id: UUID
    name: str
    source_id: str


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What the files say of a student; empty: as it is."""

    user_id: UUID
    enrollment_id: str
    cohort: str


class People(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of the people: `ids` of everybody of the files by sourcedId and by folded address."""

    created: list[tuple[UUID, Person]]
    updated: list[Named]
    profiles: list[Profile]
    locked: list[UUID]
    active: list[UUID]
    still_locked: int
    unchanged: int
    ids: dict[str, UUID]
    faults: list[LineFault]
    taken: int = 0  # those left out because their address is somebody's elsewhere


Membership = tuple[UUID, UUID]  # group, user


class Groups(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of the groups: `joined` and `parted` are who shall and shall not belong."""

    created: list[Named]
    updated: list[Named]
    joined: list[Membership]
    parted: list[Membership]
    left_out: int
    faults: list[LineFault]


def enrollable(known: Sequence[Known]) -> dict[str, UUID]:
    """Return whom enrolments may mean, by `id ` and a sourcedId or `at ` and a folded address."""
    theirs = [each for each in known if each.role not in KEPT]
    return {f"at {each.folded}": each.id for each in theirs} | {
        f"id {each.source_id}": each.id for each in theirs if each.source_id
    }


def match_people(roster: Roster, known: Sequence[Known], new_id: Callable[[], UUID]) -> People:
    """Hold the people of the files against those who are there."""
    found = People(
        created=[],
        updated=[],
        profiles=[],
        locked=[],
        active=[],
        still_locked=0,
        unchanged=0,
        ids={},
        faults=[],
    )
    by_source = {each.source_id: each for each in known if each.source_id}
    by_address = {each.folded: each for each in known}
    for each in known:
        if each.role in KEPT:
            roster.left_out.update(name for name in (each.source_id, each.folded) if name)
    lines: dict[str, int] = {}
    still_locked = unchanged = 0
    for person in roster.people:
        keys = [each for each in (f"id {person.source_id}", f"at {person.folded}") if each != "id "]
        of_source, of_address = by_source.get(person.source_id), by_address.get(person.folded)
        fault = _twice(person, keys, lines) or _fault_of(person, of_source, of_address)
        if fault is not None:
            found.faults.append(fault)
            roster.leave_out(person.row)
            continue
        there = of_source or of_address
        user_id = new_id() if there is None else there.id
        if not person.is_active if there is None else there.role in KEPT:
            roster.pass_over(person.row)
            continue
        found.ids.update(dict.fromkeys(keys, user_id))
        if there is None:
            found.created.append((user_id, person))
            changed = True
        else:
            still_locked += person.is_active and not there.is_active
            changed = _changes_of(person, there, found)
        unchanged += not changed
        if person.is_active and (there is None or there.is_active):
            found.active.append(user_id)
    return msgspec.structs.replace(found, still_locked=still_locked, unchanged=unchanged)


def _twice(person: Person, keys: Sequence[str], lines: dict[str, int]) -> LineFault | None:
    """Return the fault of whoever stands in the file already; note where they do."""
    for key in keys:
        if key in lines:
            field, what = ("sourcedId", "sourcedId") if key.startswith("id ") else ("email", "address")
            return person.row.fault(field, f"the same {what} as in line {lines[key]}")
    lines.update(dict.fromkeys(keys, person.row.line))
    return None


def _fault_of(person: Person, of_source: Known | None, of_address: Known | None) -> LineFault | None:
    """Return why a row cannot be about whom it seems to be about, or None."""
    there, row = of_source or of_address, person.row
    if of_source is not None and of_address is not of_source:
        return row.fault("email", "the sourcedId has another address here; an import changes no address")
    if there is None:
        return None
    if person.source_id and there.source_id not in {None, person.source_id}:
        return row.fault("sourcedId", "the address has another sourcedId here")
    if person.role not in {None, there.role}:
        return row.fault("role", f"a {there.role} here; an import changes no role")
    if there.role in KEPT and not person.is_active:
        return row.fault("status", f"an import locks no {there.role}")
    return None


def _changes_of(person: Person, there: Known, found: People) -> bool:
    """Note what a row changes of somebody; tell whether it is anything."""
    before = len(found.updated) + len(found.profiles) + len(found.locked)
    adopted = "" if there.source_id else person.source_id
    if adopted or person.full_name != there.full_name:
        found.updated.append(Named(id=there.id, name=person.full_name, source_id=adopted))
    if there.role is Role.student and (
        person.enrollment_id not in {"", there.enrollment_id} or person.cohort not in {"", there.cohort}
    ):
        found.profiles.append(
            Profile(user_id=there.id, enrollment_id=person.enrollment_id, cohort=person.cohort)
        )
    if there.is_active and not person.is_active:
        found.locked.append(there.id)
    return len(found.updated) + len(found.profiles) + len(found.locked) > before


def match_groups(
    roster: Roster,
    known: Sequence[KnownGroup],
    user_ids: Mapping[str, UUID],
    folded: Mapping[str, str],
    new_id: Callable[[], UUID],
) -> Groups:
    """
    Hold classes and enrolments against the groups that are there.

    Args:
        roster: of the files.
        known: groups that they may mean.
        user_ids: whom they may mean, by `id ` and a sourcedId or `at ` and a folded address.
        folded: of every name and address of the files, as the database looks it up.
        new_id: of a group.
    """
    found = Groups(created=[], updated=[], joined=[], parted=[], left_out=0, faults=[])
    by_source = {each.source_id: each.id for each in known if each.source_id}
    by_name = {each.folded: each.id for each in known}
    _classes(roster, {each.id: each for each in known}, by_source, by_name, folded, found, new_id)
    memberships: dict[Membership, bool] = {}
    left_out = 0
    for each in roster.enrolments:
        user_id = user_ids.get(f"id {each.user_id}") or user_ids.get(f"at {folded[each.user_id]}")
        is_left_out = each.user_id in roster.left_out or each.user_id.lower() in roster.left_out
        if user_id is None and each.is_active and not is_left_out:
            message = "nobody has this sourcedId, neither in users.csv nor here"
            found.faults.append(each.row.fault("userSourcedId", message))
            continue
        group_id = _group_of(each, roster, by_source, by_name, folded)
        if user_id is None or each.class_id in roster.classes_left_out:
            left_out += 1
        elif group_id is not None:
            memberships[group_id, user_id] = each.is_active
        elif not each.is_active:
            left_out += 1
        elif roster.names_classes and not each.by_name:
            message = "no class has this sourcedId, neither in classes.csv nor here"
            found.faults.append(each.row.fault("classSourcedId", message))
        elif len(each.class_id) > GROUP_MAX:
            message = f"no class of this sourcedId, and as a name it is over {GROUP_MAX} characters"
            found.faults.append(each.row.fault("classSourcedId", message))
        else:
            group_id = by_name[folded[each.class_id]] = new_id()
            found.created.append(Named(id=group_id, name=each.class_id, source_id=""))
            memberships[group_id, user_id] = True
    found.joined.extend(pair for pair, is_member in memberships.items() if is_member)
    found.parted.extend(pair for pair, is_member in memberships.items() if not is_member)
    return msgspec.structs.replace(found, left_out=left_out)


def _group_of(
    enrolment: Enrolment,
    roster: Roster,
    by_source: Mapping[str, UUID],
    by_name: Mapping[str, UUID],
    folded: Mapping[str, str],
) -> UUID | None:
    """Return the group that an enrolment means; a sourcedId that no class has is a group's name."""
    of_name = by_name.get(folded[enrolment.class_id])
    if enrolment.by_name:
        return of_name
    of_source = by_source.get(enrolment.class_id)
    return of_source if of_source is not None or roster.names_classes else of_name


def _classes(
    roster: Roster,
    known: Mapping[UUID, KnownGroup],
    by_source: dict[str, UUID],
    by_name: dict[str, UUID],
    folded: Mapping[str, str],
    found: Groups,
    new_id: Callable[[], UUID],
) -> None:
    """
    Find or make the group of each class. A name that another group has, be it until this import renames that,
    is not given again: the class's code or sourcedId stands behind its title then.
    """
    times = Counter(folded[each.title] for each in roster.classes)
    lines: dict[str, int] = {}
    adopted: set[UUID] = set()
    for each in roster.classes:
        if each.source_id in lines:
            message = f"the same sourcedId as in line {lines[each.source_id]}"
            found.faults.append(each.row.fault("sourcedId", message))
            continue
        lines[each.source_id] = each.row.line
        there = known.get(by_source.get(each.source_id, _NOBODY))
        names = names_of(each)[1 if times[folded[each.title]] > 1 else 0 :]
        free = ((name, by_name.get(folded[name])) for name in names)
        name, holder = next(
            (pair for pair in free if pair[1] not in adopted and _is_free(pair[1], there, known)),
            (None, None),
        )
        if there is None and holder is not None:
            there = known[holder]
            adopted.add(holder)
        if name is None:
            name = None if there is None else there.name
        if name is None:
            found.faults.append(each.row.fault("title", "other groups have this title, with its code, too"))
            continue
        if there is None:
            group_id = new_id()
            found.created.append(Named(id=group_id, name=name, source_id=each.source_id))
        else:
            group_id, source_id = there.id, "" if there.source_id else each.source_id
            if source_id or there.name != name:
                found.updated.append(Named(id=group_id, name=name, source_id=source_id))
        by_source[each.source_id] = by_name[folded[name]] = group_id


def _is_free(holder_id: UUID | None, there: KnownGroup | None, known: Mapping[UUID, KnownGroup]) -> bool:
    """Tell whether a class may have a name: nobody has it, its own group, or one that no class has yet."""
    if holder_id is None or (there is not None and holder_id == there.id):
        return True
    holder = known.get(holder_id)
    return there is None and holder is not None and holder.source_id is None


def names_of(each: Class) -> list[str]:
    """Return the names that a class may get: its title, else with its code, else with its sourcedId."""
    behind = [f" ({word})"[:GROUP_MAX] for word in dict.fromkeys((each.code, each.source_id)) if word]
    return [each.title, *(each.title[: GROUP_MAX - len(word)] + word for word in behind)]
