"""The house rules that a machine can hold (our own "tidy"): see CONTRIBUTING.md."""

import ast
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from importlib import import_module
from pathlib import Path

import psycopg
import pytest

import sql
from core_api.app import routes
from core_api.web.documentation import whole
from ingest.routes import ROUTES
from kernel import VERSION, errors, settings

ROOT = Path(__file__).parents[1]
ROOMS = ("kernel", "sql", "warehouse", "ingest", "core_api", "pipeline", "loadtests", "deploy")
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
VERB = re.compile(
    r"\s*(SELECT|INSERT INTO|UPDATE \w+ SET|DELETE FROM|ALTER|CREATE|DROP|TRUNCATE|COPY \w+ FROM) "
)
# The naive design is measured as its document writes it, statements in the program and all.
FOREIGN = {ROOT / "loadtests/baselines/seed_design.py"}
LINES_MAX = 400
FUNCTION_LINES_MAX = 70
ALONE = {
    "verify_export.py": 490,  # read and run by strangers, without anything else of ours: one file
}
# Utility statements cannot be prepared; the tests of their programs run them.
UTILITY = re.compile(r"(COPY|LISTEN|CREATE|ALTER|DROP|CHECKPOINT|VACUUM|ANALYZE|TRUNCATE|SET|BEGIN|COMMIT)\b")
# What a file makes for its own connection, and its statements rest on.
TEMPORARY = re.compile(r"CREATE (TEMPORARY TABLE|FUNCTION pg_temp\.)")


@cache
def tree_of(path: Path) -> ast.Module:
    """Return a module's tree, which many tests walk."""
    return ast.parse(path.read_text())


@pytest.fixture(scope="module", autouse=True)
def trees() -> Iterator[None]:
    """Forget the trees with the last of the tests: they are a million nodes."""
    yield
    tree_of.cache_clear()


def strings(path: Path) -> list[ast.Constant]:
    return [
        node
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


def test_python_holds_no_sql() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{text.lineno}"
        for path in SOURCES
        if path not in FOREIGN
        for text in strings(path)
        if VERB.match(str(text.value))
    ]

    assert found == []


def statements() -> list[tuple[str, str]]:
    return [(noun, name) for noun in sql.nouns() for name in sql.named(noun).texts]


def on_one_line(text: str) -> str:
    """Return a statement without its comments."""
    return re.sub(r"(--[^\n]*\n|\s)+", " ", text).strip()


def test_every_named_query_prepares_on_the_migrated_database(database: str) -> None:
    wrong: dict[str, str] = {}
    with psycopg.connect(database, autocommit=True) as conn:
        for noun, name in statements():
            text = on_one_line(sql.named(noun).texts[name])
            if TEMPORARY.match(text):
                conn.execute(text.encode())
            if UTILITY.match(text):
                continue
            try:
                conn.execute(f"PREPARE tried AS {text}".encode())
                conn.execute("DEALLOCATE tried")
            except psycopg.Error as error:
                wrong[f"{noun}.{name}"] = str(error)

    assert wrong == {}


def file_of(node: ast.expr, bound: dict[str, str]) -> str | None:
    """Return the noun whose queries an expression gives: `named("noun")`, or a name bound to that."""
    match node:
        case ast.Call(func=ast.Name(id="named"), args=[ast.Constant(value=str(noun))]):
            return noun
        case ast.Name(id=name):
            return bound.get(name)
        case _:
            return None


Asked = tuple[
    str, str, frozenset[str] | None, bool
]  # noun, name, names that are given, whether those are all


def named_call(
    noun: str | None, name: str, given: list[ast.keyword], more: frozenset[str]
) -> Iterator[Asked]:
    """Yield a query that is asked for with arguments by name, and `more` that its caller adds."""
    if noun:
        names = frozenset(each.arg for each in given if each.arg is not None)
        yield noun, name, names | more, len(names) == len(given)


def asked_for(path: Path) -> list[Asked]:
    """
    Return every query that a module asks for, directly or by a constant of its own. None is given where it
    takes its arguments by their order.
    """
    tree = tree_of(path)
    bound: dict[str, str] = {}
    for node in ast.walk(tree):
        match node:
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                bound[name] = file_of(value, {}) or ""
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                bound[name] = file_of(value, {}) or ""
    asked: list[Asked] = []
    for node in ast.walk(tree):
        match node:
            case ast.Subscript(value=value, slice=ast.Constant(value=str(name))):
                if noun := file_of(value, bound):
                    asked.append((noun, name, None, True))
            case ast.Call(
                func=ast.Attribute(value=value, attr="bind" | "run"),
                args=[*_, ast.Constant(value=str(name))],
                keywords=given,
            ):
                asked += named_call(file_of(value, bound), name, given, frozenset())
            case ast.Call(
                func=ast.Name(id="fetch_page"),
                args=[_, _, value, ast.Constant(value=str(name))],
                keywords=given,
            ):
                rest = [*(each for each in given if each.arg != "key"), ast.keyword(value=value)]
                asked += named_call(file_of(value, bound), name, rest, frozenset({"cursor", "limit"}))
    return asked


def fault_of(asked: Asked) -> str | None:
    """Say what is wrong with the way in which a query is asked for."""
    noun, name, given, is_all = asked
    wanted = sql.named(noun).parameters.get(name)
    if wanted is None:
        return "is not there"
    if given is None:
        return "takes its arguments by name" if wanted else None
    unknown, missing = given - {*wanted}, {*wanted} - given if is_all else frozenset()
    return f"has no {sorted(unknown)}, and lacks {sorted(missing)}" if unknown or missing else None


def by_order(path: Path) -> Iterator[tuple[str, str, int]]:
    """Yield the queries that a module runs with arguments by their order, and how many it gives."""
    tree = tree_of(path)
    bound = {
        node.target.id: noun
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None
        if (noun := file_of(node.value, {}))
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        for n, each in enumerate(node.args):
            match each:
                case ast.Subscript(value=value, slice=ast.Constant(value=str(name))):
                    rest = node.args[n + 1 :]
                    noun = file_of(value, bound)
                    if noun and not any(isinstance(other, ast.Starred) for other in rest):
                        yield noun, name, len(rest)


def test_a_query_by_order_gets_as_many_arguments_as_it_has() -> None:
    """What is run at once; a text that is handed on is given its arguments elsewhere."""
    asked = {(path, which) for path in SOURCES for which in by_order(path)}
    wrong = {
        (str(path.relative_to(ROOT)), noun, name, given)
        for path, (noun, name, given) in asked
        if given != max((int(n) for n in re.findall(r"\$(\d+)", sql.named(noun).texts[name])), default=0)
    }

    assert len(asked) > 100
    assert wrong == set()


def test_every_query_that_is_asked_for_exists_and_gets_the_arguments_that_it_names() -> None:
    asked = {(path, which) for path in SOURCES for which in asked_for(path)}

    assert len(asked) > 250, "the search must find what the modules ask for"
    assert len([given for _, (_, _, given, _) in asked if given]) > 50
    assert [
        f"{path.relative_to(ROOT)}: {which[0]}.{which[1]} {fault}"
        for path, which in asked
        if (fault := fault_of(which))
    ] == []


def test_one_place_says_how_a_statement_runs_on_psycopg() -> None:
    """Migrations alone are run as they are: a file holds many statements, and none is prepared."""
    cursors = {"AsyncRawCursor", "ClientCursor", "RawCursor", "RawServerCursor", "ServerCursor"}
    found = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        for node in ast.walk(tree_of(path))
        if (isinstance(node, ast.Attribute) and node.attr in cursors)
        or (isinstance(node, ast.Name) and node.id == "LiteralString")
        or (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "execute"
            and any(isinstance(each, ast.Attribute) and each.attr == "encode" for each in ast.walk(node))
        )
    }

    assert found == {"sql/running.py", "sql/migrate.py"}


POSITIONAL_MAX = 4  # more of them nobody counts right


def test_many_parameters_have_names() -> None:
    highest = {
        f"{noun}.{name}": max(map(int, re.findall(r"\$(\d+)", on_one_line(text))), default=0)
        for noun in sql.nouns()
        for name, text in sql.named(noun).texts.items()
        if not sql.named(noun).parameters[name]
    }

    assert {name: number for name, number in highest.items() if number > POSITIONAL_MAX} == {}


def test_what_is_taken_from_a_queue_is_chosen_once() -> None:
    again = [
        f"{noun}.{name}"
        for noun, name in statements()
        if re.search(r"\bIN \(SELECT\b[^;]*\bSKIP LOCKED", on_one_line(sql.named(noun).texts[name]))
    ]

    # A plan that was kept from when the queue was empty chooses anew for every row; an array is made once.
    assert again == []


def test_every_named_query_is_used() -> None:
    words = {
        str(text.value) for path in [*SOURCES, *(ROOT / "tests").rglob("*.py")] for text in strings(path)
    }

    assert [f"{noun}.{name}" for noun, name in statements() if name not in words] == []


def test_every_error_has_its_own_code_and_a_status_of_its_kind() -> None:
    def below(kind: type[errors.DomainError]) -> list[type[errors.DomainError]]:
        return [kind, *(deeper for sub in kind.__subclasses__() for deeper in below(sub))]

    kinds = below(errors.DomainError)
    codes = [kind.code for kind in kinds if kind.__module__ == "kernel.errors"]

    assert len(codes) == len(set(codes))
    assert all(400 <= kind.status <= 599 for kind in kinds)


# What a client may read from the code of a 503, whatever was refused.
NOTHING_DONE, UNKNOWN = {"overloaded", "unavailable"}, {"outcome_unknown"}


def test_every_503_says_whether_nothing_was_done_or_the_outcome_is_unknown() -> None:
    """Raised by class: no number 503 stands anywhere else, but where readiness is told."""

    def below(kind: type[errors.DomainError]) -> set[type[errors.DomainError]]:
        return {kind} | {deeper for sub in kind.__subclasses__() for deeper in below(sub)}

    away = [kind for kind in below(errors.DomainError) if kind.status == 503]
    written = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        if path.parts[len(ROOT.parts)] in {"kernel", "ingest", "core_api", "pipeline"}
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Constant) and node.value == 503
    }

    assert {kind.code for kind in away} == NOTHING_DONE | UNKNOWN
    assert written == {"kernel/errors.py", "kernel/http/health.py"}


def test_only_one_place_says_what_it_means_that_postgresql_is_away() -> None:
    """Nobody who serves requests catches an error of the driver that only says "away"."""
    vague = {"InterfaceError", "InternalClientError", "PostgresConnectionError", "OperatorInterventionError"}
    found = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        if path.parts[len(ROOT.parts)] in {"kernel", "ingest", "core_api"}
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute) and node.attr in vague
    }

    assert found == {"kernel/postgres.py"}


CONVERTED = {
    # what was just given or made, and what our own workers compute and rebuild
    "changes.py", "importing.py", "rescoring.py", "reasons.py", "students.py", "items.py",
}  # fmt: skip


def test_what_is_stored_is_read_in_two_ways() -> None:
    """`shown_as` for a page, `computed_as` for who computes: neither is a fault of ours (spec.md I-8)."""
    found = {
        path.name
        for path in SOURCES
        if path.is_relative_to(ROOT / "core_api")
        and path.name != "wire.py"
        and "msgspec.convert(" in path.read_text()
    }

    assert found == CONVERTED


def test_no_loop_runs_unwatched() -> None:
    """Tasks and threads are begun in kernel/running/tasks.py; here and there one that a request waits for."""
    begun = {"create_task", "ensure_future", "Thread", "TaskGroup", "run_coroutine_threadsafe"}
    found = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        if path.parts[len(ROOT.parts)] in {"kernel", "ingest", "core_api", "pipeline"}
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute | ast.Name)
        and (node.attr if isinstance(node, ast.Attribute) else node.id) in begun
    }

    assert found == {
        "kernel/running/tasks.py", "ingest/appending/sessions.py",
        "core_api/proctoring/sockets.py", "core_api/proctoring/live_hub.py",  # both ends of a socket
    }  # fmt: skip


def test_every_route_that_a_package_has_is_served_under_a_name_of_its_own() -> None:
    """Access table, audit, public document and walls all follow from `routes()`: nothing stands beside it."""
    files = [path.relative_to(ROOT).with_suffix("") for path in (ROOT / "core_api").rglob("routes.py")]
    written = [route for file in files for route in import_module(".".join(file.parts)).ROUTES]
    served = {(route.method, route.path) for route in routes()}
    names = Counter(route.name for route in [*routes(), *ROUTES])

    assert len(files) > 5
    assert {(route.method, route.path) for route in written} <= served
    assert [name for name, times in names.items() if times > 1] == []


def test_every_route_is_in_the_openapi_document() -> None:
    served = [*routes(), *ROUTES]
    paths = whole(served)["paths"]

    assert [
        f"{route.method} {route.path}"
        for route in served
        if route.method.lower() not in paths.get(f"/api{route.path}", {})
    ] == []


def test_only_these_routes_need_no_token() -> None:
    """A-4: whoever adds one writes it down here."""
    assert {f"{route.method} {route.path}" for route in [*routes(), *ROUTES] if route.action is None} == {
        "POST /auth/register",
        "POST /auth/login",
        "POST /auth/refresh",
        "POST /auth/invitation",
        "POST /auth/launch",
        "GET /openapi.json",
        "GET /docs",
        "GET /docs/{file}",
        "PUT /proctor/evidence/{evidence_id}/upload",  # signed addresses, as an object store has them
        "GET /proctor/evidence/{evidence_id}/download",
    }


def test_every_setting_is_described() -> None:
    assert [name for name, _, text in settings.described() if not text] == []


def test_every_package_says_what_it_is_for_and_names_its_packages() -> None:
    packages = {path.parent for path in SOURCES}
    charters = {
        folder: ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
        for folder in packages
    }

    assert [str(folder.relative_to(ROOT)) for folder, charter in charters.items() if not charter] == []
    assert [
        str(folder.relative_to(ROOT))
        for folder in packages - {ROOT / room for room in ROOMS}
        if f"`{folder.name}`" not in charters[folder.parent]
    ] == []


def docstrings() -> Iterator[tuple[str, ast.AST, str]]:
    for path in SOURCES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield (
                    f"{path.relative_to(ROOT)}: {getattr(node, 'name', '')}",
                    node,
                    ast.get_docstring(node) or "",
                )


def test_docstrings_name_their_errors_and_a_check_returns_nothing() -> None:
    unnamed = [
        where for where, _, text in docstrings() if re.search(r"what\s+`[^`]*`( and `\w+`)?\s+raises?", text)
    ]
    returned = [
        where
        for where, node, text in docstrings()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and isinstance(node.returns, ast.Constant)
        and node.returns.value is None
        and text.startswith("Return")
    ]

    assert unnamed == []
    assert returned == []


PROGRAMS_WITHOUT_FILES = {
    # print a table, ask one address, run before any package is there or away from Veritas, or are a yardstick
    "kernel/access.py", "pipeline/definitions.py", "deploy/ready.py", "deploy/local/programs.py",
    "deploy/verify_export.py", "loadtests/baselines/simple_durable.py",
    "pipeline/detector/eyes.py",  # may write nothing at all
}  # fmt: skip


def test_every_program_prepares_its_process_first() -> None:
    """By `prepare_process()`, or by `runtime.run`, which does; whatever is started as a program."""
    programs = {path: text for path in SOURCES if '__name__ == "__main__"' in (text := path.read_text())} | {
        ROOT / "tests/conftest.py": (ROOT / "tests/conftest.py").read_text()
    }
    prepared = {
        path
        for path, text in programs.items()
        if "prepare_process()" in text or re.search(r"from kernel.running.runtime import [^)]*\brun\b", text)
    }

    assert {
        str(path.relative_to(ROOT)) for path in set(programs) - prepared - FOREIGN
    } == PROGRAMS_WITHOUT_FILES


def test_no_log_line_holds_an_errors_message() -> None:
    """A message may quote what somebody sent: `error=error` names it, and `exc_info` shows where."""
    logged = [
        (path, call)
        for path in SOURCES
        for call in ast.walk(tree_of(path))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id == "log"
    ]
    quoted = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path, call in logged
        for part in ast.walk(call)
        if isinstance(part, ast.Call)
        and isinstance(part.func, ast.Name)
        and part.func.id in {"repr", "str"}
        and any(isinstance(each, ast.Name) and each.id in {"error", "exc"} for each in part.args)
    ]

    assert len(logged) > 40, "the search must find the log calls"
    assert quoted == []


def test_no_module_has_grown_a_second_subject() -> None:
    assert [
        f"{path.relative_to(ROOT)}: {lines}"
        for path in SOURCES
        if (lines := len(path.read_text().splitlines())) > LINES_MAX + ALONE.get(path.name, 0)
    ] == []


def test_no_function_does_more_than_one_thing() -> None:
    """With its signature and what it says about itself; tests and their kits too."""
    assert [
        f"{path.relative_to(ROOT)}: {node.name}, {lines}"
        for path in [*SOURCES, *(ROOT / "tests").rglob("*.py")]
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (lines := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES_MAX
    ] == []


@pytest.mark.parametrize("word", ["/" + "work/", "py" + "pi.org", "deb" + "ian.org", "npm" + "js"])
def test_the_project_names_no_machine_and_no_registry(word: str) -> None:
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text().split()]
    found = [path for path in _files_below(ROOT, [".git", *ignored]) if word.encode() in path.read_bytes()]

    assert found == []


def test_nobody_swallows_a_cancellation_that_may_be_their_own() -> None:
    """To end tasks of one's own there is `kernel.running.tasks.cancel`."""
    sources = [*SOURCES, *(ROOT / "tests").rglob("*.py")]
    swallowed = "suppress(" + "asyncio.CancelledError"

    assert [path for path in sources if swallowed in path.read_text()] == []


def test_no_route_passes_over_a_parameter_that_it_does_not_know() -> None:
    queries = {route.query for route in (*routes(), *ROUTES)} - {None}

    assert [each for each in queries if not each.__struct_config__.forbid_unknown_fields] == []


def test_what_others_published_lies_here_byte_for_byte_each_with_its_licence() -> None:
    vendor = ROOT / "core_api/web/static/vendor"
    sums = {name: digest for digest, name in map(str.split, (vendor / "SHA256SUMS").read_text().splitlines())}
    found = {
        str(path.relative_to(vendor)): sha256(path.read_bytes()).hexdigest() for path in vendor.glob("*/*")
    }

    assert found == sums
    assert {str(Path(name).parent / "LICENSE") for name in sums} <= set(sums)


def _files_below(folder: Path, left_out: list[str]) -> Iterator[Path]:
    for path in folder.iterdir():
        if any(path.match(pattern) for pattern in left_out):
            continue
        if path.is_dir():
            yield from _files_below(path, left_out)
        else:
            yield path


def pins(lock: str) -> set[str]:
    """Return what a lock pins, as `name==version ; marker` lines without their hashes."""
    return set(re.findall(r"^[\w.-]+==[^\\\n]+", (ROOT / lock).read_text(), re.MULTILINE))


def test_what_runs_is_tested_in_the_very_versions_that_it_runs_with() -> None:
    runs, tests = pins("requirements.lock"), pins("requirements-dev.lock")
    named = {re.split(r"[ ;]", pin)[0] for pin in tests}

    assert {re.split(r"[ ;]", pin)[0] for pin in runs} <= named
    assert runs <= pins("requirements-detector.lock")
    assert runs <= pins("requirements-dask.lock")
    assert not {"pytest", "locust", "mypy", "fastapi"} & {pin.partition("==")[0] for pin in runs}
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION
