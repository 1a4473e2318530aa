"""Tells receivers the news of a run: a sink beside screen and store, that neither stops nor delays what it tells of.

Each receiver has a thread of its own. At the end of a run what is still on its way is waited for, no longer than
`BOUND_S` in all; what did not arrive is said in one line, without the receiver's URL.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from inventory.errors import InputError
from inventory.receivers import Receiver
from inventory.secrets import Mask
from runbooks import events
from runbooks.notices import Notice, notice

BOUND_S = 10.0
CONNECT_S, ANSWER_S = 5.0, 8.0
AGAIN_S = 1.0
"""Seconds before the one second try of what certainly did not arrive."""
MOST = 1000
"""Messages that wait for a receiver at most; a run has a handful."""
LATER = (429, 502, 503, 504)

Send = Callable[[Notice], str]
"""Sends one notice; returns why it did not arrive, empty when it did."""


class Notifier:
    """The sink. Events may come from several threads."""

    def __init__(self, receivers: Sequence[Receiver], mask: Mask, warn: Callable[[str], None]) -> None:
        self._mask, self._warn, self._started = mask, warn, None
        self._lines: list[_Line] = []
        for receiver in receivers:
            try:
                self._lines.append(_Line(receiver, sender(receiver, mask)))
            except InputError as error:
                warn(f"{receiver.name} will not be told: {error}")

    _started: events.RunStarted | None

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, events.RunStarted):
            self._started = event
        found = notice(event, self._started)
        if found is not None:
            self.tell(found)

    def tell(self, found: Notice) -> None:
        """Hands a notice to those who want news of its kind; returns at once."""
        for line in self._lines:
            if found.kind == "trial" or found.kind in line.receiver.about:
                line.put(found)

    def close(self, bound_s: float = BOUND_S) -> bool:
        """Waits for what is on its way, so many seconds at most, and says what did not arrive. True: all arrived."""
        until = time.monotonic() + bound_s
        for line in self._lines:
            line.end()
        said = [said for line in self._lines if (said := line.outcome(until - time.monotonic()))]
        for text in said:
            self._warn(self._mask.hide(text))
        return not said


class _Line:
    """One receiver's queue and thread."""

    def __init__(self, receiver: Receiver, send: Send) -> None:
        self.receiver, self._send = receiver, send
        self._waiting: queue.Queue[Notice | None] = queue.Queue(MOST)
        self._put, self._arrived, self._why = 0, 0, ""
        # A daemon: a receiver that never answers must not keep the program from ending.
        self._thread = threading.Thread(target=self._work, name=f"notify {receiver.name}", daemon=True)
        self._thread.start()

    def put(self, found: Notice) -> None:
        self._put += 1
        try:
            self._waiting.put_nowait(found)
        except queue.Full:
            self._why = "too many messages wait for it"

    def end(self) -> None:
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            return

    def outcome(self, seconds: float) -> str:
        """What did not arrive, in one line; waits so many seconds for the rest."""
        self._thread.join(max(0.0, seconds))
        lost = self._put - self._arrived
        if not lost:
            return ""
        why = "no answer yet" if self._thread.is_alive() else self._why
        return f"{self.receiver.name} was not told {lost} of {self._put} message(s): {why}"

    def _work(self) -> None:
        while (found := self._waiting.get()) is not None:
            try:
                said = self._send(found)
            except Exception as error:
                # Whatever a receiver or a library does, its words may hold the URL: only the kind of error is told.
                said = f"{type(error).__name__}"
            self._arrived += not said
            self._why = said or self._why


@contextmanager
def telling(receivers: Sequence[Receiver], mask: Mask, warn: Callable[[str], None]) -> Iterator[Notifier]:
    """A notifier for the time of a command."""
    made = Notifier(receivers, mask, warn)
    try:
        yield made
    except KeyboardInterrupt:
        made.close(0)  # whoever leaves at once does not wait for a message
        raise
    except BaseException:
        made.close()
        raise
    made.close()


def sender(receiver: Receiver, mask: Mask) -> Send:
    """What sends notices to a receiver, each masked. Raises InputError for an address that nothing can be sent to."""
    url = receiver.url(mask)
    scheme = url.partition("://")[0].lower()
    if scheme in ("http", "https"):
        return lambda found: _post(url, mask.hide_in(found.slack() if receiver.form == "slack" else found.document()))
    return _through_apprise(receiver, url, mask)


def _post(url: str, document: Any) -> str:
    """One POST, tried once more where it certainly did not arrive."""
    import requests

    said = ""
    for again in (True, False):
        try:
            # The answer's body is not read: its end might never come. A redirect would carry the news elsewhere.
            with requests.post(
                url, json=document, timeout=(CONNECT_S, ANSWER_S), allow_redirects=False, stream=True
            ) as answer:
                said = "" if 200 <= answer.status_code < 300 else f"it answered {answer.status_code}"
                if answer.status_code not in LATER:
                    return said
        except requests.exceptions.Timeout:
            return f"no answer in {ANSWER_S:g} s"
        except requests.exceptions.ConnectionError:
            said = "no connection"
        except (requests.exceptions.RequestException, ValueError) as error:
            return type(error).__name__
        if again:
            time.sleep(AGAIN_S)
    return said


def _through_apprise(receiver: Receiver, url: str, mask: Mask) -> Send:
    """E-mail, and the hundred services that apprise knows, by its own URLs."""
    import apprise

    log = logging.getLogger("apprise")
    log.propagate = False  # its words hold parts of URLs
    log.addHandler(logging.NullHandler())
    service = apprise.Apprise.instantiate(url)
    if service is None:
        raise InputError("is no address that a message can be sent to", key=f"notify.{receiver.name}.url",
                         mend="write https://..., mailto://... or another URL of apprise")  # fmt: skip
    levels = {
        "good": apprise.NotifyType.SUCCESS,
        "bad": apprise.NotifyType.WARNING,
        "worst": apprise.NotifyType.FAILURE,
    }

    def send(found: Notice) -> str:
        kind = levels.get(found.level, apprise.NotifyType.INFO)
        title, body = mask.hide(f"Compose Runbook: {found.title}"), mask.hide(found.body)
        return "" if service.notify(title=title, body=body, notify_type=kind) else "it did not take the message"

    return send
