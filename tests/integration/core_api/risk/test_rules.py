"""Risk rules as admins keep them (spec.md R-1, R-2, R-5; proctor-module.txt, 7 and "Default Rules")."""

from typing import Any

import pytest

from tests.kits.core import Answer, Api, Core
from tests.kits.reviews import decide, end_attempt, make_reviewed_exam, override

PATH = "/api/proctor/rules"
SAMPLE = {
    "nameEn": "Tab Switch Threshold",
    "nameAr": "حد التبديل بين علامات التبويب",
    "descriptionEn": "Triggers when candidate switches tabs 3+ times within 2 minutes",
    "isActive": True,
    "eventType": 2,
    "thresholdCount": 3,
    "windowSeconds": 120,
    "riskPoints": 10.0,
    "minSeverity": None,
    "maxTriggers": 5,
    "priority": 10,
}
DEFAULTS = [
    ("TabSwitched", 3, 120, 10), ("FullscreenExited", 1, 0, 30), ("DevToolsOpened", 1, 0, 40),
    ("CopyAttempt", 2, 0, 15), ("NetworkDisconnected", 1, 0, 20), ("FaceNotDetected", 3, 60, 25),
    ("MultipleFacesDetected", 1, 0, 35),
]  # fmt: skip


async def create(api: Api, by: str = "admin", **changes: Any) -> Answer:
    return await api.post(PATH, by, json=SAMPLE | changes)


async def listed(api: Api, by: str = "admin") -> list[Any]:
    found: list[Any] = (await api.get(PATH, by)).body["data"]
    return found


async def kept(api: Api, session_id: int) -> list[tuple[int, int]]:
    """Return the rules that a session keeps, with their versions."""
    rows = await api.owner.fetch(
        "SELECT v.rule_id, v.version FROM public.proctor_sessions s JOIN public.rule_sets r ON r.id ="
        " s.rule_set_id JOIN public.risk_rule_versions v ON v.id = ANY (r.version_ids) WHERE s.id = $1"
        " ORDER BY v.priority, v.rule_id",
        session_id,
    )
    return [tuple(row) for row in rows]


async def test_a_new_organisation_has_the_seven_default_rules_in_both_languages_r2(core: Core) -> None:
    async with core.school() as api:
        rules = await listed(api)

        assert [
            (each["eventTypeName"], each["thresholdCount"], each["windowSeconds"], each["riskPoints"])
            for each in rules
        ] == DEFAULTS
        assert all(each["isActive"] and each["version"] == 1 for each in rules)
        for each in rules:
            for name in ("nameAr", "descriptionAr"):
                assert sum("\u0600" <= sign <= "\u06ff" for sign in each[name]) >= len(each[name]) // 2
        assert [each["gapClass"] for each in rules if each["gapClass"]] == ["unexplained"]
        assert not {each["id"] for each in rules} & {each["id"] for each in await listed(api, "boss")}


async def test_create_update_delete_risk_rules(core: Core) -> None:
    """proctor-module.txt, testing checklist: "Create/update/delete risk rules"."""
    async with core.school() as api:
        made = await create(api)

        assert made.status == 201
        rule = made.body["data"]
        assert rule | SAMPLE == rule
        assert (rule["version"], rule["eventTypeName"]) == (1, "TabSwitched")
        path = f"{PATH}/{rule['id']}"
        for expected in (2, 2):  # the same again changes nothing
            updated = await api.call("PUT", path, "admin", json=SAMPLE | {"eventType": "CopyAttempt"})
            assert (updated.status, updated.body["data"]["version"]) == (200, expected)
        assert updated.body["data"]["eventType"] == 5
        toggled = [(await api.post(f"{path}/toggle", "admin")).body["data"]["isActive"] for _ in range(2)]
        assert toggled == [False, True]
        found = (await api.get(path, "admin")).body["data"]
        assert [each["version"] for each in found["versions"]] == [4, 3, 2, 1]
        assert found["versions"][3]["eventType"] == 2, "an older version stays as it was"
        assert (await api.call("DELETE", path, "admin")).status == 200
        assert rule["id"] not in {each["id"] for each in await listed(api)}
        for method, tail in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/toggle")):
            assert (await api.call(method, path + tail, "admin", json=SAMPLE)).status == 404, method


async def test_a_session_keeps_the_rules_that_there_were_when_it_began_r1(core: Core) -> None:
    """Decision 10: rule versions are pinned when the session starts."""
    async with core.school() as api:
        before = await kept(api, await api.start_session())
        rules = await listed(api)
        assert before == [(each["id"], 1) for each in rules]

        tab, fullscreen = rules[0], rules[1]
        await api.call("PUT", f"{PATH}/{tab['id']}", "admin", json=SAMPLE | {"riskPoints": 90})
        await api.post(f"{PATH}/{fullscreen['id']}/toggle", "admin")
        await api.call("DELETE", f"{PATH}/{rules[6]['id']}", "admin")
        made = (await create(api, priority=0)).body["data"]
        later = await kept(api, api.seat(1)[0].session_id)

        assert later == [(made["id"], 1), (tab["id"], 2), *before[2:6]]
        first = await api.owner.fetchval("SELECT min(id) FROM proctor_sessions")
        assert await kept(api, first) == before


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"nameEn": ""}, "nameEn"),
        ({"nameAr": "\x00"}, "nameAr"),
        ({"eventType": 13}, "eventType"),
        ({"eventType": "Nonsense"}, "eventType"),
        ({"thresholdCount": 0}, "thresholdCount"),
        ({"windowSeconds": -1}, "windowSeconds"),
        ({"riskPoints": 0}, "riskPoints"),
        ({"riskPoints": 100.5}, "riskPoints"),
        ({"riskPoints": 0.123}, "riskPoints"),
        ({"minSeverity": 6}, "minSeverity"),
        ({"maxTriggers": 0}, "maxTriggers"),
        ({"gapClass": "network"}, "gapClass"),
        ({"thresholdCount": 1000, "maxTriggers": None}, "maxTriggers"),
        ({"points": 1}, "body"),
    ],
)
async def test_what_is_no_rule_is_refused_by_its_path(core: Core, changes: Any, path: str) -> None:
    async with core.school() as api:
        refused = await create(api, **changes)

        assert refused.status == 422, refused.body
        assert [each["path"] for each in refused.body["errors"]] == [path]


async def test_another_organisations_rules_are_unknown_and_staff_keep_none_a4(core: Core) -> None:
    async with core.school() as api:
        rule = (await listed(api))[0]
        for method, tail in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/toggle")):
            path = f"{PATH}/{rule['id']}{tail}"
            for person, status in (("boss", 404), ("teacher", 403), ("reviewer", 403), ("student", 403)):
                assert (await api.call(method, path, person, json=SAMPLE)).status == status, (method, person)
        assert await listed(api) == await listed(api)
        assert (await listed(api))[0] == rule


async def test_there_are_only_so_many_rules(core: Core) -> None:
    async with core.school() as api:
        await api.owner.execute(
            "INSERT INTO public.risk_rules (organisation_id, created_at) SELECT $1, now()"
            " FROM generate_series(8, 100)",
            api.people["admin"].organisation_id,
        )
        refused = await create(api)

        assert (refused.status, "100 rules" in refused.body["detail"]) == (409, True)


async def test_a_rule_shows_how_often_it_fired_and_what_was_finally_decided_r5(core: Core) -> None:
    async with core.school() as api:
        made = await make_reviewed_exam(api)
        first, second = [(await end_attempt(api, made, by)).session_id for by in ("student", "other_student")]
        rule_id, another, *_ = (each["id"] for each in await listed(api))
        await api.owner.executemany(
            "INSERT INTO reporting.session_rule_fires"
            " (session_id, rule_id, version, organisation_id, triggers)"
            " SELECT id, $2, 1, organisation_id, 3 FROM proctor_sessions WHERE id = $1",
            [(first, rule_id), (second, rule_id)],
        )

        async def fared(of: int = rule_id) -> list[int]:
            shown = (await api.get(f"{PATH}/{of}", "admin")).body["data"]["statistics"]
            return [shown[name] for name in ("fired", "upheld", "cleared", "overturned")]

        seen = [await fared()]
        decision_id = (await decide(api, first, 4)).body["data"]["id"]
        seen.append(await fared())
        await decide(api, first, 4, finalize=True)
        await decide(api, second, 2, finalize=True)
        seen.append(await fared())
        assert (await override(api, decision_id, 2)).status == 200
        seen.append(await fared())

        assert seen == [[2, 0, 0, 0], [2, 0, 0, 0], [2, 1, 1, 0], [2, 0, 2, 1]]
        assert await fared(another) == [0, 0, 0, 0]
