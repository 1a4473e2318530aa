"""The controller's own copy of what a host keeps: where it stands, that it is whole, and whose eyes it is for."""

import pytest

from inventory.errors import InputError, Refused
from rollback import vault
from rollback.commit import sha256
from rollback.model import FileState, Snapshot


def test_the_vault_stands_where_the_user_keeps_state(monkeypatch, tmp_path):
    monkeypatch.setenv("RUNBOOK_STATE", str(tmp_path / "named"))
    assert vault.folder() == tmp_path / "named" / "vault"
    monkeypatch.delenv("RUNBOOK_STATE")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    assert vault.folder() == tmp_path / "xdg" / "compose-runbook" / "vault"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert vault.folder() == tmp_path / ".local/state/compose-runbook/vault"


def test_a_vaults_copy_is_whole_or_refused_with_the_hosts_name(monkeypatch, tmp_path):
    monkeypatch.setenv("RUNBOOK_STATE", str(tmp_path))
    data = b"A=1\n"
    state = FileState("/srv/a b/.env", sha256(data), 0o600, 1, 2)
    gone = FileState("/srv/a b/x", None, 0, 0, 0)
    kept = Snapshot("s-1", "r", "step", "now", "/srv/a b", (state, gone), (gone, state))
    vault.save("web/../1", "my shop", kept, [data, None])
    vault.save("web/../1", "my shop", kept, [data, None])
    place = tmp_path / "vault" / "web_.._1" / "my_shop"
    assert sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()) == [f"objects/{sha256(data)}", "snapshots/s-1.json"]  # fmt: skip
    assert vault.load("web/../1", "my shop", "s-1") == (kept, {"/srv/a b/.env": data})
    assert {path.stat().st_mode & 0o777 for path in place.rglob("*") if path.is_file()} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "vault").rglob("*") if path.is_dir()} == {0o700}
    (place / "objects" / sha256(data)).write_bytes(b"other")
    with pytest.raises(Refused) as caught:
        vault.load("web/../1", "my shop", "s-1")
    assert str(caught.value) == "web/../1: the vault's copy of /srv/a b/.env is damaged"
    vault.save("web/../1", "my shop", kept, [data, None])
    assert vault.load("web/../1", "my shop", "s-1")[1] == {"/srv/a b/.env": data}
    (place / "objects" / sha256(data)).unlink()
    with pytest.raises(Refused) as caught:
        vault.load("web/../1", "my shop", "s-1")
    assert str(caught.value) == "web/../1: the vault has no whole copy of s-1"
    with pytest.raises(InputError, match="cannot be a snapshot"):
        vault.load("web-1", "shop", "../../etc")
