"""The image and the compose file: what runs and nothing else, without rights, pinned."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import pytest
import yaml  # type: ignore[import-untyped]
from packaging.requirements import Requirement

ROOT: Final = Path(__file__).parents[3]
IMAGES: Final = ROOT / "deploy/images"
ROOMS: Final = ("kernel", "sql", "warehouse", "ingest", "core_api", "pipeline", "loadtests", "deploy")
# Load tests are in the image for `veritas replay` and `demo`; the rest of them runs from a checkout only.
ENTRIES: Final = [each for each in ROOMS if each != "loadtests"]
# Named in pyproject.toml, imported by nothing of ours: by whom, then.
FOR_OTHERS: Final = {
    "pytz": "DuckDB hands out a timestamptz with it",
}
DIGEST: Final = re.compile(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}")
# No digest of it could be confirmed where this was written; an exact version at least.
BY_VERSION: Final = {"timescale/timescaledb:2.19.3-pg17"}


def instructions() -> list[list[tuple[str, str]]]:
    """Return the Dockerfile's instructions by stage, those before the first stage in front."""
    text = (IMAGES / "Dockerfile").read_text()
    text = re.sub(r"(^|\n)#[^\n]*", r"\1", text).replace("\\\n", " ")
    stages: list[list[tuple[str, str]]] = [[]]
    for line in filter(None, map(str.strip, text.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            stages.append([])
        stages[-1].append((word, " ".join(rest.split())))
    return stages


def all_of(stage: list[tuple[str, str]], word: str) -> list[str]:
    return [rest for found, rest in stage if found == word]


def locked(lock: str = "requirements.lock") -> set[str]:
    return set(re.findall(r"^([\w.-]+)==", (ROOT / lock).read_text(), re.MULTILINE))


def named(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def imported(path: Path) -> Iterator[str]:
    """Yield every module that a file imports, also within functions; of `from a import b`, a and a.b."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module
                yield from (f"{module}.{alias.name}" for alias in node.names)


def file_of(module: str) -> Path | None:
    """Return the file of a module of ours, if it is one."""
    path = ROOT.joinpath(*module.split("."))
    found = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
    return found if module.partition(".")[0] in ROOMS and found.is_file() else None


@cache
def what_runs() -> set[Path]:
    """Return every file of the rooms that run, and what they reach among the load tests."""
    waiting = [path for room in ENTRIES for path in (ROOT / room).rglob("*.py")]
    found: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += [there for each in imported(path) if (there := file_of(each))]
    return found


@cache
def foreign() -> dict[str, set[str]]:
    """Return the distributions that what runs imports, each with the files that do; empty for none."""
    providers = metadata.packages_distributions()
    found: dict[str, set[str]] = {}
    for path in what_runs():
        for module in imported(path):
            top = module.partition(".")[0]
            if top in ROOMS or top in sys.stdlib_module_names:
                continue
            # A namespace (backports) has several: the one that has this module.
            for distribution in providers.get(top, [f"{top}, which nothing installs"]):
                if len(providers.get(top, [])) == 1 or named(distribution).endswith(
                    named(module.split(".")[-1])
                ):
                    found.setdefault(named(distribution), set()).add(str(path.relative_to(ROOT)))
    return found


def test_all_that_runs_finds_what_it_imports_in_the_run_lock() -> None:
    missing = {name: files for name, files in foreign().items() if name not in locked()}

    optional = {
        "opencv-python-headless": {"pipeline/detector/eyes.py"},
        "distributed": {"pipeline/on_dask.py"},
    }
    assert missing == optional, "optional installs"
    assert locked("requirements-detector.lock") - locked() == {"opencv-python-headless"}
    assert "distributed" in locked("requirements-dask.lock")
    assert ROOT / "loadtests/replay/replay.py" in what_runs()
    assert ROOT / "loadtests/locustfile.py" not in what_runs(), "locust is for tests"


def test_the_run_lock_holds_what_is_imported_and_what_that_needs_and_nothing_else() -> None:
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    direct = dict(parsed(each, set()) for each in asked)
    assert set(direct) - set(foreign()) == set(FOR_OTHERS)

    anywhere, here = needed(direct, here=False), needed(direct, here=True)
    assert locked() - anywhere == set()
    assert here - locked() == set(), "pip installs the lock without what it needs: it must stand there, too"
    assert set(direct) < here, "what is needed needs something itself"


def needed(direct: dict[str, set[str]], *, here: bool) -> set[str]:
    """Return what distributions with their extras need, and they; `here`: on this machine, or on any."""
    found = dict(direct)
    waiting = list(direct)
    while waiting:
        name = waiting.pop()
        for line in requires(name):
            if here and not applies(line, found[name]):
                continue
            need, extras = parsed(line, found[name])
            if need and not (need in found and extras <= found[need]):
                found[need] = found.get(need, set()) | extras
                waiting.append(need)
    return set(found)


def applies(line: str, extras: set[str]) -> bool:
    """Tell whether a line's marker holds on this machine, for any of the extras."""
    marker = Requirement(line).marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in extras or {""})


def requires(name: str) -> list[str]:
    """Return what a distribution needs; nothing of one for other systems, which is not installed here."""
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []


def parsed(line: str, extras: set[str]) -> tuple[str, set[str]]:
    """Return the distribution and the extras that a line asks for; no name where it is for other extras."""
    wanted = re.findall(r"""extra == ['"]([\w-]+)['"]""", line)
    if wanted and not extras.intersection(wanted):
        return "", set()
    found = re.match(r"\s*([\w.-]+)\s*(?:\[(.*?)\])?", line)
    assert found is not None, line
    return named(found[1]), set(re.findall(r"[\w-]+", found[2] or ""))


def test_the_image_is_built_from_the_run_lock_by_hash_and_from_the_rooms() -> None:
    _, build, _ = instructions()
    copied = [each.split() for each in all_of(build, "COPY")]
    installs = [each for each in all_of(build, "RUN") if "pip" in each]

    assert [each[0] for each in copied] == ["${LOCK}", *ROOMS]
    assert all_of(build, "ARG") == ["LOCK=requirements.lock"]
    assert len(installs) == 1
    for flag in ("--require-hashes", "--no-deps", "--only-binary :all:", "--requirement /requirements.lock"):
        assert flag in installs[0]


def test_the_image_holds_no_tool_and_runs_as_somebody_without_rights() -> None:
    head, build, final = instructions()
    (base,) = all_of(head, "ARG")

    assert DIGEST.fullmatch(base.removeprefix("PYTHON=")), "the base is pinned by its digest"
    assert [all_of(stage, "FROM") for stage in (build, final)] == [["${PYTHON} AS build"], ["${PYTHON}"]]
    assert all_of(final, "COPY") == [
        "--from=build /opt/veritas /opt/veritas",
        "--from=build /veritas /veritas",
    ]
    assert "--without-pip" in " ".join(all_of(build, "RUN"))
    ran = " ".join(all_of(final, "RUN"))
    assert "pip uninstall" in ran
    assert not re.search(r"apt|pip install|gcc|make|curl|chown|chmod", ran)
    assert all_of(final, "ADD") == []
    assert all_of(final, "USER") == ["10001"], "a number: whoever runs it can see that it is not root"
    assert len(all_of(final, "HEALTHCHECK")) == 1
    assert final[-1] == ("CMD", '["deploy.origin"]')


def test_what_the_builder_is_sent_is_what_the_image_is_built_from() -> None:
    lines = (IMAGES / "Dockerfile.dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]

    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == {
        "requirements.lock", "requirements-detector.lock", "requirements-dask.lock", *ROOMS,
    }  # fmt: skip
    assert {"**/__pycache__", "deploy/compose.env"} <= set(rules[-2:])


COMPOSE: Final[dict[str, Any]] = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_a_service_has_no_rights_that_it_does_not_need(name: str) -> None:
    service = COMPOSE["services"][name]
    own = "build" in service

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert any(each.startswith("/tmp:size=") for each in service["tmpfs"])  # noqa: S108  in the container
    assert not {"cap_add", "privileged", "network_mode", "pid", "devices"} & service.keys()
    assert own or service["user"] not in {"root", "0"}, "ours says in the image who runs"
    assert not own or "user" not in service
    assert own or DIGEST.fullmatch(service["image"]) or service["image"] in BY_VERSION
    assert own or service.get("restart") == "no" or "healthcheck" in service
    for volume in service.get("volumes", []):
        assert "docker.sock" not in volume
