"""News reaches real receivers (an HTTP and an SMTP server on loopback), holds no secret, and never holds a run up."""

from __future__ import annotations

import email
import json
import socket
import time
from email.policy import default

import pytest
from aiosmtpd.controller import Controller

from checks.model import Verdict
from inventory import receivers
from inventory.errors import InputError
from inventory.secrets import MASKED, Mask
from runbooks import events
from runbooks.notices import notice
from runbooks.notifier import Notifier, telling
from tests.runbooks.bench import content, make_bench
from tests.runbooks.receiver import TOKEN, Web

pytestmark = pytest.mark.slow

SECRET = "hunter22-very-secret"
STARTED = events.RunStarted(
    run="run-1", kind="migrate", environment="staging", who="eve@laptop", batches=(("web-1",),), phase="1"
)


@pytest.fixture
def web():
    made = Web()
    yield made
    made.stop()


@pytest.fixture
def smtp():
    """A mail server; its `got` are (from, to, message)."""

    class Handler:
        async def handle_DATA(self, _server, _session, envelope):
            handler.got.append(
                (envelope.mail_from, envelope.rcpt_tos, email.message_from_bytes(envelope.content, policy=default))
            )
            return "250 OK"

    handler = Handler()
    handler.got = []
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made = Controller(handler, hostname="127.0.0.1", port=port)
    made.start()
    handler.port = port
    yield handler
    made.stop()


@pytest.fixture
def bench(tmp_path, monkeypatch):
    return make_bench(tmp_path, monkeypatch)


def parsed(*entries):
    return receivers.parse(entries)


def sent(found, mask, *told):
    """What a notifier said that did not arrive, after these events."""
    said = []
    notifier = Notifier(found, mask, said.append)
    for event in told:
        notifier(event)
    notifier.close(60)
    return said


def failed_gate(reason="container:web on web-1 failed: unhealthy", **more):
    symptom = events.Symptom("web-1", "web", "running, unhealthy", health_log=("exit 1: refused",))
    return events.GateEnded(
        steps=("health checks",), hosts=("web-1",), verdict=Verdict("fail", reason, 3, 6.0, ()), symptoms=(symptom,), **more
    )  # fmt: skip


def ended(outcome="gate failed", code=3, **hosts):
    return events.RunEnded(
        run="run-1",
        outcome=outcome,
        code=code,
        hosts=hosts or {"web-1": "undone"},
        seconds=9.0,
        message="why",
        mend="mend it",
    )


def test_a_run_whose_gate_fails_tells_of_the_gate_and_of_the_rollback(bench, web):
    folder = bench.host()
    before = content(folder)
    said = []
    bench.on = notifier = Notifier(parsed({"url": web.url}), Mask(), said.append)
    assert bench.migrate(bench.plan("\n# web is unhealthy")) == 3
    notifier.close(60)
    assert content(folder) == before and said == []
    gate, rollback = [document for _, _, document in web.got]
    assert (gate["kind"], gate["level"], gate["outcome"]) == ("gate", "bad", "fail")
    assert gate["title"] == "a gate failed on staging: step 1"
    assert "container:web on web-1 failed: unhealthy" in gate["text"] and any(
        "web-1 web: " in line for line in gate["details"]
    )
    assert (rollback["kind"], rollback["title"]) == ("rollback", "rolled back on staging")
    assert rollback["details"] == ["web-1: undone"] and rollback["run"] == "run-1" and rollback["who"] == "eve@laptop"
    assert set(gate) == {
        "source",
        "kind",
        "level",
        "title",
        "text",
        "environment",
        "outcome",
        "at",
        "run",
        "phase",
        "who",
        "details",
    }


def test_a_run_that_ends_well_is_no_news_but_for_those_who_ask_for_runs(bench, web):
    bench.host()
    with telling(parsed({"url": web.url}, {"url": web.url + "-all", "about": ["run"]}), Mask(), print) as news:
        bench.on = news
        assert bench.migrate(bench.plan("\n# one")) == 0
    assert [(path.rpartition("-")[2], document["outcome"]) for path, _, document in web.got] == [
        ("all", "started"),
        ("all", "done"),
    ]


def test_slack_and_its_like_get_one_text_without_markup_of_the_hosts(web):
    found = parsed({"url": web.url, "form": "slack"})
    assert sent(found, Mask(), STARTED, failed_gate("<!channel> & more")) == []
    ((_, kind, document),) = web.got
    assert kind == "application/json" and set(document) == {"text"}
    assert document["text"].startswith(
        "⚠️ *a gate failed on staging: health checks*\n&lt;!channel&gt; &amp; more\nweb-1 web: running"
    )


def test_a_mail_says_what_failed_and_where(smtp):
    url = f"mailto://127.0.0.1:{smtp.port}/?from=runbook@example.com&to=ops@example.com"
    assert sent(parsed({"url": url}), Mask(), STARTED, failed_gate(), ended("rollback failed", 6, a="stands")) == []
    (sender, to, gate), (_, _, rollback) = smtp.got
    assert (sender, to) == ("runbook@example.com", ["ops@example.com"])
    assert gate["Subject"] == "Compose Runbook: a gate failed on staging: health checks"
    assert "exit 1: refused" in gate.get_body(("plain", "html")).get_content()
    assert rollback["Subject"] == "Compose Runbook: the rollback on staging did not end well"


def test_a_soaks_verdict_is_news_without_a_run(web):
    event = events.SoakEnded(
        soak="soak-1", environment="staging", outcome="pass", reason="2703 of 2703 good", run="run-1", phase="1"
    )
    assert sent(parsed({"url": web.url}), Mask(), event) == []
    assert (web.got[0][2]["kind"], web.got[0][2]["title"], web.got[0][2]["run"]) == (
        "soak",
        "the soak on staging passed",
        "run-1",
    )


def test_no_secret_reaches_a_receiver_and_no_url_reaches_the_screen(web, smtp):
    mask, mail = Mask(), f"mailto://eve:{SECRET}@127.0.0.1:{smtp.port}/?from=runbook@example.com&to=ops@example.com"
    mask.add(SECRET)
    told = (STARTED, failed_gate(f"psql postgres://app:s3cr3t-too@db/x said {SECRET}"))
    assert sent(parsed({"url": web.url}, {"url": web.url, "form": "slack"}), mask, *told) == []
    for _, _, document in web.got:
        assert (
            SECRET not in json.dumps(document)
            and "s3cr3t-too" not in json.dumps(document)
            and MASKED in json.dumps(document)
        )
    web.codes = [404]
    said = sent(parsed({"name": "chat", "url": web.url}, {"url": mail}, {"url": f"nonsense://{TOKEN}"}), Mask(), *told)
    assert "chat was not told 1 of 1 message(s): it answered 404" in said
    assert any("is no address that a message can be sent to" in line for line in said)
    assert TOKEN not in " ".join(said) and SECRET not in " ".join(said) and "127.0.0.1" not in " ".join(said)
    assert all(SECRET not in str(message) for _, _, message in smtp.got)


def test_a_dead_receiver_does_not_stop_a_run_and_is_said_at_its_end(bench, web, capfd):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{free.getsockname()[1]}/hook/{TOKEN}"
    mail = dead.replace("http://", "mailto://").replace(f"/hook/{TOKEN}", "/?from=a@example.com&to=b@example.com")
    bench.host()
    said = []
    found = parsed({"name": "dead", "url": dead}, {"name": "mail", "url": mail}, {"url": web.url})
    bench.on = notifier = Notifier(found, Mask(), said.append)
    assert bench.migrate(bench.plan("\n# web is unhealthy")) == 3
    notifier.close(60)
    assert len(web.got) == 2
    assert sorted(said) == [
        "dead was not told 2 of 2 message(s): no connection", "mail was not told 2 of 2 message(s): it did not take the message",
    ]  # fmt: skip
    shown = capfd.readouterr()
    assert shown.out + shown.err == ""


def test_a_receiver_that_never_answers_delays_nothing_but_the_end_and_that_within_bounds(bench, web):
    web.holds = True
    folder = bench.host()
    said = []
    notifier = Notifier(parsed({"name": "slow", "url": web.url}), Mask(), said.append)
    bench.on = notifier
    assert bench.migrate(bench.plan("\n# web is unhealthy")) == 3  # while the receiver holds the first message
    assert web.arrived.wait(60) and len(web.got) == 1
    assert b"unhealthy" not in (folder / "docker-compose.yml").read_bytes()
    begin = time.monotonic()
    assert notifier.close(0.2) is False
    assert time.monotonic() - begin < 60
    assert said == ["slow was not told 2 of 2 message(s): no answer yet"]


def test_what_certainly_did_not_arrive_is_tried_once_more_and_nothing_else_is(web):
    web.codes = [503, 200, 500]
    assert sent(parsed({"url": web.url}), Mask(), STARTED, failed_gate()) == []
    assert len(web.got) == 2
    assert sent(parsed({"name": "a", "url": web.url}), Mask(), STARTED, failed_gate()) == [
        "a was not told 1 of 1 message(s): it answered 500"
    ]
    assert len(web.got) == 3


def test_a_redirect_is_not_followed(web):
    web.codes = [302]
    assert sent(parsed({"name": "a", "url": web.url}), Mask(), STARTED, failed_gate()) == [
        "a was not told 1 of 1 message(s): it answered 302"
    ]
    assert len(web.got) == 1


def test_a_url_comes_from_where_secrets_do_and_one_that_cannot_be_had_stops_nothing(web, monkeypatch):
    monkeypatch.setenv("WEBHOOK", web.url)
    monkeypatch.delenv("NOT_THERE", raising=False)
    mask = Mask()
    found = parsed({"url": {"from_env": "WEBHOOK"}}, {"name": "gone", "url": {"from_env": "NOT_THERE"}}, {"url": {"from_command": f"echo {web.url}"}})  # fmt: skip
    said = sent(found, mask, STARTED, failed_gate())
    assert len(web.got) == 2
    assert said == ["gone will not be told: notify.gone.url: NOT_THERE is not set (export it, or name another source)"]
    assert mask.hide(f"at {web.url}") == f"at {MASKED}"


@pytest.mark.parametrize(
    ("event", "kind", "level", "title"),
    [
        (ended(), "rollback", "bad", "rolled back on staging"),
        (ended("rollback failed", 6, a="stands"), "rollback", "worst", "the rollback on staging did not end well"),
        (ended("interrupted", 130), "rollback", "bad", "migrate on staging ended: interrupted"),
        (ended("done", 0, a="changed"), "run", "good", "migrate on staging ended: done"),
        (ended("inconclusive", 7, a="paused"), "run", "bad", "migrate on staging ended: inconclusive"),
        (failed_gate(after="undo"), "gate", "bad", "a gate failed after the undo on staging: health checks"),
    ],
)
def test_what_news_is_called(event, kind, level, title):
    found = notice(event, STARTED)
    assert (found.kind, found.level, found.title) == (kind, level, title)


def test_many_hosts_are_told_in_few_lines():
    found = notice(ended(**{f"web-{number}": "undone" for number in range(40)}), STARTED)
    assert len(found.details) == 9 and found.details[-1] == "and 32 more"


# entries of notify, key, words of the message, words of the mend
BAD = {
    "text": (["https://x"], "notify.1", "must be a mapping", "name, url"),
    "no address": ([{"name": "x"}], "notify.1", "has no url", "url:"),
    "an empty address": ([{"url": ""}], "notify.1.url", "is no address", "from_env"),
    "a number": ([{"url": 5}], "notify.1.url", "is no address", "from_env"),
    "two sources": ([{"url": {"from_env": "A", "from_command": "b"}}], "notify.1.url", "is no address", "from_env"),
    "a source misspelt": ([{"url": {"from_envv": "A"}}], "notify.1.url.from_envv", "unknown key", "from_env?"),
    "a key misspelt": ([{"url": "https://x", "abuot": ["gate"]}], "notify.1.abuot", "unknown key", "about?"),
    "another form": ([{"url": "https://x", "form": "slak"}], "notify.1.form", "'slak' is not known", "slack?"),
    "other news": ([{"url": "https://x"}, {"url": "https://x", "about": ["gates"]}], "notify.2.about", "not known", "gate?"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_receiver_is_one_line_with_place_and_mend(case):
    given, key, words, mend = BAD[case]
    with pytest.raises(InputError) as caught:
        receivers.parse(given, "shop.yml", 7)
    error = caught.value
    assert (error.path, error.line, error.key) == ("shop.yml", 7, key)
    assert words in error.message and mend in error.mend and "https://" not in str(error)
