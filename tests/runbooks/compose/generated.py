"""Stacks in all forms, drawn at random: the files of one project folder, as text that people could have written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st

INFRA = {
    "db": "postgres:17", "cache": "redis:7-alpine", "mq": "rabbitmq:4", "search": "elasticsearch:8.15.0", "own": "acme/own:1",
    "logs": "docker.elastic.co/logstash/logstash:8.15.0", "big_1": "mirror.example:5000/library/postgres:16@sha256:" + "0" * 64,
}  # fmt: skip
APPS = ("web", "worker", "api.v1", "9front", "migrate")
COMMENTS = ("", "", "", " # kept: as it is", "  # — größer 🐘", " # depends_on: - db", "\t# after a tab")
URLS = (
    "postgres://app:p%40ss@db:5432/app",
    "postgresql+psycopg://app@db/app?sslmode=disable",
    "jdbc:postgresql://db:5432/app",
)
EXTRA = (
    "restart: always", "labels: {a: b}", "command: [run, '--all']", "ports:\n  - '80'", "tty: true", "command: |\n  one\n  # two\n",
    "labels:\n  - \"x=${X:-${Y:-z}}\"", "command: >-\n  folded $$HOME\n  text", "working_dir: '/a b'", "command: run\n  --further",
)  # fmt: skip


@dataclass
class Pen:
    """How one file is written: indentation, quotes, comments; and the choices that are left."""

    choose: Callable[[int], int]
    step: int
    dash: int
    quote: str

    def pick(self, options: tuple[str, ...] | list[str]) -> str:
        return options[self.choose(len(options))]

    def maybe(self, of: int = 2) -> bool:
        return self.choose(of) == of - 1

    def name(self, word: str) -> str:
        return f"{self.quote}{word}{self.quote}"

    def comment(self) -> str:
        return self.pick(COMMENTS)

    def block(self, key: str, lines: list[str]) -> list[str]:
        """A key with lines below it; items of a list stand `dash` deeper, others a whole step."""
        deep = self.dash if lines and lines[0].startswith("- ") else self.step
        return [f"{key}:{self.comment()}", *(" " * deep + line if line else line for line in lines)]


@st.composite
def projects(draw: st.DrawFn) -> dict[str, bytes]:
    """The files of a project: `compose.yml`, sometimes an override, an env file, a file to extend."""
    numbers = iter(draw(st.binary(min_size=200, max_size=200)))
    pen = Pen(lambda count: next(numbers, 0) % count, 2, 2, "")
    pen.step = (2, 4, 3)[pen.choose(3)]
    pen.dash = (pen.step, 0)[pen.choose(2)]
    pen.quote = pen.pick(("", "", '"', "'"))
    infra = [name for name in INFRA if pen.maybe() or name == "db"]
    apps = [name for name in APPS if pen.maybe()] or ["web"]
    files: dict[str, str] = {}
    shared = pen.choose(4)
    head: list[str] = []
    if shared == 1:
        head = [*pen.block("x-needs", pen.block("depends_on", edges(pen, infra, "list"))), ""]
        head[0] = "x-needs: &needs" + pen.comment()
    elif shared == 2:
        head = [f"x-list: &list [{', '.join(pen.name(name) for name in infra)}]{pen.comment()}", ""]
    body: list[str] = []
    for number, name in enumerate(apps):
        later = [*apps[number + 1 :], *infra]
        body += service(pen, name, "acme/" + name.partition(".")[0], application(pen, later, shared, infra))
    if pen.maybe():
        upstream = f"DATABASE_URL: {URLS[0]}"
        body += service(pen, "pool", "edoburu/pgbouncer:v1.23", pen.block("environment", [upstream]))
    for name in infra:
        body += service(pen, name, INFRA[name], infrastructure(pen))
    body += twins(pen, body, apps, infra)
    lines = [*opening(pen), *head, *pen.block("services", body), *closing(pen)]
    files["compose.yml"] = "\n".join(lines) + "\n"
    if any("${DATABASE_URL" in line for line in lines):
        files[".env"] = f"# set by hand\nDATABASE_URL={URLS[0]}\nTAG=1\n"
    if pen.maybe(4):
        more = service(pen, apps[0], "", pen.block("depends_on", edges(pen, infra, pen.pick(("list", "map")))))
        files["override.compose.yml"] = "\n".join(pen.block("services", more)) + "\n"
    return {name: written(pen, text) for name, text in files.items()}


def twins(pen: Pen, body: list[str], apps: list[str], infra: list[str]) -> list[str]:
    """Services that take over what others say: by an anchor, by `extends`; or all in one line. Anchors `body`'s lines."""
    made: list[str] = []
    kind = pen.choose(6)
    if kind == 1:
        made = service(
            pen, "twin", "", ["extends: " + pen.pick((pen.name(apps[0]), f"{{service: {pen.name(apps[0])}}}"))]
        )
    elif kind in (2, 3):
        of = apps[0] if kind == 2 else pen.pick(infra)
        for number, line in enumerate(body):
            head, colon, rest = line.partition(":")
            if not line.startswith((" ", "#")) and head.strip("\"'") == of and not rest.partition("#")[0].strip():
                body[number] = f"{head}{colon} &it{rest}"
                own = pen.pick(("tty: true", "labels: {twin: yes}", "environment: {A: b}", "restart: always"))
                made = service(pen, "twin", "", ["<<: *it", own])
                made += ["third: *it"] if pen.maybe() else []
    elif kind == 4:
        needs = pen.pick(
            (f"[{pen.name(infra[0])}]", f"{{{pen.name(infra[0])}: {{condition: service_started, restart: true}}}}")
        )
        made = [f"twin: {{image: acme/twin, depends_on: {needs}, labels: [a, b]}}{pen.comment()}"]
    elif kind == 5:
        made = [
            f'"twin": {{"image": "redis:7"}}{pen.comment()}',
            *service(pen, "last", "acme/last", ["depends_on: [twin]"]),
        ]
    return made


def written(pen: Pen, text: str) -> bytes:
    """The bytes of a text: line ends, a byte order mark, perhaps no last line end."""
    if pen.maybe(4):
        text = text.rstrip("\n")
    if pen.maybe(4):
        text = text.replace("\n", "\r\n")
    return ("\ufeff" + text if pen.maybe(6) else text).encode()


def opening(pen: Pen) -> list[str]:
    return ([], ["# top", ""], ["---"], ["version: '3.8'", ""], ["name: app"])[pen.choose(5)]


def closing(pen: Pen) -> list[str]:
    return ([], ["", "# end"], ["volumes:", "  data:"], ["..."], ["networks: {}"])[pen.choose(5)]


def service(pen: Pen, name: str, image: str, parts: list[str]) -> list[str]:
    """A service in block style, its image first or last, with something else around its parts."""
    first = [f"image: {pen.pick((image, chr(39) + image + chr(39)))}{pen.comment()}"] if image else []
    extra = pen.pick(EXTRA).split("\n") if image and pen.maybe() else []
    if any(line.startswith(extra[0].partition(":")[0] + ":") for line in parts if extra):
        extra = []
    keys = [*first, *extra, *parts] if pen.maybe() else [*first, *parts, *extra]
    lines = pen.block(pen.name(name) if pen.maybe() else f"'{name}'" if name[0].isdigit() else name, keys or ["{}"])
    return [*lines, *([""] if pen.maybe() else [])]


def application(pen: Pen, later: list[str], shared: int, infra: list[str]) -> list[str]:
    """What an application has: edges in one of the forms, an environment in one of the forms, perhaps a profile."""
    needs = [name for name in later if pen.maybe()] or later[-1:]
    parts: list[str] = []
    form = pen.pick(("list", "list", "map", "flow", "flow map", "lines", "none"))
    if shared == 1 and pen.maybe():
        parts += ["<<: *needs"]
        form = pen.pick(("none", "none", "list"))
    elif shared == 2 and pen.maybe():
        parts += ["depends_on: *list"]
        form = "none"
    if form in ("list", "map"):
        parts += pen.block("depends_on", edges(pen, needs, form))
    elif form == "flow":
        parts += [f"depends_on: [{', '.join(pen.name(name) for name in needs)}]{pen.comment()}"]
    elif form == "flow map":
        inner = ", ".join(f"{pen.name(name)}: {{condition: service_started}}" for name in needs)
        parts += [f"depends_on: {{{inner}}}{pen.comment()}"]
    elif form == "lines":
        inside = [" " * pen.step + pen.name(name) + "," + pen.comment() for name in needs]
        parts += ["depends_on: [", *inside, " " * pen.step + "]"]
    url = pen.pick((*URLS, "${DATABASE_URL}", "postgres://app:${PASSWORD:-pw}@${DB_HOST:-db}:5432/app"))
    where = pen.pick(("none", "map", "list", "flow", "quoted"))
    if where == "map":
        parts += pen.block("environment", ["MODE: a$$b" + pen.comment(), f"DATABASE_URL: {url}{pen.comment()}"])
    elif where == "list":
        parts += pen.block("environment", [f"- DATABASE_URL={url}{pen.comment()}", "- 'SOME=1'"])
    elif where in ("flow", "quoted"):
        mark = '"' if where == "flow" else "'"
        parts += [f"environment: {{DATABASE_URL: {mark}{url}{mark}, B: ''}}"]
    if pen.maybe(6):
        parts += [f"profiles: [{pen.pick(('debug', 'dev'))}]"]
    return parts


def edges(pen: Pen, names: list[str], form: str) -> list[str]:
    """Edges as lines of a list or a map."""
    if form == "list":
        found = []
        for name in names:
            found += [f"- {pen.name(name)}{pen.comment()}"]
            found += ["# between"] if pen.maybe(6) else []
        return found
    lines = []
    for name in names:
        if pen.maybe(3):
            lines += [f"{pen.name(name)}: {{condition: service_started{pen.pick(('', ', required: false'))}}}"]
            continue
        inner = [f"condition: {pen.pick(('service_started', chr(34) + 'service_started' + chr(34)))}{pen.comment()}"]
        if pen.maybe(3):
            inner.insert(pen.choose(2), pen.pick(("restart: true", "required: false")))
        lines += pen.block(pen.name(name), inner)
    return lines


def infrastructure(pen: Pen) -> list[str]:
    """What a database or the like has: a check in one of the forms, or none."""
    form = pen.choose(8)
    if form == 1:
        return pen.block("healthcheck", [f"test: [CMD, 'true']{pen.comment()}", "interval: 30s"])
    if form == 2:
        return ["healthcheck: {test: exit 0, interval: 1s}"]
    if form == 3:
        return pen.block("healthcheck", ["disable: true"])
    if form == 4:
        return pen.block("healthcheck", ["test: >", "  exit", "  0", "interval: 1m" + pen.comment()])
    if form == 5:
        return pen.block("environment", ["POSTGRES_PASSWORD: pässwörd🐘"])
    return []
