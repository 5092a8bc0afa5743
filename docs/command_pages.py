"""The Sphinx directive ``commands``: every command of the program with its options, as argparse has them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from xconv.cli import _parser


def described(program: argparse.ArgumentParser) -> list[str]:
    """All commands in reStructuredText: what each is for, its usage, its options by group, its example."""
    subparsers = next(a for a in program._actions if isinstance(a, argparse._SubParsersAction))
    commands: dict[str, argparse.ArgumentParser] = subparsers.choices
    short = {action.dest: action.help or "" for action in subparsers._choices_actions}
    lines: list[str] = []
    for name, command in commands.items():
        title = f"{program.prog} {name}"
        lines += [title, "-" * len(title), "", command.description or short[name].capitalize() + ".", ""]
        lines += literal("text", command.format_usage())
        if command.epilog:
            lines += ["An example:", "", *literal("sh", command.epilog.removeprefix("example: "))]
        lines += [f".. program:: {title}", ""]
        for group in command._action_groups:
            own = [action for action in group._group_actions if not isinstance(action, argparse._HelpAction)]
            if own and group.title not in ("options", "positional arguments"):
                lines += [f".. rubric:: {(group.title or '').capitalize()}", ""]
            lines += [line for action in own for line in option(action)]
    return lines


def option(action: argparse.Action) -> Iterator[str]:
    """One option, with what follows it and its default where the help does not say it."""
    formatter = argparse.HelpFormatter("", width=10_000)
    yield f".. option:: {formatter._format_action_invocation(action)}"
    yield ""
    text = formatter._expand_help(action) if action.help else ""
    if action.default not in (None, False, "", argparse.SUPPRESS) and "default" not in text:
        text = f"{text} (default: {action.default})" if text else f"Default: {action.default}."
    yield f"   {text}"
    yield ""


def literal(language: str, text: str) -> list[str]:
    """A block of text as it is."""
    return [f".. code-block:: {language}", "", *(f"   {line}" for line in text.strip().splitlines()), ""]


class Commands(SphinxDirective):
    """``.. commands::``."""

    def run(self) -> list[nodes.Node]:
        """A section for each command."""
        lines = StringList(described(_parser()), source="argparse")
        found: list[nodes.Node] = self.parse_text_to_nodes(lines, allow_section_headings=True)
        return found


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx calls this."""
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
