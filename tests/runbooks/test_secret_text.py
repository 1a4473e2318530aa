"""What of a file's text is secret, by its name, by the client that takes it, or by what it is."""

import time

import pytest

from inventory.secrets import Mask
from runbooks import secret_text

SECRET = "c4nary-Value"
HIDDEN = (
    f'    labels: {{ "com.example.admin-password": "{SECRET}" }}',
    f"      - com.example.api_key={SECRET}",
    f"    # password: {SECRET}, for the old database",
    f"    #PASSWORD={SECRET}",
    f'      args: ["DB_PASSWORD={SECRET}"]',
    f'      args: {{"NPM_TOKEN":"{SECRET}"}}',
    f'      o: "username=eve,password={SECRET},vers=3"',
    f"      splunk-token: {SECRET}",
    f'      test: ["CMD", "redis-cli", "-a", "{SECRET}", "ping"]',
    f"      test: redis-cli -h 127.0.0.1 -a {SECRET} ping",
    f'      test: "mysqladmin ping -uroot -p{SECRET}"',
    f"      test: curl -fsS -u admin:{SECRET} http://127.0.0.1:9200",
    f'      test: ["CMD", "curl", "-H", "Authorization: Bearer {SECRET}", "http://x"]',
    f'    command: ["redis-server", "--requirepass", "{SECRET}"]',
    f"    command: serve --auth-token={SECRET}",
    f"      - traefik.http.middlewares.a.basicauth.users=admin:$$apr1$${SECRET}$$x",
    f"      key: |\n        -----BEGIN EC PRIVATE KEY-----\n        {SECRET}\n        -----END EC PRIVATE KEY-----",
    f"    x-db: {{secret_key: {SECRET}}}",
    f"  POSTGRES_PASSWORD: ${{POSTGRES_PASSWORD:-{SECRET}}}",
)
SHOWN = (
    "    image: example/token-server:latest",
    "    secrets: [db_password]",
    "      POSTGRES_PASSWORD_FILE: /run/secrets/db",
    "      POSTGRES_PASSWORD: ${POSTGRES_PASSWORD}",
    "      MAX_TOKENS: 4096",
    "      TOKEN_TTL: 30m",
    '      test: ["CMD-SHELL", "redis-cli -a $$REDIS_PASSWORD ping"]',
    "      test: mysqladmin ping -p$$MYSQL_ROOT_PASSWORD",
    "      PASSWORD_REQUIRED: true",
)


def taught(text):
    mask = Mask()
    for name, value in secret_text.given(text):
        mask.learn(name, value)
    for secret in secret_text.bare(text):
        mask.add(secret)
    return mask


@pytest.mark.parametrize("text", HIDDEN)
def test_a_secret_in_a_files_text_is_found_wherever_it_stands(text):
    assert SECRET not in taught(text).hide(text)


@pytest.mark.parametrize("text", SHOWN)
def test_what_is_no_secret_in_a_files_text_stays_readable(text):
    assert taught(text).hide(text) == text


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece", ["password", "password: ", "-a ", "redis-cli ", "secret=", "-----BEGIN PRIVATE KEY-----", "a.", "${x"]
)
def test_finding_secrets_takes_no_more_than_moments_whatever_the_text(piece):
    begin = time.process_time()
    taught(piece * (200_000 // len(piece)))
    assert time.process_time() - begin < 20
