"""A secret of its own planted in every place of a stack and of an inventory, and the search for each in what was said."""

from __future__ import annotations

import re
from pathlib import Path

COMPOSE = """\
# the old password: @comment@
x-shared: {smtp_password: @extension@}
services:
  db:
    image: postgres:15 # POSTGRES_PASSWORD=@trailing-comment@
    command: ["postgres", "-c", "ssl=on", "--auth-token=@command-flag@"]
    environment:
      POSTGRES_PASSWORD: @environment-map@
      POSTGRES_INITDB_ARGS: --pwfile=/dev/null
    labels:
      com.example.admin-password: "@label-map@"
      traefik.http.middlewares.a.basicauth.users: "eve:$$apr1$$@crypt-hash@"
    healthcheck:
      test: ["CMD-SHELL", "PGPASSWORD=@health-check@ pg_isready -h 127.0.0.1"]
  cache:
    image: redis:7
    command: redis-server --requirepass @command-text@
    labels: ["com.example.api_key=@label-list@"]
  pooler:
    image: edoburu/pgbouncer:1.23
    depends_on: [db]
    environment:
      DATABASE_URL: postgres://app:@pooler-url@@db:5432/shop
      POOL_MODE: transaction
  web:
    build:
      context: .
      args: {NPM_TOKEN: @build-argument@}
    image: shop/web:1
    entrypoint: ["serve", "--password", "@entrypoint@"]
    env_file: [web.env]
    environment:
      - DATABASE_URL=postgresql://app:@database-url@@db:5432/shop
      - REDIS_URL=redis://:@redis-url@@cache:6379/0
      - JDBC=jdbc:postgresql://db/shop?user=app&password=@query-of-a-url@
      - DSN=host=db user=app password=@dsn@
      - API_TOKEN=@environment-list@
      - SESSION_SECRET=${SESSION_SECRET:-@default@}
      - FROM_FILE=${DOTENV_PASSWORD}
      - TLS_PRIVATE_KEY=@private-key@
    logging: {driver: splunk, options: {splunk-token: @logging-option@}}
    depends_on:
      db: {condition: service_started}
      cache: {condition: service_started}
      pooler: {condition: service_started}
    healthcheck:
      test: 'curl -f -u admin:@curl-login@ -H "Authorization: Bearer @bearer@" http://127.0.0.1/'
volumes:
  share:
    driver_opts: {type: cifs, o: "username=eve,password=@volume-option@", device: //nas/share}
configs:
  app:
    content: |
      -----BEGIN PRIVATE KEY-----
      @key-block@
      -----END PRIVATE KEY-----
"""
FILES = {
    "compose.yml": COMPOSE,
    ".env": "DOTENV_PASSWORD=@dotenv@\n# DB_PASSWORD=@dotenv-comment@\n",
    "web.env": "WEB_TOKEN=@env-file@\nOTHER_URL=amqp://eve:@env-file-url@@mq/\n",
}
INVENTORY = """\
all:
  hosts:
    far-1:
      ansible_host: 127.0.0.1
      ansible_port: 1
      ansible_become: true
      ansible_become_password: @become@
      ansible_password: @login@
      project_dir: /srv/shop
      vault_api_key: @own-variable@
      nested: {deeper: [{db_password: @nested@}]}
      health_checks: {web: "curl -u a:@inventory-check@ http://127.0.0.1/"}
      monitoring_url: https://eve:@inventory-url@@grafana.example/
"""
_MARK = re.compile(r"@([a-z-]+)@")
_FOUND = re.compile(r"c4n4ry-[a-z-]+-0x")


def planted(text: str) -> str:
    """`text` with a secret in place of each mark."""
    return _MARK.sub(r"c4n4ry-\1-0x", text)


def places(*texts: str) -> set[str]:
    """The names of all marks."""
    return {name for text in texts for name in _MARK.findall(text)}


def plant(folder: Path) -> None:
    """Writes the stack and the inventory, secrets and all."""
    for name, text in {**FILES, "far.yml": INVENTORY}.items():
        (folder / name).write_text(planted(text))


def leaked(*said: str | bytes) -> set[str]:
    """The secrets that stand in what was said."""
    texts = [each.decode("utf-8", "replace") if isinstance(each, bytes) else each for each in said]
    return {found for text in texts for found in _FOUND.findall(text)}
