"""People in bulk: a school's files in, accounts, groups and invitations out (spec.md A-8)."""

import asyncio
import csv
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import asyncpg
import pytest

from core_api.actors import Actor
from core_api.ledger.viewings import Views
from core_api.people.importing import ImportPeople, import_people
from deploy.commands.invitations import SHOWN
from kernel.access import Scope
from kernel.events import Role
from kernel.settings import load
from tests.kits.core import PASSWORD, Answer, Api, Core, login

USERS = """sourcedId,status,enabledUser,role,givenName,familyName,email,identifier,grades
u1,active,true,student,Amina,الزهراء,amina@{domain},A-17,09
u2,active,true,student,Ben,Óbrien,ben@{domain},A-18,09
u3,active,true,teacher,Cleo,Adler,cleo@{domain},,
u4,active,true,parent,Dora,Brandt,dora@{domain},,
"""
CLASSES = """sourcedId,status,title,classCode
c1,active,9b,09B
c2,active,Physics,PH
"""
ENROLLMENTS = """sourcedId,status,classSourcedId,userSourcedId,role
e1,active,c1,u1,student
e2,active,c1,u2,student
e3,active,c2,u2,student
e4,active,c2,u3,teacher
e5,active,c1,u4,student
"""


def domain(api: Api) -> str:
    return api.people["admin"].email.partition("@")[2]


def files(api: Api, **others: Any) -> dict[str, Any]:
    body = {"users": USERS.format(domain=domain(api)), "classes": CLASSES, "enrollments": ENROLLMENTS}
    return body | others


async def send(api: Api, body: dict[str, Any], by: str = "admin") -> Answer:
    return await api.post("/api/admin/users/import", by, json=body)


async def written(api: Api) -> list[Any]:
    """Return how many rows there are that an import may write."""
    tables = ("users", "groups", "group_members", "student_profiles", "ledger_events", "invitations")
    counted = [
        f"(SELECT count(*) FROM {each} WHERE coalesce({'kind' if each == 'ledger_events' else 'NULL'}, '')"
        " NOT LIKE '%.viewed')"
        for each in tables
    ]
    return list(await api.owner.fetchrow(f"SELECT {', '.join(counted)}"))


async def test_files_make_people_groups_and_invitations_and_again_change_nothing_a8(core: Core) -> None:
    async with core.school() as api:
        first = await send(api, files(api, invite=True))
        after = await written(api)
        again = await send(api, files(api, invite=True))

        assert first.status == 200, first.body
        assert first.body["people"] == {
            "created": 3, "updated": 0, "unchanged": 0, "locked": 0, "still_locked": 0, "left_out": 1,
        }  # fmt: skip
        assert first.body["groups"] == {"created": 2, "updated": 0}
        assert first.body["memberships"] == {"added": 3, "removed": 0, "unchanged": 0, "left_out": 1}
        assert sorted(each["email"].partition("@")[0] for each in first.body["invitations"]) == [
            "amina", "ben", "cleo",
        ]  # fmt: skip
        assert again.body["people"]["unchanged"] == 3
        assert (again.body["memberships"]["unchanged"], again.body["invitations"]) == (3, [])
        assert await written(api) == after
        listed = (await api.get("/api/admin/users?q=amina", "admin")).body["users"]
        assert [(each["full_name"], each["role"]) for each in listed] == [("Amina الزهراء", "student")]


async def test_an_invitation_sets_a_first_password_once_a8(core: Core) -> None:
    async with core.school() as api:
        made = (await send(api, files(api, invite=True))).body["invitations"]
        token, email = next((each["token"], each["email"]) for each in made if "ben" in each["email"])
        assert await login(api, email) == 401
        accepted = await api.post("/api/auth/invitation", json={"token": token, "password": PASSWORD})
        again = await api.post("/api/auth/invitation", json={"token": token, "password": "another " * 3})

        assert (accepted.status, accepted.body["user"]["email"]) == (200, email)
        headers = {"Authorization": f"Bearer {accepted.body['access_token']}"}
        assert (await api.get("/api/me", headers=headers)).status == 200
        assert again.status == 401
        assert await login(api, email) == 200


async def test_a_fault_is_named_by_file_line_and_column_and_nothing_is_written_a8(core: Core) -> None:
    async with core.school() as api:
        mail = domain(api)
        wrong = (
            "sourcedId;role;name;email;status\r\n"
            f"w1;student;Good;good@{mail};\r\n"
            f"w2;student;;empty@{mail};\r\n"
            "w3;student;No address;nowhere;\r\n"
            f"w4;admin;An admin;admin2@{mail};\r\n"
            f"w5;student;Again;GOOD@{mail};\r\n"
            f"w1;student;Again;again@{mail};\r\n"
            "\r\n"
            f"w6;student;Too;many;fields@{mail};active\r\n"
            f"w7;student;Odd;odd@{mail};gone\r\n"
            f"w8;student;Elsewhere;{api.people['stranger'].email};\r\n"
            f"w9;student;A teacher;{api.people['teacher'].email};\r\n"
        )
        before = await written(api)
        refused = await send(
            api, {"users": wrong, "enrollments": "classSourcedId,userSourcedId\n9b,w3\n9b,x\n"}
        )
        dry = await send(api, {"users": wrong, "dry_run": True})

        assert (refused.status, refused.body["code"]) == (422, "invalid_input")
        found = {each["path"]: each["message"] for each in refused.body["errors"]}
        assert list(found) == [
            "enrollments.csv line 3, userSourcedId",
            "users.csv line 3, name",
            "users.csv line 4, email",
            "users.csv line 5, role",
            "users.csv line 6, email",
            "users.csv line 7, sourcedId",
            "users.csv line 9",
            "users.csv line 10, status",
            "users.csv line 11, email",
            "users.csv line 12, role",
        ], "by file and line, whoever has found them"
        assert found["users.csv line 6, email"] == "the same address as in line 2"
        assert found["users.csv line 11, email"] == "the address is taken"
        assert (dry.status, dry.body["faulty"], dry.body["people"]["created"]) == (200, 9, 1)
        assert await written(api) == before
        partial = await send(api, {"users": wrong, "partial": True})
        assert (partial.body["faulty"], partial.body["people"]["created"]) == (9, 1)
        assert (await written(api))[0] == before[0] + 1


async def test_what_is_sent_to_the_database_grows_by_parts_and_not_by_people_a8(core: Core) -> None:
    """Eight times the people, each with two groups and an invitation, and few statements more."""
    statements: list[str] = []

    async def listen(conn: "asyncpg.Connection[Any]") -> None:
        conn.add_query_logger(lambda ran: statements.append(ran.query))

    async with core.school() as api:
        admin = api.people["admin"]
        actor = Actor(
            user_id=admin.id,
            organisation_id=admin.organisation_id,
            email=admin.email,
            role=Role.admin,
            scope=Scope.organisation,
        )
        url = core.database_as("veritas_core")
        taken = []
        for count in (60, 480):
            people = "".join(f"{n}@of{count}.example,Name {n},{n % 8} of 8;all\n" for n in range(count))
            command = ImportPeople(users="email,name,groups\n" + people, invite=True)
            async with asyncpg.create_pool(url, min_size=1, max_size=1, init=listen) as pool:
                statements.clear()
                done = await import_people(
                    pool,
                    actor,
                    command,
                    revocations=cast("Any", None),
                    settings=load({}),
                    views=Views(pool, waiting_max=1),
                    now=datetime.now(UTC),
                )
            assert (done.people.created, done.memberships.added) == (count, 2 * count)
            assert len(done.invitations) == count
            taken.append(len([each for each in statements if not re.match("BEGIN|COMMIT", each)]))

        few, many = taken
        assert many - few <= 20
        assert many < 60


HARMLESS = {
    "Excel's mark and separator": "\ufeffsep=;\r\nemail;name;Notes\r\n{0};A name;x\r\n;;\r\n\r\n",
    "tabs": "name\temail\nA name\t{0}\n",
    "columns that end in nothing": "email,name,,\n{0},A name,,\n",
    "names as they are written elsewhere": "E-Mail;NAME\n{0};A name",
    "a line break in a field": 'email,name,notes\n{0},A name,"line\nbreak"\n',
    "a separator in quotes": 'email,name,identifier\n"{0}",A name,"1,2"\n',
}


@pytest.mark.parametrize("form", HARMLESS)
async def test_a_file_is_read_however_a_school_wrote_it_a8(core: Core, form: str) -> None:
    async with core.school() as api:
        email = f"form@{domain(api)}"
        done = await send(api, {"users": HARMLESS[form].replace("{0}", email)})
        again = await send(api, {"users": HARMLESS[form].replace("{0}", email)})

        assert done.status == 200, done.body
        assert (done.body["people"]["created"], again.body["people"]["unchanged"]) == (1, 1)
        (found,) = (await api.get(f"/api/admin/users?q={email}", "admin")).body["users"]
        assert found["full_name"] == "A name"


UNREADABLE = {
    "no such column": ("mail,name\na@b.example,A\n", "line 1"),
    "two of one": ("email,Email,name\na@b.example,a@b.example,A\n", "line 1"),
    "nothing": ("", "line 1"),
    "a quote that is not closed": ('email,name\na@b.example,"A\n', "line 2"),
    "letters that were lost": ("email,name\na@b.example,M\ufffdller\n", "line 2"),
    "a very long field": ("email,name\na@b.example," + "x" * 3000 + "\n", "line 2"),
}


@pytest.mark.parametrize("form", UNREADABLE)
async def test_what_cannot_be_read_is_named_by_its_line_a8(core: Core, form: str) -> None:
    text, line = UNREADABLE[form]
    async with core.school() as api:
        before = await written(api)
        refused = await send(api, {"users": text})

        assert refused.status == 422, refused.body
        assert [each["path"].partition(",")[0] for each in refused.body["errors"]] == [f"users.csv {line}"]
        assert await written(api) == before


async def test_a_school_may_say_what_is_the_schools_and_nothing_else_a8(core: Core) -> None:
    """Names, numbers, classes and leaving follow the file; addresses, roles and locks do not."""
    async with core.school() as api:
        mail = domain(api)
        await send(api, files(api))
        (amina,) = (await api.get("/api/admin/users?q=amina", "admin")).body["users"]
        (ben,) = (await api.get("/api/admin/users?q=ben@", "admin")).body["users"]
        await api.post(f"/api/admin/users/{amina['id']}/lock", "admin")
        changed = (
            "sourcedId,status,role,name,email,identifier\n"
            f"u1,active,student,Amina Zahra,amina@{mail},A-99\n"
            f"u2,tobedeleted,student,Ben,ben@{mail},\n"
        )
        left = "classSourcedId,userSourcedId,status\nc1,u2,tobedeleted\n"
        done = await send(api, {"users": changed, "enrollments": left})
        moved = await send(api, {"users": f"sourcedId,name,email\nu1,Amina,other@{mail}\n"})
        raised = await send(api, {"users": f"role,name,email\nteacher,Amina,amina@{mail}\n"})

        assert done.body["people"] == {
            "created": 0, "updated": 1, "unchanged": 0, "locked": 1, "still_locked": 1, "left_out": 0,
        }  # fmt: skip
        assert done.body["memberships"]["removed"] == 1
        people = {
            each["id"]: each for each in (await api.get("/api/admin/users?limit=200", "admin")).body["users"]
        }
        assert (people[amina["id"]]["full_name"], people[amina["id"]]["is_active"]) == ("Amina Zahra", False)
        assert people[ben["id"]]["is_active"] is False
        profile = await api.get(f"/api/admin/users/{amina['id']}/student-profile", "admin")
        assert (profile.body["enrollment_id"], profile.body["cohort"]) == ("A-99", "09")
        assert [each["path"] for each in moved.body["errors"]] == ["users.csv line 2, email"]
        assert [each["path"] for each in raised.body["errors"]] == ["users.csv line 2, role"]


async def test_oneroster_1_2_has_its_roles_in_a_file_of_their_own_a8(core: Core) -> None:
    async with core.school() as api:
        mail = domain(api)
        users = f"sourcedId,name,email\nr1,One,r1@{mail}\nr2,Two,r2@{mail}\nr3,Three,r3@{mail}\n"
        roles = (
            "sourcedId,userSourcedId,roleType,role\n1,r1,secondary,aide\n2,r1,primary,teacher\n"
            "3,r2,primary,student\n4,r3,primary,principal\n"
        )
        done = await send(api, {"users": users, "roles": roles})

        assert (done.body["people"]["created"], done.body["people"]["left_out"]) == (2, 1)
        found = (await api.get(f"/api/admin/users?q=r1@{mail}", "admin")).body["users"]
        assert [each["role"] for each in found] == ["teacher"]


async def test_an_invitation_is_void_after_a_lock_a_renewal_and_for_who_has_a_password_a8(core: Core) -> None:
    async with core.school() as api:
        made = {
            each["email"].partition("@")[0]: each
            for each in (await send(api, files(api, invite=True))).body["invitations"]
        }

        async def accept(token: str) -> int:
            body = {"token": token, "password": PASSWORD}
            return (await api.post("/api/auth/invitation", json=body)).status

        async def invite(name: str) -> Answer:
            body = {"user_ids": [made[name]["user_id"]]}
            return await api.post("/api/admin/users/invitations", "admin", json=body)

        for act in ("lock", "unlock"):
            await api.post(f"/api/admin/users/{made['amina']['user_id']}/{act}", "admin")
        renewed = await invite("ben")
        assert await accept(made["amina"]["token"]) == 401
        assert await accept(made["ben"]["token"]) == 401
        assert await accept(renewed.body["invitations"][0]["token"]) == 200
        assert (await invite("ben")).status == 422
        await api.owner.execute("UPDATE public.invitations SET expires_at = now()")
        assert await accept(made["cleo"]["token"]) == 401


async def test_tokens_that_are_tried_in_vain_count_like_sign_ins_that_fail_a8(core: Core) -> None:
    async with core.school() as api:
        statuses = [
            (
                await api.post("/api/auth/invitation", json={"token": f"guess {n}", "password": PASSWORD})
            ).status
            for n in range(25)
        ]

        assert set(statuses[:20]) == {401}
        assert set(statuses[20:]) == {429}


async def test_imports_that_meet_in_any_order_wait_for_one_another_in_no_circle_a8(core: Core) -> None:
    """Of two organisations, tried and written: each address is one's or the other's; nobody is told 503."""
    async with core.school() as api:
        rows = [f"Name {n},meets{n}@{domain(api)}" for n in range(400)]

        async def import_them(by: str, order: list[str], *, dry_run: bool) -> Answer:
            body = {"users": "\n".join(["name,email", *order]), "partial": True, "dry_run": dry_run}
            return await send(api, body, by)

        for dry_run in (True, False):
            answers = await asyncio.gather(
                *(
                    import_them(by, order, dry_run=dry_run)
                    for by in ("admin", "boss")
                    for order in (rows, rows[::-1])
                )
            )
            # Who finds an address taken between the look and the writing is told to send it again.
            assert {each.status for each in answers} <= {200, 409}, [each.body for each in answers]
        again = [await import_them(by, rows, dry_run=False) for by in ("admin", "boss")]
        counts = [each.body["people"] for each in again]
        assert sum(each["unchanged"] + each["created"] for each in counts) == len(rows)


async def test_a_row_about_an_admin_changes_and_invites_nobody_a8(core: Core) -> None:
    async with core.school() as api:
        mail = domain(api)
        made = await api.post(
            "/api/admin/users",
            "admin",
            json={"email": f"second@{mail}", "full_name": "Second", "role": "admin"},
        )
        assert made.status == 201, made.body
        await api.owner.execute(
            "UPDATE public.users SET password_hash = NULL WHERE email = $1", f"second@{mail}"
        )
        before = await written(api)
        users = f"sourcedId,name,email,groups\nx1,Renamed,second@{mail},\n"
        done = await send(
            api,
            {
                "users": users,
                "enrollments": f"classSourcedId,userSourcedId\n9z,second@{mail}\n",
                "invite": True,
            },
        )

        assert (done.status, done.body["people"]["left_out"], done.body["invitations"]) == (200, 1, [])
        assert done.body["memberships"]["left_out"] == 1
        assert await written(api) == before
        (found,) = (await api.get(f"/api/admin/users?q=second@{mail}", "admin")).body["users"]
        assert (found["full_name"], found["role"]) == ("Second", "admin")


async def test_the_command_keeps_every_token_it_was_given_and_renews_them_a8(
    core: Core, tmp_path: Path
) -> None:
    async with core.school() as api:
        admin, users = api.people["admin"], tmp_path / "users.csv"
        users.write_text("".join(f"{each}\n" for each in ("email,name", f"kim@{domain(api)},=HYPERLINK(1)")))

        async def run(*words: str) -> "subprocess.CompletedProcess[str]":
            command = [sys.executable, "-m", "deploy.commands.cli", "import", "people", str(users), *words]
            named = ["--url", api.url, "--email", admin.email, "--password", PASSWORD]
            return await asyncio.to_thread(
                subprocess.run, [*command, *named], check=False, capture_output=True, text=True
            )

        def token_in(name: str) -> str:
            with (tmp_path / name).open(encoding="utf-8-sig", newline="") as file:
                (row,) = csv.DictReader(file)
            assert row["full_name"] == "'=HYPERLINK(1)"
            return row["token"]

        async def accept(token: str) -> int:
            body = {"token": token, "password": PASSWORD}
            return (await api.post("/api/auth/invitation", json=body)).status

        before = await written(api)
        refused = await run("--invitations", str(tmp_path / "nowhere/of.csv"))
        assert (refused.returncode, "Traceback" in refused.stderr) == (2, False), refused.stderr
        assert await written(api) == before
        first = await run("--invitations", str(tmp_path / "first.csv"))
        again = await run("--invitations", str(tmp_path / "again.csv"))
        renewed = await run("--invitations", str(tmp_path / "renewed.csv"), "--renew")
        assert [each.returncode for each in (first, again, renewed)] == [0] * 3, renewed.stderr

        assert (tmp_path / "again.csv").read_text(encoding="utf-8-sig").splitlines() == [",".join(SHOWN)]
        assert await accept(token_in("first.csv")) == 401
        assert await accept(token_in("renewed.csv")) == 200
