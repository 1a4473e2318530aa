"""What an inventory wishes of a phase is read before any host is asked: file, line, variable and mend."""

from __future__ import annotations

import pytest

from tests.cli.typed import typed

AWAY = (
    "all:\n  hosts:\n    far-1:\n      ansible_host: 127.0.0.1\n      ansible_port: 1\n      project_dir: /srv/shop\n"
)
# phase, the variable, what is said of it
WISHES = [
    ("1", "gate: {windw: 30s}", "gate.windw: is no setting of a gate (did you mean window?)"),
    ("1", "gate: {window: 5s, interval: 10s}", "gate.interval: is longer than the window"),
    ("1", "serial: 0", "serial: '0' is not a batch size (write a number from 1"),
    ("1", "max_fail_percentage: 200", "max_fail_percentage: 200 is no share (write 0 to 100)"),
    ("1", "preflight_warn: [gti]", "preflight_warn: 'gti' is no check (did you mean git?)"),
    ("1", "health_checks: {web: {tst: x}}", "health_checks: web: tst is no key of a check (did you mean test?)"),
    ("1", "hooks: {before: [{run: a, env: {X: {from_evn: Y}}}]}", "hooks.before.1.env.X.from_evn: unknown key (did you mean from_env?)"),
    ("1", "hooks: {before: [{run: a, env: {X: {}}}]}", "hooks.before.1.env.X: is not a secret's source (write {from_env: NAME}"),
    ("2", "breakers: {web: {fallbak: x}}", "breakers: web: fallbak is no key of a breaker (did you mean fallback?)"),
    ("2", "resource_fit: shrnk", "resource_fit: 'shrnk' is no way to fit"),
    ("3", "autoscale: [web]", "autoscale: must be a mapping: service -> min, max"),
    ("3", "service_locations: {db: 'http://x'}", "service_locations: db: 'http://x' is no host"),
]  # fmt: skip


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """An operator's own inventory of a host that nobody can reach."""
    monkeypatch.setenv("RUNBOOK_STATE", str(tmp_path / "own"))
    monkeypatch.delenv("RUNBOOK_STORE", raising=False)
    (tmp_path / "shop.yml").write_text(AWAY)
    return tmp_path


@pytest.mark.parametrize("task", ["plan", "migrate"])
@pytest.mark.parametrize(("phase", "wish", "line"), WISHES)
def test_a_wrong_wish_is_one_line_with_its_place_and_no_host_is_asked(desk, capfd, task, phase, wish, line):
    (desk / "shop.yml").write_text(f"{AWAY}      {wish}\n")
    found = typed(capfd, task, "--phase", phase, "--env", "shop", "--inventory", str(desk))
    assert (found.code, found.out) == (1, "")
    assert f"shop.yml:7: {line}" in found.err
    assert len(found.err.splitlines()) == 1


def test_a_groups_wish_is_placed_where_it_stands(desk, capfd):
    (desk / "shop.yml").write_text(AWAY + "  vars:\n    serial: none\n")
    assert (
        "shop.yml:8: serial: 'none'"
        in typed(capfd, "plan", "--phase", "1", "--env", "shop", "--inventory", str(desk)).err
    )


def test_what_another_phase_would_refuse_keeps_nobody_from_this_one_nor_from_the_way_back(desk, capfd):
    (desk / "shop.yml").write_text(f"{AWAY}      autoscale: [web]\n")
    for words in (("plan", "--phase", "1"), ("status",), ("rollback",)):
        found = typed(capfd, *words, "--env", "shop", "--inventory", str(desk))
        assert found.code == 5, found.err
        assert "far-1: cannot connect" in found.err
