"""Which events are news to people who are not at the terminal, and what they are told. Pure."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal

from inventory.values import frozen
from runbooks import events

Kind = Literal["gate", "rollback", "soak", "run", "trial"]
Level = Literal["good", "bad", "worst", "note"]
SHOWN = 8
"""Details at most: a message is read on a phone."""
_SIGNS = {"good": "✅", "bad": "⚠️", "worst": "🛑", "note": "ℹ️"}


@frozen
class Notice:
    """One piece of news. `outcome` is the event's own word; `details` are lines. Not masked yet."""

    kind: Kind
    level: Level
    title: str
    text: str
    environment: str
    outcome: str
    at: str
    run: str = ""
    phase: str = ""
    who: str = ""
    details: tuple[str, ...] = ()

    @property
    def body(self) -> str:
        """All but the title, as lines."""
        told = [f"run {self.run}" if self.run else "", f"phase {self.phase}" if self.phase else "", f"by {self.who}" if self.who else ""]  # fmt: skip
        return "\n".join(part for part in (self.text, *self.details, ", ".join(filter(None, told))) if part)

    def document(self) -> dict[str, Any]:
        """The JSON that a webhook is sent: a public shape (docs/operating.md)."""
        return {"source": "compose-runbook", **asdict(self), "details": list(self.details)}

    def slack(self) -> dict[str, Any]:
        """What Slack, Mattermost, Rocket.Chat and others take as an incoming webhook."""
        escaped = [
            text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") for text in (self.title, self.body)
        ]
        return {"text": f"{_SIGNS[self.level]} *{escaped[0]}*\n{escaped[1]}"}


def notice(event: events.Event, started: events.RunStarted | None) -> Notice | None:
    """The news in an event of a run that began with `started`; None: it is none."""
    if isinstance(event, events.SoakEnded):
        return _soak(event)
    if started is None:
        return None
    common = {"environment": started.environment, "run": started.run, "phase": started.phase, "who": started.who}
    if isinstance(event, events.RunStarted):
        hosts = [host for batch in event.batches for host in batch]
        over = (f"override: {event.override}",) if event.override else ()
        return Notice("run", "note", f"{event.kind} on {event.environment} has begun", f"hosts: {', '.join(hosts)}",
                      outcome="started", at=event.at, details=over, **common)  # fmt: skip
    if isinstance(event, events.GateEnded) and event.verdict.outcome != "pass":
        word = "failed" if event.verdict.outcome == "fail" else "is inconclusive"
        after = " after the undo" if event.after == "undo" else ""
        return Notice("gate", "bad", f"a gate {word}{after} on {started.environment}: {', '.join(event.steps)}",
                      event.verdict.reason, outcome=event.verdict.outcome, at=event.at, details=_symptoms(event), **common)  # fmt: skip
    if isinstance(event, events.RunEnded):
        return _ended(event, started, common)
    return None


def _ended(event: events.RunEnded, started: events.RunStarted, common: dict[str, str]) -> Notice:
    """The end of a run: news about a rollback where something was, or could not be, rolled back."""
    back = started.kind == "rollback" or {"undone", "stands"} & set(event.hosts.values())
    if event.outcome == "rollback failed":
        title, level = f"the rollback on {started.environment} did not end well", "worst"
    elif event.outcome == "gate failed":
        title, level = f"rolled back on {started.environment}", "bad"
    elif started.kind == "rollback":
        title, level = (
            f"a rollback on {started.environment} ended: {event.outcome}",
            "good" if event.code == 0 else "bad",
        )
    else:
        title, level = (
            f"{started.kind} on {started.environment} ended: {event.outcome}",
            "good" if event.code == 0 else "bad",
        )
    hosts = tuple(f"{host}: {ending}" for host, ending in event.hosts.items())
    text = event.message + (f" ({event.mend})" if event.mend else "")
    return Notice("rollback" if back else "run", level, title, text, outcome=event.outcome, at=event.at,  # type: ignore[arg-type]
                  details=_few(hosts), **common)  # fmt: skip


def _soak(event: events.SoakEnded) -> Notice:
    word = {"pass": "passed", "fail": "failed", "inconclusive": "is inconclusive"}[event.outcome]
    return Notice("soak", "good" if event.outcome == "pass" else "bad", f"the soak on {event.environment} {word}", event.reason,
                  event.environment, event.outcome, event.at, run=event.run, phase=event.phase, details=_few(event.details))  # fmt: skip


def _symptoms(event: events.GateEnded) -> tuple[str, ...]:
    lines = [
        f"{each.host} {each.service}: {each.state}" + (f"; check: {each.health_log[-1]}" if each.health_log else "")
        for each in event.symptoms
    ]
    return _few(tuple(lines))


def _few(lines: tuple[str, ...]) -> tuple[str, ...]:
    left = len(lines) - SHOWN
    return lines if left <= 0 else (*lines[:SHOWN], f"and {left} more")
