"""
How the commands' helps are shown: with every description whole.
"""

from typing import Any, Final

from typer.core import TyperGroup

SENTENCE_MAX: Final = 10_000  # characters; as good as none


class Group(TyperGroup):
    """Commands that are listed with the first sentence of their help, wrapped where typer cuts it off."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401  typer gives them no public name
        """Write the list of commands."""
        names = self.list_commands(ctx)
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, self.commands[name].get_short_help_str(SENTENCE_MAX)) for name in names]
            )
