"""Invoke's own reading of a command line, with one clear line for a task or an option that is not there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from invoke.exceptions import Exit, ParseError
from invoke.parser import Parser
from invoke.parser.context import ParserContext
from invoke.program import Program

UNKNOWN = "No idea what "
NO_VALUE = " needed value and was not given one!"
A_VALUE = " doesn't take any value!"
MISSING = " did not receive required positional arguments: "


class CommandLine(Program):
    """A command line of one task. What Invoke cannot read ends with exit code 1, as all other bad input."""

    def parse_tasks(self) -> None:
        task, *words = self.core.unparsed or [""]
        if {"--help", "-h"} & set(words):
            # Behind a task that needs a word Invoke would take it for that word.
            self.core[0].args.help.value, self.core.unparsed = task, []
        with self.one_line():
            super().parse_tasks()
        named = [str(context.name) for context in self.tasks]
        if len(named) > 1:
            # Every task ends the program with an exit code of its own: a second one would never begin.
            raise Exit(f"error: {' and '.join(named)} are {len(named)} tasks (give one at a time)", code=1)

    def _make_parser(self) -> Parser:
        """Reads by the tasks that a word of the line may name: Invoke would copy the options of all of them, twice."""
        if self.args.complete.value:
            return super()._make_parser()
        words = " ".join(self.argv)
        named = {
            task: others
            for task, others in self.collection.task_names.items()
            if any(name in words for name in (task, *others))
        }
        contexts = [
            ParserContext(name=task, aliases=others, args=self.collection[task].get_arguments())
            for task, others in named.items()
        ]
        return Parser(initial=self.initial_context, contexts=contexts)

    def parse_cleanup(self) -> None:
        with self.one_line():
            super().parse_cleanup()

    @contextmanager
    def one_line(self) -> Iterator[None]:
        try:
            yield
        except ParseError as error:
            raise Exit(f"error: {self.said(error)}", code=1) from None

    def said(self, error: ParseError) -> str:
        """What was wrong with the words, and the mend."""
        words, context = str(error), error.context
        task = context.name if context is not None and context.name else ""
        help_of = f"see ./inv --help {task}" if task else "see ./inv --help"
        if words.startswith(UNKNOWN):
            word = words.removeprefix(UNKNOWN).removesuffix(" is!")[1:-1]
            if word.startswith("-"):
                there = [flag[2:] for flag in context.flags if flag.startswith("--")] if context is not None else []
                return (
                    f"{word}: {task or 'inv'} has no such option ({nearest(word.lstrip('-'), there, '--') or help_of})"
                )
            there = list(self.collection.task_names)
            if task and not nearest(word, there):
                return f"{word!r} is neither an option of {task} nor a task (options begin with --: {help_of})"
            return f"there is no task {word!r} ({nearest(word, there) or 'see ./inv --list'})"
        if words.endswith((NO_VALUE, A_VALUE)) and context is not None:
            flag = words.split("<Argument: ")[-1].split(">")[0].split(" ")[0]
            what = "needs a value" if words.endswith(NO_VALUE) else "takes no value"
            return f"--{flag}: {what} ({help_of})"
        if MISSING in words:
            missing = words.split(MISSING)[1].split(",")[0].strip("'")
            if missing == "env":
                return "--env: names no environment (add --env staging)"
            return f"{missing.upper()}: {task} needs one (write ./inv {task} {missing.upper()}; {help_of})"
        return f"{words} ({help_of})"


def nearest(word: str, there: list[str], before: str = "") -> str:
    """The question whether a name that is there was meant, shown with what stands before it; empty where none is near."""
    from difflib import get_close_matches

    near = get_close_matches(word, there, n=1)
    return f"did you mean {before}{near[0]}?" if near else ""
