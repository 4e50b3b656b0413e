"""Every command's help says all that it has to say, however wide it is shown."""

from collections.abc import Iterator

import pytest
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from deploy.commands.cli import app


def commands(group: TyperGroup, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command, the groups among them."""
    yield path
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


ROOT = get_command(app)
assert isinstance(ROOT, TyperGroup)
ALL = list(commands(ROOT))


@pytest.mark.parametrize("columns", ["40", "80", "200", None], ids=lambda each: f"{each} columns")
@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_no_help_is_cut_off(words: tuple[str, ...], columns: str | None) -> None:
    done = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": columns}, prog_name="veritas")
    _, _, said = done.stdout.partition("\n\n")  # behind the usage, where dots say that words may be repeated

    assert done.exit_code == 0
    assert said
    assert [line for line in said.splitlines() if line.rstrip().endswith(("…", "..."))] == []


@pytest.mark.parametrize("words", [each for each in ALL if each], ids=" ".join)
def test_a_group_lists_each_command_with_a_whole_sentence(words: tuple[str, ...]) -> None:
    command = ROOT
    for word in words:
        assert isinstance(command, TyperGroup)
        command = command.commands[word]
    assert command.help is not None
    sentence = " ".join(command.help.split()).partition(". ")[0].removesuffix(".")

    done = CliRunner().invoke(app, [*words[:-1], "--help"], env={"COLUMNS": "80"})

    assert f"{words[-1]} {sentence}." in " ".join(done.stdout.split())


UNBOUNDED = {
    # Of what runs here, as much as one has patience for.
    "demo --candidates", "demo --seconds", "replay --concurrency", "replay --limit", "import results --limit",
    "import drafts --limit",
}  # fmt: skip


def test_every_number_has_both_its_bounds() -> None:
    """What is asked of a database fits its columns: a number that does not is refused in a sentence."""
    unbounded = set()
    for words in ALL:
        command = ROOT
        for word in words:
            assert isinstance(command, TyperGroup)
            command = command.commands[word]
        for each in command.params:
            ends = {getattr(each.type, end, None) for end in ("min", "max")}
            if each.type.name.startswith("int") and None in ends:
                unbounded.add(" ".join([*words, each.opts[0]]))

    assert unbounded == UNBOUNDED
