"""
Stored JSON that no door lets in any more, from an older release or from a hand, fails no page (spec.md I-8).

The columns are the catalogue's, the readers the route list's: a new one of either is in the test by itself.
"""

from contextlib import suppress
from typing import Any

import asyncpg

from core_api.app import routes
from core_api.authoring import published
from kernel.events import EventType
from kernel.http.web import API_PREFIX
from tests.kits.access_matrix import MATRIX
from tests.kits.access_matrix_world import World, furnish
from tests.kits.core import DatabaseAs, core_api, store_events
from tests.kits.json_texts import nested

ODD = {
    "deep": nested(300),
    "deeper than any parser": nested(1500),
    "a number that no double holds": '{"n": 1' + "0" * 400 + "}",
    "another shape": '[null, "text", {"": {"": []}}]',
}
# What scores by the stored key has no answer without one, and says so.
SCORED = {f"/teacher/remediations/{{remediation_id}}/{each}" for each in ("preview", "changes")}
READS = [
    (route.method, route.path) for route in routes() if route.method == "GET" and route.action is not None
]


async def spoil(world: World, text: str) -> list[str]:
    """Put the text into every column of JSON, in every row; return those that no rule of a table keeps."""
    owner, spoiled = world.api.owner, list[str]()
    columns = await owner.fetch(
        "SELECT c.table_name, c.column_name FROM information_schema.columns c"
        " JOIN information_schema.tables t USING (table_schema, table_name)"
        " WHERE c.table_schema = 'public' AND c.data_type = 'jsonb' AND t.table_type = 'BASE TABLE'"
    )
    async with owner.transaction():
        await owner.execute("SET LOCAL session_replication_role = replica")  # what is immutable too
        for table, column in columns:
            if table != "events":  # a hypertable has no triggers to disable
                await owner.execute(f"ALTER TABLE public.{table} DISABLE TRIGGER USER")
            with suppress(asyncpg.CheckViolationError, asyncpg.InvalidParameterValueError):
                async with owner.transaction():
                    await owner.execute(f"UPDATE public.{table} SET {column} = $1::text::jsonb", text)
                    spoiled.append(f"{table}.{column}")
    published.forget()
    return spoiled


async def read(world: World, key: tuple[str, str]) -> list[tuple[str, int, Any]]:
    """Ask as everybody whom the matrix lets read this; return those who were answered otherwise."""
    row, method = MATRIX[key], key[0]
    found = []
    for person, status in row.expected.items():
        if status == 200:
            path, others = key[1], row.path | row.path_of.get(person, {})
            for name, value in world.parameters.items():
                path = path.replace(f"{{{name}}}", world.parameters.get(others.get(name, ""), value))
            headers = {"Authorization": f"Bearer {world.api.token(person)}"}
            url = world.api.url + API_PREFIX + path
            async with world.api.http.request(method, url, headers=headers) as answer:
                # Not every parser can read it, and ours must not have to; a stream would never end.
                goes_on = answer.content_type == "text/event-stream"
                text = (
                    (await answer.content.readuntil(b"}\n\n")).decode()
                    if goes_on
                    else await answer.text(errors="replace")
                )
                refused = answer.status == 409 and key[1] in SCORED and '"stored_spoilt"' in text
                if answer.status != 200 and not refused:
                    found.append((person, answer.status, text))
    return found


async def test_no_page_fails_on_stored_json_that_it_cannot_show(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as) as api:
        world = await furnish(api)
        await store_events(api, int(world.parameters["id"]), [(EventType.TabSwitched, 2)] * 3)
        found: dict[tuple[str, ...], Any] = {}
        for name, text in ODD.items():
            columns = await spoil(world, text)
            assert {"exams.metadata", "users.metadata", "events.payload"} <= set(columns)
            found |= {(name, *key): wrong for key in READS if (wrong := await read(world, key))}

        assert found == {}
