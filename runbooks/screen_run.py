"""What people see of a run: one line an event as it happens, and a failing gate's symptoms. Also the sinks for machines."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from checks.evidence import GateRecord, RunRecord, StepRecord, Store, UpRecord
from inventory.errors import RunbookError
from inventory.secrets import Mask
from runbooks import events
from runbooks.lines import PlainConsole
from runbooks.screen_fleet import FEW, Folded

if TYPE_CHECKING:
    from rich.console import Console

STYLES = {
    "changed": "green",
    "undone": "yellow",
    "unchanged": "dim",
    "skipped": "dim",
    "paused": "yellow",
    "failed": "red",
    "stands": "bold red",
}


def some(hosts: Sequence[str]) -> str:
    """Hosts in one line that can be read: all of a few, the first and how many there are of a fleet."""
    if len(hosts) <= FEW:
        return ", ".join(hosts)
    return f"{', '.join(hosts[:3])} ... {hosts[-1]} ({len(hosts)} hosts)"


class RunScreen:
    """A sink that prints. Each event is a line, so that a log reads as the screen did; in a large fleet, what goes well counts."""

    def __init__(self, console: Console | PlainConsole, mask: Mask) -> None:
        self._console, self._mask, self._lock = console, mask, threading.Lock()
        self._folded = Folded()
        self.counts = True
        """Whether a line each tenth of the way says how far the run is."""

    def reading(self, hosts: int) -> None:
        """So many hosts are read from now on."""
        self._folded.reading(hosts, time.monotonic())

    def __call__(self, event: events.Event) -> None:
        teller = getattr(self, "_" + events.name(event), None)
        with self._lock:
            line = self._folded.line(event, time.monotonic())
            if teller is not None and not self._folded.folds(event):
                teller(event)
            if line and self.counts:
                self._say(line, "dim")

    def _say(self, text: str, style: str = "") -> None:
        self._console.print(
            self._mask.hide(text), style=style or None, markup=False, soft_wrap=not self._console.record
        )

    def _run_started(self, event: events.RunStarted) -> None:
        what = f"phase {event.phase}" if event.kind == "migrate" else event.phase
        self._say(f"{event.kind} {what} on {event.environment}: run {event.run}", "bold")
        if event.override:
            self._say(f"  override: {event.override}", "yellow")

    def _batch_started(self, event: events.BatchStarted) -> None:
        self._say(f"batch {event.number} of {event.of}: {some(event.hosts)}", "bold")

    def _noted(self, event: events.Noted) -> None:
        self._say(f"  {event.host}  {event.text}", "yellow" if event.attention else "dim")

    def _hook_ran(self, event: events.HookRan) -> None:
        if event.ok:
            self._say(f"  {event.host}  {event.when} the batch: {event.name} ({event.seconds:.1f} s)", "dim")
            return
        goes = "" if event.stops else "; the run goes on"
        self._say(f"  {event.host}  {event.when} the batch: {event.name} failed: {event.detail}{goes}", "red")
        for line in event.output.splitlines()[-4:]:
            self._say(f"      {line}", "dim")

    def _step_started(self, event: events.StepStarted) -> None:
        away = f", {len(event.services)} restart(s)" if event.services else ""
        self._say(
            f"  {event.host}  {event.number}/{event.of} {', '.join(event.steps)}: {len(event.files)} file(s){away}"
        )

    def _files_written(self, event: events.FilesWritten) -> None:
        self._say(f"  {event.host}  written in {event.seconds:.2f} s, snapshot {event.snapshot}", "dim")

    def _service_up(self, event: events.ServiceUp) -> None:
        if event.ok:
            self._say(
                f"  {event.host}  [{event.number:2}/{event.of}] {event.service}: healthy after {event.seconds:.1f} s"
            )
            return
        self._say(
            f"  {event.host}  [{event.number:2}/{event.of}] {event.service}: did not get healthy in {event.seconds:.1f} s",
            "red",
        )
        for line in event.output.splitlines()[-4:]:
            self._say(f"      {line}", "dim")

    def _gate_started(self, event: events.GateStarted) -> None:
        after = " after the undo" if event.after == "undo" else ""
        self._say(
            f"  gate{after}: {event.probes} probes each {event.gate.interval_s:g} s for {event.gate.window_s:g} s"
        )

    def _gate_round(self, event: events.GateRound) -> None:
        for failing in event.failing:
            word = "unknown" if failing.unknown else "failed"
            self._say(
                f"      {failing.host} {failing.probe}: {word}: {failing.detail}",
                "yellow" if failing.unknown else "red",
            )

    def _gate_ended(self, event: events.GateEnded) -> None:
        style = {"pass": "green", "fail": "red", "inconclusive": "yellow"}[event.verdict.outcome]
        self._say(f"  gate: {event.verdict.outcome} after {event.verdict.seconds:.0f} s: {event.verdict.reason}", style)
        for symptom in event.symptoms:
            self._say(f"      {symptom.host} {symptom.service}: {symptom.state}", "red")
            for line in symptom.health_log:
                self._say(f"        check: {line}", "dim")
            for line in symptom.log:
                self._say(f"        log:   {line}", "dim")

    def _step_undone(self, event: events.StepUndone) -> None:
        files = ", ".join(path.rsplit("/", 1)[-1] for path in event.paths)
        if event.ok:
            self._say(
                f"  {event.host}  undone in {event.seconds:.1f} s: {', '.join(event.steps)} ({files} as before)",
                "yellow",
            )
        else:
            self._say(f"  {event.host}  NOT undone: {', '.join(event.steps)}: {event.detail}", "bold red")

    def _host_failed(self, event: events.HostFailed) -> None:
        self._say(f"  {event.host}  {event.error}" + (f" ({event.mend})" if event.mend else ""), "red")

    def _host_ended(self, event: events.HostEnded) -> None:
        self._say(f"  {event.host}  {event.ending} ({event.seconds:.0f} s)", STYLES[event.ending])

    def _run_ended(self, event: events.RunEnded) -> None:
        counts: dict[str, int] = {}
        for ending in event.hosts.values():
            counts[ending] = counts.get(ending, 0) + 1
        told = ", ".join(f"{count} {ending}" for ending, count in counts.items()) or "no host"
        self._say(f"{event.outcome} in {event.seconds:.0f} s: {told}", "bold green" if event.code == 0 else "bold red")
        if event.message:
            self._say(f"  {event.message}" + (f" ({event.mend})" if event.mend else ""))


class JsonLines:
    """A sink that writes each event as a line of JSON when it happens, masked, for another program to follow."""

    def __init__(self, write: Callable[[str], None], mask: Mask) -> None:
        self._write, self._mask, self._lock = write, mask, threading.Lock()

    def __call__(self, event: events.Event) -> None:
        text = json.dumps(self._mask.hide_in(events.as_json(event)), ensure_ascii=False)
        with self._lock:
            self._write(text + "\n")


class Collector:
    """A sink that keeps every event, for `--json`."""

    def __init__(self) -> None:
        self.events: list[events.Event] = []
        self._lock = threading.Lock()

    def __call__(self, event: events.Event) -> None:
        with self._lock:
            self.events.append(event)

    @property
    def endings(self) -> Mapping[str, str]:
        """How the run left each host; empty before its end."""
        return next((event.hosts for event in reversed(self.events) if isinstance(event, events.RunEnded)), {})

    def document(self, mask: Mask) -> str:
        """One JSON document of the whole run, masked."""
        found = [events.as_json(event) for event in self.events]
        end: dict[str, Any] = next((entry for entry in reversed(found) if entry["event"] == "run_ended"), {})
        whole = {
            "run": end.get("run"),
            "outcome": end.get("outcome"),
            "code": end.get("code"),
            "hosts": end.get("hosts", {}),
            "events": found,
        }
        return json.dumps(mask.hide_in(whole), ensure_ascii=False, indent=2)


class Recorder:
    """A sink that keeps a run's story in the evidence store.

    A run whose begin cannot be written down does not begin. Once it goes on, a store that fails takes nothing from it:
    it is carried to its end, and `warn` says once what is missing.
    """

    def __init__(
        self, store: Store, mask: Mask, *, undoes: str = "", warn: Callable[[str], None] = lambda _: None
    ) -> None:
        self._store, self._mask, self._undoes, self._run = store, mask, undoes, ""
        self._warn, self._warned = warn, False
        self._steps: list[StepRecord] = []
        self._heads: list[tuple[str, str, str]] = []

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, events.RunStarted):
            self._run = event.run
            self._store.start(RunRecord(
                event.run, event.kind, event.environment, event.phase, event.who, event.fingerprint, event.promotion_key, event.at, None,
                "", None, "", {}, self._undoes, ", ".join(event.steps), self._mask.hide(event.override),
            ))  # fmt: skip
        elif self._run:
            try:
                self._keep(event)
            except RunbookError as error:
                if not self._warned:
                    self._warned = True
                    self._warn(f"the run goes on, but not all of it is kept as evidence: {error}")

    def _keep(self, event: events.Event) -> None:
        run, at, hide = self._run, event.at, self._mask.hide
        match event:
            case events.GateEnded():
                verdict, results = event.verdict, event.verdict.results
                self._store.gate(GateRecord(
                    run, at, ", ".join(event.steps), event.after, verdict.outcome, hide(verdict.reason),
                    sum(r.ok for r in results), sum(r.failed for r in results), sum(r.unknown for r in results), verdict.seconds,
                ))  # fmt: skip
            case events.ServiceUp():
                self._store.up(UpRecord(run, at, event.host, event.service, event.ok, event.seconds))
            case events.StepDone():
                self._steps.append(StepRecord(run, at, event.host, ", ".join(event.steps), "done", event.seconds))
            case events.StepUndone():
                outcome = "undone" if event.ok else "stands"
                told = hide(event.detail or event.why)
                self._store.step(StepRecord(run, at, event.host, ", ".join(event.steps), outcome, event.seconds, told))
            case events.HostEnded():
                if event.head:
                    self._heads.append((event.host, event.project, event.head))
            case events.BatchStarted():
                self._keep_together()
            case events.RunEnded():
                try:
                    self._keep_together()
                finally:
                    self._store.end(
                        run,
                        outcome=event.outcome,
                        code=event.code,
                        message=hide(event.message),
                        hosts=dict(event.hosts),
                    )

    def _keep_together(self) -> None:
        """What comes host by host at the end of a batch is one transaction, not one a host: each waits for the disk."""
        steps, self._steps = self._steps, []
        heads, self._heads = self._heads, []
        self._store.step(*steps)
        self._store.heads(heads)
