"""The authority's own certificate over the years: what is due when, by a made-up clock; and its files, cut off anywhere."""

from __future__ import annotations

import random
import shutil
import stat
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from services.authority import roots
from services.authority.certificates import CURRENT, Authority
from services.authority.program import Failed
from services.authority.roots import DAY_S, Roots, Standing, due
from tests.services import servers
from tests.services.meshes import DOMAIN

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="no OpenSSL here")
MEMBERS = ("app", "caller", "mesh-authority")


@dataclass
class World:
    """A mesh in which time passes as a test says. A root is its number; `begun` has the day of each."""

    days: int
    leaf_days: int
    begun: list[float] = field(default_factory=lambda: [0.0])
    signs: int = 0
    coming: int | None = None
    old: int | None = None
    known_at: float | None = None
    trusts: dict[str, set[int]] = field(default_factory=dict)
    shows: dict[str, tuple[int, float]] = field(default_factory=dict)

    def ends(self, root: int) -> float:
        return self.begun[root] + self.days

    def round(self, now: float, settle: float, failing: set[str]) -> None:
        """What the authority does once, member by member; `now` and `settle` in days."""
        stage: roots.Stage = "announced" if self.coming is not None else "leaving" if self.old is not None else "one"
        known = None if self.known_at is None else self.known_at * DAY_S
        left = 0.0 if self.old is None else self.ends(self.old) * DAY_S
        turn = due(Standing(stage, self.begun[self.signs] * DAY_S, self.ends(self.signs) * DAY_S, known, left), now * DAY_S,
                   self.days, self.leaf_days, settle * DAY_S)  # fmt: skip
        if turn:
            self.known_at = None
        if turn == "announce":
            self.begun.append(now)
            self.coming = len(self.begun) - 1
        elif turn == "switch":
            assert self.coming is not None
            self.old, self.signs, self.coming = self.signs, self.coming, None
        elif turn == "forget":
            self.old = None
        for member in MEMBERS:
            if member not in failing:
                self.trusts[member] = {each for each in (self.signs, self.coming, self.old) if each is not None}
                self.shows[member] = (self.signs, now + self.leaf_days)
                assert self.ends(self.signs) >= now + self.leaf_days, "it signs what it does not outlive"
            self.everybody_trusts_everybody()
        if self.known_at is None and not failing:
            self.known_at = now

    def everybody_trusts_everybody(self) -> None:
        for root, _ in self.shows.values():
            assert all(root in trusted for trusted in self.trusts.values())


@pytest.mark.parametrize(("days", "leaf_days", "each"), [(365, 7, 1.0), (360, 90, 45.0), (3650, 1, 0.5)])
@pytest.mark.parametrize("seed", range(8))
def test_over_the_years_everybody_trusts_everybody_at_every_moment_and_no_root_goes_on_for_ever(
    days: int, leaf_days: int, each: float, seed: int
) -> None:
    chance = random.Random(seed)
    world, now, failing, until = World(days, leaf_days), 0.0, set[str](), 0.0
    while now < 12 * days:
        if now >= until:
            # Now and then one of them cannot be given a certificate for a while; half of the time all can.
            failing = set(chance.sample(MEMBERS, 1)) if chance.random() < 0.5 and world.shows else set()
            until = now + chance.uniform(0, days / 20)
        world.round(now, each / 2, failing)
        assert now - world.begun[world.signs] < days - leaf_days
        # What failed is tried again soon: at the latest when it can be.
        now += min(each, until - now + 0.01) if failing else each
    assert 12 <= len(world.begun) <= 26
    assert len(world.trusts["app"]) <= 2


def test_a_root_that_nearly_ended_while_nobody_was_there_is_followed_at_once() -> None:
    one = Standing("one", 0.0, 365 * DAY_S)
    assert due(one, 180 * DAY_S, 365, 7, 1.0) == ""
    assert due(one, 183 * DAY_S, 365, 7, 1.0) == "announce"
    announced = Standing("announced", 0.0, 365 * DAY_S)
    assert due(announced, 357 * DAY_S, 365, 7, 1.0) == ""
    assert due(announced, 358 * DAY_S, 365, 7, 1.0) == "switch"
    leaving = Standing("leaving", 358 * DAY_S, 723 * DAY_S, None, 365 * DAY_S)
    assert due(leaving, 364 * DAY_S, 365, 7, 1.0) == ""
    assert due(leaving, 365 * DAY_S, 365, 7, 1.0) == "forget"


def of_before(folder: Path, days: float, good_for: int = 3650) -> bytes:
    """Puts an authority's key and certificate of some days ago where the program looks for them, as earlier versions made them."""
    key, begun = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC) - timedelta(days=days)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"{DOMAIN} mesh")])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(begun).not_valid_after(begun + timedelta(days=good_for))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    folder.mkdir(exist_ok=True)
    kind = serialization.Encoding.PEM
    text = key.private_bytes(kind, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "authority.key").write_bytes(text)
    (folder / "authority.pem").write_bytes(made.public_bytes(kind))
    return made.public_bytes(kind)


class Turning:
    """An authority whose own certificate is 200 days old, with members, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ahead = folder / "authority", 0.0
        self.first = of_before(self.folder, 200)
        for name in MEMBERS:
            (folder / "certificates" / name).mkdir(parents=True)
        start = datetime.now(UTC).timestamp()
        self.roots = Roots(self.folder, DOMAIN, 365, lambda: start + self.ahead)
        self.authority = Authority(self.roots, folder / "certificates", DOMAIN)

    def round(self, *, given: bool = True) -> str:
        """One round an hour later, as the program makes it; what stage it ends in."""
        self.ahead += 3600
        self.roots.prepare()
        self.roots.advance(7, 1800)
        for member in MEMBERS:
            self.authority.issue(member, 7)
            self.everybody_trusts_everybody()
        if given:
            self.roots.given()
        return self.roots.standing().stage

    def everybody_trusts_everybody(self) -> None:
        """By OpenSSL's own word, of what lies there now."""
        shown = [self.authority.certificates / name / CURRENT for name in MEMBERS]
        shown = [each for each in shown if each.exists()]
        for each in shown:
            words = ["openssl", "verify", "-CAfile", str(each / "authority.pem"), *(str(other / "certificate.pem") for other in shown)]  # fmt: skip
            done = subprocess.run(words, check=False, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr


def test_the_new_one_is_trusted_before_it_signs_and_the_old_one_until_nobody_shows_what_it_signed(tmp_path: Path) -> None:  # fmt: skip
    turning = Turning(tmp_path)
    assert turning.round(given=False) == "announced"
    # Nobody builds on what not all have.
    assert turning.round() == "announced"
    new = (turning.folder / "next.pem").read_bytes()
    assert turning.roots.trusted() == turning.first + new
    assert turning.round() == "leaving"
    assert turning.roots.trusted() == new + turning.first
    assert turning.round() == "one"
    assert turning.roots.trusted() == new
    assert turning.round() == "one"
    # Of the old one's key nothing is left, and the new one's is nobody else's to read.
    assert sorted(path.name for path in turning.folder.glob("*.key")) == ["authority.key"]
    assert stat.S_IMODE((turning.folder / "authority.key").stat().st_mode) == 0o600


def test_wherever_it_is_cut_off_it_goes_on_and_everybody_goes_on_trusting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    class CutOffError(Exception):
        pass

    left = [0]

    def counted(real: object) -> object:
        def called(*words: object, **more: object) -> object:
            # Of the authority's own effects alone: no reading, and no member's certificate.
            if str(turning.folder) in " ".join(map(str, words)) and words[0] != "x509":
                if left[0] == 0:
                    raise CutOffError
                left[0] -= 1
            return real(*words, **more)  # type: ignore[operator]

        return called

    reached = 0
    for effects in range(100):
        folder = tmp_path / str(effects)
        folder.mkdir()
        turning = Turning(folder)
        left[0] = effects
        with monkeypatch.context() as held:
            held.setattr(Path, "rename", counted(Path.rename))
            held.setattr(Path, "unlink", counted(Path.unlink))
            held.setattr(roots, "openssl", counted(roots.openssl))
            try:
                while turning.round() != "one":
                    pass
                done = True
            except CutOffError:
                done = False
        reached = effects
        rounds = 0
        while turning.first in turning.roots.trusted():
            turning.round()
            assert (rounds := rounds + 1) < 8
        if done:
            break
    assert reached >= 8


def test_what_cannot_be_read_is_told_and_a_clock_that_was_set_back_keeps_nobody_waiting(tmp_path: Path) -> None:
    turning = Turning(tmp_path)
    assert turning.round() == "announced"
    turning.ahead -= 30 * DAY_S
    assert turning.round() == "announced"
    assert turning.round() == "leaving"
    (turning.folder / "known.json").write_text("no word of it")
    assert turning.round() == "leaving"
    (turning.folder / "authority.pem").write_text("no certificate")
    with pytest.raises(Failed):
        turning.roots.advance(7, 1.0)


def test_sabotage_an_old_one_that_goes_too_early_is_seen(tmp_path: Path) -> None:
    turning = Turning(tmp_path)
    turning.round()
    (turning.folder / "next.key").rename(turning.folder / "authority.key")
    (turning.folder / "next.pem").rename(turning.folder / "authority.pem")
    with pytest.raises(AssertionError, match=r"unable to get local issuer certificate|verification failed"):
        turning.round()


def test_the_program_s_own_words_are_checked() -> None:
    words = ["python3", "-m", "services.authority"]
    own = {"PATH": "/usr/bin:/bin", "DOMAIN": DOMAIN, "MEMBERS": "app", "DAYS": "90", "ROOT_DAYS": "359"}
    done = subprocess.run(words, env=own, cwd=servers.ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (1, "mesh-authority: ROOT_DAYS must be a number of days, from four times DAYS to 3650\n")  # fmt: skip
