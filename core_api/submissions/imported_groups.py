"""
Groups of imported candidates: made by their name, found again, and two of them compared by the exam.

Who is in one stays in it: an import adds members and takes nobody out. Which groups an exam compares is said
as an import makes it, and by whoever edits it afterwards.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from core_api.actors import Actor
from core_api.database import Connection
from core_api.people import groups
from core_api.people.groups import AddMembers, NewGroup
from core_api.submissions.imported import GivenResult
from core_api.submissions.imported_forms import ImportedForm
from sql import named

QUERIES: Final = named("imported")


async def known(
    conn: Connection, actor: Actor, form: ImportedForm, results: Sequence[GivenResult], *, now: datetime
) -> dict[str, UUID]:
    """Return the groups that a request names, by name; those that are not there are made."""
    names = {each.group for each in results} | {form.reference_group, form.focal_group}
    wanted = sorted(name for name in names if name is not None)
    rows = await QUERIES.run(conn.fetch, "find_groups", organisation=actor.organisation_id, names=wanted)
    found: dict[str, UUID] = {row["label"]: row["id"] for row in rows}
    for name in wanted:
        if name not in found:
            alike = [each for each in found if each.lower() == name.lower()]
            made = (
                found[alike[0]]
                if alike
                else (await groups.create(conn, actor, NewGroup(name=name), now=now)).id
            )
            found[name] = made
    return found


async def join(
    conn: Connection,
    actor: Actor,
    by_name: Mapping[str, UUID],
    results: Sequence[GivenResult],
    people: Mapping[str, UUID],
    *,
    now: datetime,
) -> None:
    """Make candidates members of the groups that their results name."""
    members: dict[UUID, set[UUID]] = {}
    for each in results:
        if each.group is not None:
            members.setdefault(by_name[each.group], set()).add(people[each.candidate])
    for group_id, user_ids in sorted(members.items()):
        await groups.add_members(conn, actor, group_id, AddMembers(user_ids=sorted(user_ids)), now=now)
