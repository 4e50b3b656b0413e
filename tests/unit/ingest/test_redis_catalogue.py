"""docs/redis-keys.md names every key and field of Redis in the code, with who writes and who reads it."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from deploy.local.redis_users import RULES
from ingest.stream.protocol import client_names, own_names, session_key, shard_key, stream_key

ROOT = next(above for above in Path(__file__).parents if (above / "pyproject.toml").exists())
PAGE = (ROOT / "docs/redis-keys.md").read_text()
MODULES = [
    path for room in ("kernel", "ingest", "core_api", "pipeline") for path in (ROOT / room).rglob("*.py")
]
NAMES = "names"  # both hashes of Idempotency-Keys, whoever's
# Key of the page's heading, and what the functions and modules call it.
KEYS = {"stream": "{vN}:stream", "shard": "{vN}:shard", "session": "{vN}:s:<session>", NAMES: "{vN}:k:"}
CALLS = {"HGET": "read", "HMGET": "read", "HSET": "written", "HSETNX": "written"}

CALL = re.compile(r"redis\.call\('(H[A-Z]+)', keys\[(\d)\]((?:[^()]|\([^()]*\))*)\)")

Uses = dict[tuple[str, str], dict[str, set[str]]]  # (key, field): who has "written" and "read" it


def catalogue() -> Uses:
    """Return what the page says of ingest's keys."""
    said: Uses = {}
    for section in re.split(r"\n## ", PAGE)[1:]:
        kind = next((kind for kind, key in KEYS.items() if section.startswith(f"`{key}`")), None)
        for row in re.findall(r"^\| (`.*) \|$", section, re.MULTILINE) if kind else []:
            fields, *_, written, read = row.split(" | ")
            for field in re.findall(r"`([^`]+)`", fields):
                said[(str(kind), re.sub("<.*>", "", field))] = {
                    "written": set(written.split(", ")), "read": set(read.split(", "))
                }  # fmt: skip
    return said


def fields_of(text: str) -> set[str]:
    """Return the names of fields in a piece of Lua; of what depends on who sends, both."""
    literals = re.findall(r"'([a-z]+:?)'(\s*\.\.\s*who)?", text)
    return {name + who for name, for_each in literals for who in (("c", "s") if for_each else ("",))}


def functions() -> Iterator[tuple[str, list[str], str]]:
    """Yield the name, the kinds of keys and the body of each function that Redis calls."""
    text = (files("ingest.stream") / "append.lua").read_text()
    registered = set(re.findall(r"veritas_(\w+)_@VERSION@'", text))
    for head, name, body in re.findall(
        r"((?:--[^\n]*\n)+)local function (\w+)\(keys, args\)\n(.*?)\nend\n", text, re.DOTALL
    ):
        kinds = re.search(r"-- KEYS  (.*?)(?:  |\.|\n)", head)
        assert kinds, f"{name} says which keys it takes"
        keys = kinds[1].replace("the two hashes of idempotency keys", f"{NAMES}, {NAMES}")
        registered.remove(name)
        yield name, re.sub(r" \(.*", "", keys).split(", "), body
    assert registered == set(), "every function was found"


def used_by_functions() -> Uses:
    """Return what the functions of append.lua write and read; what is gathered is written in the end."""
    found: Uses = defaultdict(lambda: {"written": set(), "read": set()})
    for name, kinds, body in functions():
        for command, number, rest in CALL.findall(body):
            kind, how = kinds[int(number) - 1], CALLS[command]
            for field in fields_of(rest):
                found[kind, field][how].add(name)
        gathered = re.findall(
            r"fields = \{.*?\}|fields\[[^\]]*\] = [^;\n]*|ipairs\(\{.*?\}\) do fields", body, re.DOTALL
        )
        for field in fields_of("".join(gathered)):
            found["session", field]["written"].add(name)
        sent = re.findall(r"redis\.call\('XADD'.*?\n", body) + re.findall(r"\n *'e', header.*?\n", body)
        entries = re.findall(r"entry = \{.*?\}|entry\[[^\]]*\] = [^\n]*", body)
        for field in fields_of("".join(sent + entries)) & set("ebgksxo"):
            found["stream", field]["written"].add(name)
    return found


def used_by_modules() -> Uses:
    """Return the fields that modules name when they ask Redis for them, or take an entry apart."""
    found: Uses = defaultdict(lambda: {"written": set(), "read": set()})
    commands = {"hget": "read", "hmget": "read", "hset": "written", "hdel": "written"}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(attr=attr), args=[ast.Call(func=ast.Name(id=key)), *names]
                ) if attr in commands and key.endswith("_key"):
                    for text in (each for name in names for each in ast.walk(name)):
                        if isinstance(text, ast.Constant):
                            found[key.removesuffix("_key"), str(text.value)][commands[attr]].add(path.name)
                case (
                    ast.Call(
                        func=ast.Attribute(value=ast.Name(id="fields"), attr="get"),
                        args=[ast.Constant(value=bytes(name)), *_],
                    )
                    | ast.Subscript(value=ast.Name(id="fields"), slice=ast.Constant(value=bytes(name)))
                    | ast.Compare(left=ast.Constant(value=bytes(name)), comparators=[ast.Name(id="fields")])
                ):
                    found["stream", name.decode()]["read"].add(path.name)
    return found


def test_every_field_stands_in_the_catalogue_with_the_functions_that_write_and_read_it() -> None:
    said, used = catalogue(), used_by_functions()
    plain = {
        key: {how: {who for who in names if not who.endswith(".py")} for how, names in uses.items()}
        for key, uses in said.items()
        if key[0] not in {NAMES, "stream"}
    }

    assert len(used) > 35, "the search must find the fields"
    assert {key: uses for key, uses in used.items() if key[0] != "stream"} == plain
    assert {key: uses["written"] for key, uses in used.items() if key[0] == "stream"} == {
        key: uses["written"] for key, uses in said.items() if key[0] == "stream"
    }


def test_every_field_that_a_module_asks_for_stands_in_the_catalogue_under_its_name() -> None:
    said, used = catalogue(), used_by_modules()
    known = {path.name for path in MODULES} | {name for name, _, _ in functions()}

    assert len(used) > 8, "the search must find the fields"
    assert [
        (key, how, who)
        for key, uses in used.items()
        for how, names in uses.items()
        for who in names - said.get(key, {}).get(how, set())
    ] == []
    assert {who for uses in said.values() for names in uses.values() for who in names} - known == set()


def builders() -> set[str]:
    """Return the functions that write a key of ingest's out."""
    return {
        function.name
        for path in MODULES
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef)
        and any(
            isinstance(each, ast.Constant) and str(each.value).startswith("b'{v")
            for each in ast.walk(function)
        )
    }


def test_every_key_has_its_place_in_the_catalogue() -> None:
    own = [stream_key(7), shard_key(7), session_key(7, 9), *own_names(7, 9)]
    clients = [*client_names(7, 9), *client_names(7, 9, of_service=True)]
    built = {
        re.sub(r":[01]$", ":<half>", key.decode()).replace("{v7}", "{vN}").replace(":9", ":<session>")
        for key in own + clients
    }
    headed = {
        key for line in re.findall(r"^## (`.*)", PAGE, re.MULTILINE) for key in re.findall("`([^`]+)`", line)
    }
    others = {key for rule in RULES.values() for key in re.findall(r"~(\S+)", rule)} - {"{v*}:*"}

    assert builders() == {"stream_key", "shard_key", "session_key", "client_names", "own_names"}
    assert headed == built
    assert [key for key in others if f"`{key}`" not in PAGE] == []
