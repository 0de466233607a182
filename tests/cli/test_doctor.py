import json

import pytest
from typer.testing import CliRunner

from interp_cli.benchmarking import doctor as environment
from interp_cli.benchmarking.doctor import Check
from interp_cli.cli.app import app


def test_a_sound_installation_ends_with_0(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = [
        Check("torch", "ok", "2.13.0"),
        Check("disk, this folder", "note", "full", "make room"),
    ]
    monkeypatch.setattr(environment, "diagnose", lambda: iter(checks))
    monkeypatch.setattr(environment, "self_test", lambda double: Check("self-test", "ok", "fine"))
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 0
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [
        ["ok", "torch:"],
        ["note", "disk,"],
        ["make", "room"],
        ["ok", "self-test:"],
    ]


def test_quiet_shows_what_is_not_ok_in_the_words_of_the_command_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow = Check("cpu", "slow", "2 cores", '`quality="fast"` is faster')
    monkeypatch.setattr(environment, "diagnose", lambda: iter([Check("av", "ok", "18"), slow]))
    monkeypatch.setattr(environment, "self_test", lambda double: Check("self-test", "ok", "fine"))
    done = CliRunner().invoke(app, ["doctor", "--quiet"])
    assert " ".join(done.stdout.split()) == "slow cpu: 2 cores --quality fast is faster"
    assert done.exit_code == 0


def test_a_broken_part_ends_with_1_and_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Check("torch", "broken", "does not load", "install it again", essential=True)
    monkeypatch.setattr(environment, "diagnose", lambda: iter([broken]))
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 1
    assert "install it again" in done.stdout
    # Nothing is doubled where packages are missing.
    assert "self-test" not in done.stdout


def test_json_holds_every_check() -> None:
    done = CliRunner().invoke(app, ["doctor", "--json"])
    read = json.loads(done.stdout)
    names = [check["name"] for check in read["checks"]]
    assert {"interp", "torch", "ffmpeg", "self-test"} <= set(names)
    assert read["works"] is (done.exit_code == 0)
