"""
Drafts of a set of risk rules: rules as they might be, stored versions, the active ones beside them.
"""

from collections import Counter
from typing import Annotated, Final

import asyncpg
import msgspec
from msgspec import Meta

from core_api.actors import Actor
from core_api.database import Connection
from core_api.risk.rules import QUERIES as RULES
from core_api.risk.rules import RULE_ID_MAX, RuleTerms, columns_of
from core_api.wire import invalid
from kernel.errors import InvalidInputError
from kernel.risk import Rule, rule_of
from kernel.settings import Settings
from sql import named

QUERIES: Final = named("risk_drafts")
RULES_MAX: Final = 1_000


class DraftRule(RuleTerms, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """
    A rule as it might be. With `ruleId` it stands in the place of that rule, and what was agreed for
    candidates about that one holds for it; one that is not active leaves that rule out.
    """

    rule_id: Annotated[int, Meta(ge=1, le=RULE_ID_MAX, description="Of a rule that there is.")] | None = None


class StoredVersion(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A rule as it was in one of its versions, whether it is active now or not."""

    rule_id: Annotated[int, Meta(ge=1, le=RULE_ID_MAX)]
    version: Annotated[int, Meta(ge=1, le=2**31 - 1)]


class Draft(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """
    A set of rules. Beside `rules` and `versions` the organisation's active rules are in it, each that is not
    named in either, unless `keepActiveRules` is false.
    """

    rules: Annotated[list[DraftRule], Meta(max_length=RULES_MAX)] = []
    versions: Annotated[list[StoredVersion], Meta(max_length=RULES_MAX)] = []
    keep_active_rules: bool = True


class NamedRule(msgspec.Struct, frozen=True):
    """A rule of a set, and how a reply calls it."""

    rule: Rule
    name: str
    rule_id: int | None
    version: int | None
    draft: int | None = None
    priority: int = 0


async def read(conn: Connection, actor: Actor, draft: Draft, *, settings: Settings) -> list[NamedRule]:
    """
    Return the rules of a draft in their order.

    Raises:
        InvalidInputError: a rule is none that rules can be, is not the organisation's or is named twice, or
            there would be too many.
    """
    given = [_drafted(place, terms) for place, terms in enumerate(draft.rules)]
    named_ids = [terms.rule_id for terms in draft.rules]
    paths = {f"rules[{place}].ruleId": each for place, each in enumerate(named_ids) if each is not None}
    paths |= {f"versions[{place}].ruleId": each.rule_id for place, each in enumerate(draft.versions)}
    times = Counter(paths.values())
    for path, rule_id in paths.items():
        if times[rule_id] > 1:
            raise invalid(path, "The same rule is named twice")
    asked = [each.rule_id for each in draft.versions], [each.version for each in draft.versions]
    stored = await conn.fetch(QUERIES["list_versions_named"], actor.organisation_id, *asked)
    known = {(row["rule_id"], row["version"]) for row in stored}
    for place, each in enumerate(draft.versions):
        if (each.rule_id, each.version) not in known:
            raise invalid(f"versions[{place}]", "The organisation has no such rule in such a version")
    rows = await conn.fetch(QUERIES["list_rules_known"], actor.organisation_id, list(paths.values()))
    there = {row["id"] for row in rows}
    for path, rule_id in paths.items():
        if rule_id not in there:
            raise invalid(path, "The organisation has no such rule")
    found = [*(each for each in given if each is not None), *map(named_rule, stored)]
    if draft.keep_active_rules:
        active = await conn.fetch(RULES["list_rules"], actor.organisation_id, None)
        replaced = set(paths.values())
        found += [named_rule(row) for row in active if row["is_active"] and row["rule_id"] not in replaced]
    if len(found) > settings.risk_rules_max:
        raise invalid("rules", f"An organisation may have {settings.risk_rules_max} rules")
    return sorted(found, key=lambda each: (each.priority, each.rule_id is None, each.rule.rule_id))


def _drafted(place: int, terms: DraftRule) -> NamedRule | None:
    """Return a drafted rule, None for one that is not active; raises InvalidInputError."""
    try:
        columns = columns_of(terms)
    except InvalidInputError as error:
        raise InvalidInputError(
            error.detail,
            errors=[each | {"path": f"rules[{place}].{each['path']}"} for each in error.errors or []],
        ) from error
    if not terms.is_active:
        return None
    # What has no number of its own gets one that no rule has.
    rule = rule_of(columns | {"rule_id": terms.rule_id or -1 - place, "version": 0})
    return NamedRule(rule, terms.name_en, terms.rule_id, None, place, terms.priority)


def named_rule(row: asyncpg.Record) -> NamedRule:
    """Return a row of `risk_rule_versions` with its name."""
    rule = rule_of(row)
    return NamedRule(rule, row["name_en"], rule.rule_id, rule.version, priority=row["priority"])
