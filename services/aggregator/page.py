"""The page for people: one table that says in words and colour how each service is, without a script."""

from __future__ import annotations

from html import escape

from services.aggregator.asking import Answer, Round

REFRESH_S = 10
HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'", "X-Content-Type-Options": "nosniff"}  # fmt: skip
STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1c2126; --line: #d5dade; --faint: #5b656e;
  --healthy: #1a7f37; --degraded: #9a6700; --unhealthy: #c62828 }
@media (prefers-color-scheme: dark) { :root { --paper: #14181c; --ink: #e4e8eb; --line: #333b42; --faint: #9aa5ae;
  --healthy: #4ac26b; --degraded: #d9a520; --unhealthy: #ff7b72 } }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif }
main { max-width: 44rem; margin: 0 auto; padding: 1.5rem 1rem }
h1 { font-size: 1.5rem; margin: 0 } p { color: var(--faint); margin: .25rem 0 1.25rem }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: .5rem .75rem .5rem 0; border-bottom: 1px solid var(--line) }
th { font-weight: 600 } th.number, td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
td, th { overflow-wrap: anywhere } .healthy { color: var(--healthy) } .degraded { color: var(--degraded) } .unhealthy { color: var(--unhealthy) }
small { color: var(--faint) }
"""
WORDS = {
    "healthy": "All services are well",
    "degraded": "Degraded: only services that the rest can do without are down",
    "unhealthy": "Unhealthy",
}


def render(found: Round) -> str:
    """The page of one round, as HTML."""
    rows = "\n".join(_row(answer) for answer in sorted(found.answers, key=lambda answer: answer.ok))
    well = sum(answer.ok for answer in found.answers)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="{REFRESH_S}"><title>{found.status}: {well} of {len(found.answers)} services</title>
<style>{STYLE}</style></head><body><main>
<h1 class="{found.status}">{WORDS[found.status]}</h1>
<p>{well} of {len(found.answers)} services answer. Asked {found.at:%Y-%m-%d %H:%M:%S} UTC, all at once, in {found.seconds * 1000:.0f} ms;
this page asks again every {REFRESH_S} seconds.</p>
<table><thead><tr><th scope="col">Service</th><th scope="col">Status</th><th scope="col" class="number">Time</th></tr></thead><tbody>
{rows}
</tbody></table></main></body></html>
"""


def _row(answer: Answer) -> str:
    status = "healthy" if answer.ok else "degraded" if answer.check.optional else "unhealthy"
    word = "healthy" if answer.ok else "down"
    more = escape(answer.reason)
    if answer.ok and answer.value is not None:
        more = (
            f"{answer.value} connections" if answer.check.kind == "postgres" else f"{answer.value / (1 << 20):.0f} MB"
        )
    optional = " <small>optional</small>" if answer.check.optional else ""
    return (
        f"<tr><th scope='row'>{escape(answer.check.service)}{optional}</th>"
        f"<td><span class='{status}'>{word}</span> <small>{more}</small></td>"
        f"<td class='number'>{answer.seconds * 1000:.0f} ms</td></tr>"
    )
