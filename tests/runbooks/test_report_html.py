"""The report as one file, laid out by a real browser: light and dark, wide and on a phone, and without any network."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from html.parser import HTMLParser

import pytest

from checks.evidence import Store
from checks.report import gather
from inventory.errors import InputError
from inventory.secrets import MASKED, Mask
from lab import browser, sample
from runbooks import report_html, soaking, whole

pytestmark = pytest.mark.slow

STORIES = {
    "pass": sample.Story(hours=30, every_s=300, outage=(20.0, 20.03)),
    "fail": sample.Story(hours=6, every_s=60, bad=20),
    "inconclusive": sample.Story(hours=6, every_s=60, away=(2.0, 5.0), outage=(0.0, 0.0)),
}


def made(store, story):
    soak = sample.fill(store, story)
    soak = soaking.ended(store, soak)
    return gather(store, soaking.assessed(store, soak))


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """outcome -> a report with it."""
    found = {}
    for name, story in STORIES.items():
        store = Store(f"sqlite:///{tmp_path_factory.mktemp('store')}/evidence.sqlite")
        found[name] = made(store, story)
        store.close()
    return found


@pytest.fixture(scope="module")
def pages(reports, tmp_path_factory):
    """outcome -> its page."""
    folder = tmp_path_factory.mktemp("pages")
    for name, report in reports.items():
        (folder / f"{name}.html").write_text(report_html.page(report, (), Mask()))
    return {name: folder / f"{name}.html" for name in reports}


class Reader(HTMLParser):
    """Checks that tags close, and keeps text and attributes."""

    VOID = ("meta", "link", "br", "rect", "path")

    def __init__(self, text):
        super().__init__()
        self.open, self.text, self.attributes = [], "", []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.attributes += [(tag, name, value) for name, value in attributes]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.attributes += [(tag, name, value) for name, value in attributes]

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("outcome", STORIES)
def test_the_verdict_stands_first_then_the_five_metrics_then_the_rest(reports, pages, outcome):
    assert reports[outcome].found.outcome == outcome
    text = pages[outcome].read_text()
    read = re.sub(r"\s+", " ", Reader(text).text)
    verdict = {"pass": "passed", "fail": "failed", "inconclusive": "is inconclusive"}[outcome]
    order = [f"The soak of sample {verdict}", reports[outcome].found.reason, "Five metrics", "start-up time", "health success",
             "pool utilisation", "breaker trips", "resource utilisation", "Timeline", "Hosts and probes", "answers:backend", "Incidents",
             "Start-up times"]  # fmt: skip
    places = [read.index(words) for words in order[:2]]
    for words in order[2:]:
        places.append(read.index(words, places[-1]))
    assert places == sorted(places)
    for target in ("under 5 min", "over 99.9 %", "60-80 %", "under 1 a day"):
        assert f"target {target}" in read


@pytest.mark.parametrize("outcome", STORIES)
def test_the_file_asks_for_nothing_from_anywhere(pages, outcome):
    text = pages[outcome].read_text()
    assert not re.search(r"https?://|//[a-z]|url\((?!data:)|@import|<script|<iframe|<img", text)
    addresses = [
        value for _, name, value in Reader(text).attributes if name in ("src", "href", "srcset", "action", "data")
    ]
    assert addresses == ["data:,"]
    assert "default-src 'none'" in text
    assert len(text) < 300_000


def test_curves_have_the_figures_that_were_measured(reports):
    curves = {curve.metric.name: curve for curve in reports["fail"].curves}
    health = curves["health"]
    assert health.metric.value == pytest.approx(100 * reports["fail"].found.good / reports["fail"].found.measured)
    assert all(span.low <= span.mid <= span.high for curve in curves.values() for span in curve.spans)
    assert min(span.low for span in health.spans) == pytest.approx(200 / 3)
    assert 100 * 13 / 14 <= min(span.mid for span in health.spans) < 100
    trips = [span.mid for span in {curve.metric.name: curve for curve in reports["pass"].curves}["breakers"].spans]
    assert trips[0] == 0 and trips[-1] == 1 and trips == sorted(trips)


def test_the_timeline_tells_runs_incidents_and_when_nobody_looked(reports):
    bars = {name: [(bar.lane, bar.kind) for bar in report.bars] for name, report in reports.items()}
    assert ("runs", "good") in bars["pass"] and ("gates", "good") in bars["pass"] and ("steps", "good") in bars["pass"]
    assert ("app-1", "bad") in bars["pass"] and ("app-2", "bad") not in bars["pass"]
    assert {lane for lane, kind in bars["fail"] if kind == "bad"} == {"app-1", "app-2"}
    (gap,) = [bar for bar in reports["inconclusive"].bars if bar.kind == "gap"]
    assert (gap.begin, gap.end) == pytest.approx((2 * 3600, 5 * 3600), abs=2 * reports["inconclusive"].span_s)
    assert not [bar for bar in reports["pass"].bars if bar.kind == "gap"]
    runs = [bar for bar in reports["pass"].bars if bar.lane == "runs"]
    assert len(runs) == 1 and runs[0].begin == -900  # those of the week before are not on it


def test_a_soak_that_runs_and_has_measured_nothing_has_a_page_too(tmp_path):
    store = Store(f"sqlite:///{tmp_path}/evidence.sqlite")
    soak = sample.fill(store, sample.Story(hours=1, away=(0.0, 1.0)))
    found = soaking.assessed(store, soak, soak.begin + timedelta(minutes=10))
    text = report_html.page(gather(store, found), (), Mask())
    store.close()
    read = Reader(text).text
    assert "The soak of sample is running" in read and "could pass" in read and "nothing was measured" in read


def test_what_hosts_say_is_text_and_no_markup_and_secrets_are_hidden(reports):
    mask = Mask()
    mask.add("hunter22-very-secret")
    overrides = (("run-<b>9</b>", "<script>alert(1)</script> & hunter22-very-secret"),)
    text = report_html.page(reports["fail"], overrides, mask)
    assert "<script" not in text and "hunter22" not in text and MASKED in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; ********" in text


def test_a_share_below_100_is_never_told_as_100(reports):
    assert reports["pass"].found.success < 1
    assert re.search(
        r'class="value">99\.9',
        report_html.page(reports["pass"], (), Mask(), made=datetime.fromisoformat("2026-03-05T00:00+00:00")),
    )


def test_a_report_is_written_whole_or_not_at_all(tmp_path):
    whole.write(tmp_path / "a.html", "page", key="--html", mode=0o666)
    assert (tmp_path / "a.html").read_text() == "page" and [path.name for path in tmp_path.iterdir()] == ["a.html"]
    with pytest.raises(InputError, match=r"--html: cannot be written: .* \(name a file"):
        whole.write(tmp_path / "absent" / "a.html", "page", key="--html")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        whole.write(tmp_path / "folder.html", "page", key="--html")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "folder.html"]


def luminance(colour):
    """How light a colour of CSS is, from 0 to 1 (WCAG 2)."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(("outcome", "width", "dark"), [("fail", 360, True), ("inconclusive", 1280, False)])
def test_a_browser_lays_it_out_readable_and_within_the_screen(pages, tmp_path, outcome, width, dark):
    if browser.program() is None:
        pytest.skip("no browser on this machine: apt-get install chromium")
    found = browser.measure(pages[outcome], width, dark=dark)
    assert found["width"] == width and found["beyond"] == [], "something stands beyond the right edge"
    assert found["headings"][1:] == ["Five metrics", "Timeline", "Hosts and probes", "Incidents", "Start-up times"]
    paper, ink = luminance(found["paper"]), luminance(found["ink"])
    assert (paper < ink) == dark
    assert (max(paper, ink) + 0.05) / (min(paper, ink) + 0.05) > 7
    assert len(found["charts"]) == 5 and all(w > 200 and h > 80 for w, h in found["charts"])
    assert found["bars"] > 0 and found["rows"] > 20 and found["fetched"] == []
    browser.picture(pages[outcome], tmp_path / "page.png", width, 800, dark=dark)
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG") and (
        tmp_path / "page.png"
    ).stat().st_size > 20_000
