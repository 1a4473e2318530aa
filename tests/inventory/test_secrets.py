"""One Mask keeps secrets off every screen: what it learns, in which forms it hides them, and what it leaves readable."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory.errors import InputError
from inventory.secrets import MASKED, Mask, resolve

# text -> how it is shown by a mask that has learnt nothing
SHOWN = {
    "postgres://app:hunter2@db:5432/shop": "postgres://app:********@db:5432/shop",
    "postgresql+asyncpg://app:hunter2@[::1]:5432/x?a=b": "postgresql+asyncpg://app:********@[::1]:5432/x?a=b",
    "redis://:hunter2@redis:6379/0": "redis://:********@redis:6379/0",
    "amqp://u:p%40ss%2Fword@mq/%2f": "amqp://u:********@mq/%2f",
    "postgres://app:p@ss@db/x": "postgres://app:********@db/x",
    "postgres://app:pa#ss?x@db/x": "postgres://app:********@db/x",
    "http://u:p@h?mail=x@y": "http://u:********@h?mail=x@y",
    "a redis://:a1@h1, redis://:b2@h2": "a redis://:********@h1, redis://:********@h2",
    "['redis://:a1@h1','redis://:b2@h2']": "['redis://:********@h1','redis://:********@h2']",
    "mongodb://u:pw@a,b,c/db": "mongodb://u:********@a,b,c/db",
    "postgres://app:x@db": "postgres://app:********@db",
    "postgres://app:${DB_PASSWORD}@db": None,
    "postgres://${U}:${DB_PASSWORD}@db": None,
    "postgres://app:$DB_PASSWORD@db": None,
    "postgres://app:${DB_PASSWORD:?must be set}@db": None,
    "postgres://app:${DB_PASSWORD?set}@db": None,
    "postgres://app:${DB_PASSWORD:-hunter2}@db": "postgres://app:********@db",
    "postgres://app:${DB_PASSWORD-hunter2}@db": "postgres://app:********@db",
    "postgres://${U:-app}:${DB_PASSWORD:-a:b@c}@db": "postgres://${U:-app}:********@db",
    "postgres://app:half${OTHER}@db": "postgres://app:********@db",
    "host=db user=app password=hunter2 dbname=x": "host=db user=app password=******** dbname=x",
    "Server=db;Pwd=hunter2;Database=x": "Server=db;Pwd=********;Database=x",
    "host=db password='hunter two' dbname=x": "host=db password=******** dbname=x",
    'host=db password="hunter two"': "host=db password=********",
    "password = hunter2": "password = ********",
    "host=db password=$DB_PASSWORD": None,
    "http://web:8080/health": None,
    "http://user@web:8080/": None,
    "see https://example.com/a:b@c": None,
    "mailto a@b.example: hello": None,
    "image: nginx:1.27@sha256:0011": None,
}


@pytest.mark.parametrize("text", SHOWN)
def test_passwords_in_urls_and_dsns_are_hidden_and_references_stay(text: str) -> None:
    mask = Mask()
    shown = SHOWN[text] or text
    assert mask.hide(text) == shown
    assert mask.hides(text) is (shown != text)
    assert mask.hide(shown) == shown, "hiding twice must change nothing"


# variable, its value, what must be hidden from then on wherever it stands
LEARNT: list[tuple[str, str, tuple[str, ...]]] = [
    ("POSTGRES_PASSWORD", "hunter2", ("hunter2",)),
    ("db_pwd", "hunter2", ("hunter2",)),
    ("JWT_SECRET", "s3cr3t-s3cr3t", ("s3cr3t-s3cr3t",)),
    ("GITHUB_TOKEN", "ghp_x1y2", ("ghp_x1y2",)),
    ("STRIPE_API_KEY", "sk_live_1", ("sk_live_1",)),
    ("MQ_PASS", "p@ss/w rd", ("p@ss/w rd", "p%40ss%2Fw%20rd", "p%40ss%2Fw+rd")),
    ("MQ_PASS", "p%40ss", ("p%40ss", "p@ss")),
    ("DATABASE_URL", "postgres://app:hunter2@db/x", ("hunter2",)),
    ("DATABASE_URL", "postgres://app:p%40ssw@db/x", ("p%40ssw", "p@ssw")),
    ("DSN", "host=db password=hunter2", ("hunter2",)),
    ("DSN", "host=db password='hunter two'", ("hunter two",)),
    ("POSTGRES_PASSWORD", "${DB_PASSWORD:-hunter2}", ("hunter2",)),
    ("POSTGRES_PASSWORD", "${A-hunter2}${B:-other3}", ("hunter2", "other3")),
    ("SIGNING_PRIVATE_KEY", "-----BEGIN-----\nMIIEvAIBADANBg\n  q83vEjRWeJ\n", ("MIIEvAIBADANBg", "q83vEjRWeJ")),
]


@pytest.mark.parametrize(("name", "value", "secrets"), LEARNT)
def test_what_a_variable_holds_is_hidden_everywhere_after(name: str, value: str, secrets: tuple[str, ...]) -> None:
    mask = Mask()
    mask.learn(name, value)
    for secret in secrets:
        assert mask.hide(f"log line: {secret}.") == f"log line: {MASKED}."


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("POSTGRES_USER", "application", "application"),
        ("POSTGRES_PASSWORD_FILE", "/run/secrets/db", "/run/secrets/db"),
        ("TLS_PRIVATE_KEY_PATH", "/etc/key.pem", "/etc/key.pem"),
        ("POSTGRES_PASSWORD", "${DB_PASSWORD}", "${DB_PASSWORD}"),
        ("POSTGRES_PASSWORD", "${DB_PASSWORD:?set it}", "${DB_PASSWORD:?set it}"),
        ("PASSWORD_LOGIN", "true", "it is true"),
        ("TOKEN_CHECK", "Disabled", "Disabled"),
        ("DATABASE_URL", "postgres://app:${DB_PASSWORD}@db/x", "${DB_PASSWORD}"),
        ("PASS", "abc", "abcdef"),
        ("PASS", "", "anything"),
    ],
)
def test_what_is_no_secret_stays_readable(name: str, value: str, text: str) -> None:
    mask = Mask()
    mask.learn(name, value)
    assert mask.hide(text) == text


def test_of_two_secrets_the_longer_is_hidden_whole() -> None:
    mask = Mask()
    mask.add("hunter")
    mask.add("hunter2000")
    assert mask.hide("hunter2000 hunter") == f"{MASKED} {MASKED}"


def test_a_document_is_hidden_before_json_escapes_could_split_a_secret() -> None:
    mask = Mask()
    for secret in ('qu"ote\\back', "line\nbreak-two", "12345", "false-not"):
        mask.add(secret)
    found = {"a": ['qu"ote\\back', {"b": "line\nbreak-two"}], "port": 12345, "12345": True, "n": None, "t": ("12345",)}
    document = json.dumps(mask.hide_in(found))
    assert json.loads(document) == {
        "a": [MASKED, {"b": MASKED}], "port": 12345, MASKED: True, "n": None, "t": [MASKED],
    }  # fmt: skip


def test_a_password_that_is_a_public_name_is_hidden_only_where_it_is_given() -> None:
    mask = Mask()
    mask.learn("POSTGRES_PASSWORD", "postgres")
    mask.reveal(["postgres", "web"])
    shown = mask.hide(
        "postgres starts with POSTGRES_PASSWORD=postgres, PGPASSWORD: 'postgres', postgres://postgres:postgres@db"
    )
    assert shown == (
        "postgres starts with POSTGRES_PASSWORD=********, PGPASSWORD: '********', postgres://postgres:********@db"
    )
    found = {"service": "postgres", "environment": {"POSTGRES_PASSWORD": "postgres", "PASSWORD_FILE": "postgres"}}
    assert mask.hide_in(found) == {
        "service": "postgres", "environment": {"POSTGRES_PASSWORD": MASKED, "PASSWORD_FILE": "postgres"},
    }  # fmt: skip


def test_threads_that_add_secrets_at_once_lose_none() -> None:
    mask = Mask()
    words = [[f"secret-{thread}-{number}-x" for number in range(40)] for thread in range(8)]
    threads = [threading.Thread(target=lambda own=own: [mask.add(word) for word in own]) for own in words]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(mask.hide(word) == MASKED for own in words for word in own)


@given(
    st.text(min_size=4, max_size=40).filter(lambda text: text.strip("*") and MASKED not in text), st.text(max_size=20)
)
def test_no_form_of_a_secret_is_shown_whatever_it_is_made_of(secret: str, around: str) -> None:
    from urllib.parse import quote

    mask = Mask()
    mask.add(secret)
    assert secret not in mask.hide(f"{around}{secret}{around}").replace(MASKED, "") or secret in around * 2
    encoded = quote(secret, safe="")
    assert mask.hide(f"<{encoded}>") == f"<{MASKED}>"


@pytest.mark.slow
@pytest.mark.parametrize("step", ["${a}", "a", "a@", "a://b:", "password=", "${", "x://u:${a}"])
def test_hiding_takes_no_more_than_moments_whatever_the_text(step: str) -> None:
    """A pattern that tries every end for every beginning of such a text takes minutes for it, and every split hours."""
    mask = Mask()
    mask.add("public-name")
    mask.reveal(["public-name"])
    begin = time.process_time()
    for prefix in ("", "x://u:", "x://"):
        mask.hides(prefix + step * 40_000)
    assert time.process_time() - begin < 15


@pytest.fixture
def password(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("SHOP_PASSWORD", "from the environment")
    return "from the environment"


def test_a_secret_comes_from_the_environment_a_command_or_as_it_is(password: str) -> None:
    mask = Mask()
    assert resolve({"from_env": "SHOP_PASSWORD"}, mask) == password
    assert resolve({"from_command": "printf '%s\\n' 'from a command'"}, mask) == "from a command"
    assert resolve("as it is", mask) == "as it is"
    assert resolve(123456, mask) == "123456"
    assert mask.hide(f"{password}, from a command, as it is, 123456") == ", ".join([MASKED] * 4)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"from_env": "NOT_SET_AT_ALL"}, "NOT_SET_AT_ALL is not set"),
        ({"from_command": "false"}, "gave no secret (exit 1)"),
        ({"from_command": "true"}, "gave no secret (exit 0)"),
        ({"from_command": "no-such-program"}, "did not run: FileNotFoundError"),
        ({"from_command": ""}, "did not run"),
        ({"from_command": "an 'open quote"}, "did not run"),
        ({"from_command": "printf '\\377'"}, "did not run"),
        ({"from_file": "/x"}, "is not a secret's source"),
        ({"from_env": "A", "from_command": "b"}, "is not a secret's source"),
        ({}, "is not a secret's source"),
    ],
)
def test_a_source_that_gives_nothing_is_one_line_that_holds_no_secret(source: Any, words: str) -> None:
    with pytest.raises(InputError) as caught:
        resolve(source, Mask(), key="ansible_become_password", path="shop.yml")
    assert words in caught.value.message and caught.value.mend
    assert str(caught.value).startswith("shop.yml: ansible_become_password: ")


def test_a_mask_takes_what_another_knows_and_what_it_knew_before_stays():
    one, other = Mask(), Mask()
    one.add("first-secret")
    assert one.hide("first-secret second-secret") == f"{MASKED} second-secret"
    other.add("second-secret")
    for _ in range(2):
        one.take(other.known())
        assert one.hide("first-secret second-secret") == f"{MASKED} {MASKED}"
    other.reveal(["second-secret"])
    one.take(other.known())
    assert one.hide("second-secret, password: second-secret") == f"second-secret, password: {MASKED}"
