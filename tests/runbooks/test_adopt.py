"""What runs on a host becomes an inventory entry that the inventory reads, with no more in it than is needed."""

import shlex
import stat

import pytest
from ruamel.yaml import YAML

from inventory import inventory
from inventory.connection import LocalLink
from inventory.errors import InputError
from inventory.model import Host, Project
from runbooks import adopt
from runbooks.adopt import Found, entry, remarks, write

HOST = Host("web-1", "10.0.0.5", Project("/"), port=2222, user="deploy")


def found(
    name="shop", directory="/srv/shop", files=("docker-compose.yml",), env_files=(), profiles=(), host=HOST, **more
):
    paths = tuple(path if path.startswith("/") else f"{directory}/{path}" for path in files)
    return Found(host, name, directory, paths, env_files, profiles, ("db", "web"), **more)


def test_a_usual_project_needs_its_folder_alone():
    assert entry([found(host=Host("web-1", "web-1", Project("/")))], "staging") == (
        "all:\n  children:\n    staging:\n      hosts:\n        web-1:\n          project_dir: /srv/shop\n"
    )


@pytest.mark.parametrize(
    ("given", "variables"),
    [
        ({}, {}),
        ({"name": "store"}, {"project_name": "store"}),
        ({"directory": "/srv/My Shop", "name": "myshop"}, {"project_dir": "/srv/My Shop"}),
        ({"directory": "/srv/yes: no"}, {"project_dir": "/srv/yes: no", "project_name": "shop"}),
        ({"files": ("compose.yaml", "compose.override.yaml")}, {}),
        ({"files": ("a.yml",)}, {"compose_files": ["a.yml"]}),
        ({"files": ("docker-compose.yml", "docker-compose.prod.yml")},
         {"compose_files": ["docker-compose.yml", "docker-compose.prod.yml"]}),
        ({"files": ("/etc/shared/base.yml", "b.yml")}, {"compose_files": ["../../etc/shared/base.yml", "b.yml"]}),
        ({"env_files": ("/srv/shop/.env",)}, {}),
        ({"env_files": ("/srv/shop/.env", "/srv/shop/prod.env")}, {"env_files": [".env", "prod.env"]}),
        ({"profiles": ("on", "42")}, {"profiles": ["on", "42"]}),
        ({"name": "on", "directory": "/srv/x"}, {"project_name": "on", "project_dir": "/srv/x"}),
    ],
)  # fmt: skip
def test_an_entry_says_what_differs_from_the_usual_and_the_inventory_reads_it(tmp_path, given, variables):
    text = entry([found(**given)], "staging")
    read = YAML(typ="safe").load(text)["all"]["children"]["staging"]["hosts"]["web-1"]
    usual = {"ansible_port": 2222, "ansible_user": "deploy", "project_dir": "/srv/shop"}
    assert read == {**usual, **variables}
    (tmp_path / "staging.yml").write_text(text)
    (host,) = inventory.load("staging", tmp_path, ()).hosts
    assert (host.port, host.user, host.project.directory) == (2222, "deploy", given.get("directory", "/srv/shop"))


def test_further_projects_of_a_host_get_a_name_of_their_own_and_its_address():
    text = entry([found(), found("blog", "/srv/blog")], "staging")
    hosts = YAML(typ="safe").load(text)["all"]["children"]["staging"]["hosts"]
    assert list(hosts) == ["web-1", "web-1-blog"]
    assert hosts["web-1-blog"]["ansible_host"] == "10.0.0.5"


def test_this_machine_stays_local():
    text = entry([found(host=Host("localhost", "localhost", Project("/"), connection="local"))], "x")
    assert "ansible_connection: local" in text


def test_remarks_name_the_services_and_what_is_not_sure():
    assert list(remarks([found(unsure=("look here",))])) == ["shop: 2 service(s) run: db, web", "shop: look here"]


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        ("web-1", ("web-1", None, None, "ssh")),
        ("eve@web-1:2222", ("web-1", "eve", 2222, "ssh")),
        ("10.0.0.1:22", ("10.0.0.1", None, 22, "ssh")),
        ("localhost", ("localhost", None, None, "local")),
    ],
)
def test_a_target_is_written_as_for_ssh(target, wanted):
    host = adopt._host(target, "", None)
    assert (host.address, host.user, host.port, host.connection) == wanted


@pytest.mark.parametrize("target", ["", "a b", "eve@", "web-1:ssh", "@web"])
def test_a_target_that_is_none_is_one_line(target):
    with pytest.raises(InputError, match=r"HOST: .* is no host \(write \[user@\]host\[:port\]\)"):
        adopt._host(target, "", None)


def test_writing_never_replaces_an_environment(tmp_path):
    path = write("all: {}\n", "new", tmp_path)
    assert path.read_text() == "all: {}\n"
    with pytest.raises(InputError, match="is there already"):
        write("all: {}\n", "new", tmp_path)
    for name in ("", "../x", "a/b", "a\n"):
        with pytest.raises(InputError, match="needs a name"):
            write("all: {}\n", name, tmp_path)
    with pytest.raises(InputError, match="cannot be written"):
        write("all: {}\n", "new", tmp_path / "absent")


def test_projects_are_found_by_the_labels_of_their_containers(tmp_path, monkeypatch):
    rows = [
        "shop\tweb\t/srv/shop\t/srv/shop/compose.yml,/srv/shop/b.yml\t",
        "shop\tdb\t/srv/shop\t/srv/shop/compose.yml\t",
        "blog\tblog\t/srv/blog\t/srv/blog/compose.yml\t/srv/blog/.env",
    ]
    config = '{"services": {"web": {"profiles": ["full", "big"]}, "db": {}, "blog": {}}}'
    program = tmp_path / "docker"
    program.write_text(
        "#!/bin/sh\ncase $1 in\n"
        f"ps) printf '%s\\n' {' '.join(shlex.quote(row) for row in rows)} 'no row' ;;\n"
        f'compose) case "$*" in *--profile*\\**config*) echo {shlex.quote(config)} ;; *) exit 1 ;; esac ;;\nesac\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    host = Host("localhost", "localhost", Project("/"), connection="local")
    link = LocalLink(host)
    rows_found = adopt._rows(link)
    assert [row[:2] for row in rows_found] == [["blog", "blog"], ["shop", "db"], ["shop", "web"]]
    (tmp_path / "srv").mkdir()
    shop = [[*row[:2], str(tmp_path / "srv"), *row[3:]] for row in rows_found if row[0] == "shop"]
    made = adopt._project(link, host, shop)
    assert (made.name, made.services, made.profiles) == ("shop", ("db", "web"), ("full",))
    assert made.unsure == (
        "its containers were made with different files: bring it up once with the right ones",
        "web is in the profiles full, big: the first was taken",
    )
