"""
`veritas import`: a school's CSV files, sent to a deployment over HTTP as its admin.

Everything is tried first, without being written; then people are sent a few hundred at a time, and at last
all of it once more with the enrolments: what is there already changes nothing.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from deploy.commands.helps import Group
from deploy.commands.invitations import new_private, write_invitations
from deploy.commands.signed_in import FAULTY, show_faults, signed_in
from deploy.local.passwords import password_of
from deploy.local.server import ServerError

ROWS: Final = 500  # people of one request
# OneRoster's other files, which say nothing that is needed here.
NOT_NEEDED: Final = frozenset(
    {
        "academicsessions", "categories", "classresources", "courseresources", "courses", "demographics",
        "lineitems", "manifest", "orgs", "resources", "results", "userprofiles",
    }
)  # fmt: skip

app = typer.Typer(
    cls=Group,
    help="Import a school: people with their groups, and exams, from CSV files.",
    no_args_is_help=True,
)

Files = Annotated[
    list[Path],
    typer.Argument(
        exists=True,
        dir_okay=False,
        help="users.csv, enrollments.csv, classes.csv, roles.csv as OneRoster has them; others with --map.",
    ),
]
ExamsFile = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A file of exams.")]
MapOption = Annotated[
    list[str] | None,
    typer.Option("--map", help="COLUMN=FIELD where a column has another name; may be repeated."),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
PartialOption = Annotated[bool, typer.Option("--partial", help="Import the good rows of a faulty file.")]
InvitationsOption = Annotated[
    Path | None,
    typer.Option(
        "--invitations",
        dir_okay=False,
        help="Invite whoever has no password yet, and write their invitations to this new CSV file.",
    ),
]
RenewOption = Annotated[
    bool,
    typer.Option("--renew", help="Invite those too who were invited before; their earlier tokens end."),
]
UrlOption = Annotated[str | None, typer.Option(help="The deployment; the running local stack by default.")]
EmailOption = Annotated[str | None, typer.Option(help="An admin's account on the named deployment.")]
PasswordOption = Annotated[
    str | None,
    typer.Option(help="Their password, for everybody on this machine to see; asked for if it is not given."),
]
PasswordFileOption = Annotated[
    Path | None,
    typer.Option(dir_okay=False, help="File whose only line is their password."),
]
StateOption = Annotated[
    Path | None,
    typer.Option("--state", help="Folder of the local stack; VERITAS_STATE or .veritas by default."),
]


@app.command()
def people(
    files: Files,
    *,
    mapping: MapOption = None,
    dry_run: DryRunOption = False,
    partial: PartialOption = False,
    invitations: InvitationsOption = None,
    renew: RenewOption = False,
    url: UrlOption = None,
    email: EmailOption = None,
    password: PasswordOption = None,
    password_file: PasswordFileOption = None,
    state: StateOption = None,
) -> None:
    """
    Make and change people and groups as the files say; the same files again change nothing.

    Exits with 0 when it is done, 1 when rows are faulty, 2 when nothing could be done.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    from core_api import csv_files  # noqa: PLC0415
    from core_api.people import roster  # noqa: PLC0415

    columns = _columns(mapping)
    found = by_kind(files, columns)
    names = {f"{kind}.csv": path.name for kind, path in found.items()}
    texts = {kind: read_text(path) for kind, path in found.items()}
    if renew and invitations is None:
        raise ServerError("--renew makes tokens: say with --invitations where to write them")
    with ExitStack() as cleanup:
        # Before anything is sent: no token is made that there is no place for.
        written = None if invitations is None else cleanup.enter_context(new_private(invitations))
        call = signed_in(url, email, password_of(password, password_file), state, names)
        tried = call("/api/admin/users/import", {**texts, "columns": columns, "dry_run": True})
        show_faults(tried, names)
        if dry_run:
            _conclude(tried, dry_run=True)
        if tried["faulty"] and not partial:
            print("nothing was written; --partial imports the good rows", file=sys.stderr)
            raise typer.Exit(FAULTY)
        options = {"columns": columns, "partial": partial, "invite": invitations is not None}
        parts = csv_files.parts(texts["users"], roster.USERS, columns, ROWS) if "users" in texts else []
        roles = {"roles": texts["roles"]} if "roles" in texts else {}
        bodies: list[dict[str, Any]] = [{"users": part, **roles, "renew": renew} for part in parts]
        count = 0
        with Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        ) as bar:
            task = bar.add_task("people", total=len(bodies) + 1)
            for body in (*bodies, texts):
                if body is texts:
                    bar.update(task, description="groups")
                given = call("/api/admin/users/import", {**body, **options})["invitations"]
                if written is not None:
                    write_invitations(written, given)
                count += len(given)
                bar.advance(task)
            bar.update(task, description="done")
    if invitations is not None:
        print(f"{count:,} invitations in {invitations}: each token opens one account, hand them out alone")
    _conclude(tried, dry_run=False)


@app.command()
def exams(
    file: ExamsFile,
    *,
    mapping: MapOption = None,
    dry_run: DryRunOption = False,
    partial: PartialOption = False,
    url: UrlOption = None,
    email: EmailOption = None,
    password: PasswordOption = None,
    password_file: PasswordFileOption = None,
    state: StateOption = None,
) -> None:
    """
    Make, assign and publish exams, one a row; the same file again changes nothing.

    Exits as `veritas import people` does.
    """
    names = {"exams.csv": file.name}
    body = {
        "exams": read_text(file),
        "columns": _columns(mapping),
        "dry_run": dry_run,
        "partial": partial,
    }
    call = signed_in(url, email, password_of(password, password_file), state, names)
    done = call("/api/teacher/exams/import", body)
    show_faults(done, names)
    what = "would be " if dry_run else ""
    print(f"exams: {done['created']} {what}created, {done['updated']} updated, {done['unchanged']} unchanged")
    raise typer.Exit(FAULTY if done["faulty"] else 0)


def read_text(path: Path) -> str:
    """
    Return a file's text; raises ServerError, which says how to save it, where it is not UTF-8.
    """
    content = path.read_bytes()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ServerError(f"{path} is UTF-16 (Excel's “Unicode Text”): save it as “CSV UTF-8”")
    if content.startswith(b"PK"):
        raise ServerError(f"{path} is a workbook or an archive: save it as “CSV UTF-8”")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ServerError(f"{path} line {line} is not UTF-8: save the file as “CSV UTF-8”") from error


def _columns(mapping: Sequence[str] | None) -> dict[str, str]:
    """Return which column is which field, from `COLUMN=FIELD`; raises ServerError."""
    pairs = [each.rpartition("=") for each in mapping or ()]
    if any(not column or not field for column, _, field in pairs):
        raise ServerError("--map takes COLUMN=FIELD, as in --map 'E-Mail-Adresse=email'")
    return {column: field for column, _, field in pairs}


def by_kind(files: Iterable[Path], columns: Mapping[str, str]) -> dict[str, Path]:
    """Return the files by what they are, as their names or else their headers say; raises ServerError."""
    from core_api.csv_files import plain  # noqa: PLC0415

    found: dict[str, Path] = {}
    for path in files:
        kind = path.stem.lower()
        if kind in NOT_NEEDED:
            print(f"{path.name} is not needed: passed over")
            continue
        header = read_text(path).lstrip().partition("\n")[0]
        names = {plain(each) for each in header.replace(";", ",").replace("\t", ",").split(",")}
        names |= {plain(columns[each]) for each in columns if plain(each) in names}
        if "durationminutes" in names:
            raise ServerError(f"{path} is a file of exams: veritas import exams {path}")
        if kind not in {"users", "roles", "classes", "enrollments"}:
            kind = (
                "enrollments" if "classsourcedid" in names else
                "roles" if "usersourcedid" in names else
                "users" if "email" in names or "title" not in names else "classes"
            )  # fmt: skip
        if kind in found:
            raise ServerError(f"{found[kind]} and {path} are both a file of {kind}: join them first")
        found[kind] = path
    if not found:
        raise ServerError("none of the files says who is there")
    return found


def _conclude(reply: Mapping[str, Any], *, dry_run: bool) -> None:
    """Print what was done, and exit."""
    of_people, groups, members = reply["people"], reply["groups"], reply["memberships"]
    print(_counted("people", of_people))
    print(_counted("groups", groups))
    print(_counted("enrolments", members))
    if reply["faulty"]:
        print(f"{reply['faulty']:,} faulty", file=sys.stderr)
    if dry_run:
        print("a dry run: nothing was written")
    raise typer.Exit(FAULTY if reply["faulty"] else 0)


def _counted(what: str, counts: Mapping[str, int]) -> str:
    told = [f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items() if count]
    return f"{what}: {', '.join(told) or 'none'}"
