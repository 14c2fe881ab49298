"""`funade.toml`: what it may say, what is taken where it is silent, and what a profile lays over it."""

# ruff: noqa: E501 - a message stands whole on its line

from __future__ import annotations

from pathlib import Path

import pytest

from funade.errors import ProjectError
from funade.project import config
from funade.project.config import Config, ServeSection, StoreSection

LEAST = '[project]\nname = "toy"\nmodules = ["toy"]\n'


def read(folder: Path, text: str, profile: str = "") -> Config:
    (folder / "funade.toml").write_text(text, "utf-8")
    return config.read(folder, profile)


def test_a_name_and_modules_are_enough(tmp_path: Path) -> None:
    found = read(tmp_path, LEAST)

    assert (found.project.name, found.project.modules, found.project.timezone) == ("toy", ("toy",), "")
    assert found.store == StoreSection(".funade")
    assert found.serve == ServeSection("127.0.0.1", 8080, 2, 30.0)
    assert (found.places, found.settings, found.profile) == ({}, {}, {})


def test_every_section_is_read(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        LEAST
        + 'timezone = "Asia/Tokyo"\n[store]\npath = "/data/store"\n[places]\ntlc = "../data"\n'
        + '[settings.eta]\ntrees = 300\nbands = [1, 2]\n[serve]\nhost = "0.0.0.0"\nport = 0\nworkers = 4\ndrain_s = 5\n',
    )

    assert found.project.timezone == "Asia/Tokyo"
    assert found.store.path == "/data/store"
    assert found.places == {"tlc": "../data"}
    assert found.settings == {"eta": {"trees": 300, "bands": [1, 2]}}
    assert found.serve == ServeSection("0.0.0.0", 0, 4, 5.0)


def test_a_date_among_the_settings_is_its_text(tmp_path: Path) -> None:
    found = read(tmp_path, LEAST + "[settings.eta]\nsince = 2022-01-01\n")

    assert found.settings == {"eta": {"since": "2022-01-01"}}


PROFILES = (
    LEAST
    + '[store]\npath = "here"\n[places]\ntlc = "a"\nzones = "b"\n'
    + '[profile.prod.places]\ntlc = "/prod"\n[profile.prod.store]\npath = "/store"\n[profile.prod.serve]\nport = 80\n[profile.bare]\n'
)


def test_a_profile_lies_over_places_store_and_serve(tmp_path: Path) -> None:
    found = read(tmp_path, PROFILES, "prod")

    assert found.places == {"tlc": "/prod", "zones": "b"}
    assert (found.store.path, found.serve.port) == ("/store", 80)


def test_a_profile_that_says_nothing_changes_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, PROFILES, "bare") == read(tmp_path, PROFILES)


@pytest.mark.parametrize(
    ("text", "profile", "told"),
    [
        ("", "", "funade.toml expected `project`, got none - at {file}"),
        ('[project]\nname = "toy"\n', "", "[project] expected `modules`, got none - at {file}"),
        (LEAST + "timezon = 'UTC'\n", "", "[project] takes no key `timezon` (its keys: name, modules, timezone) - at {file}; did you mean `timezone`?"),
        (LEAST + "[stoer]\n", "", "funade.toml takes no key `stoer` (its keys: project, store, places, settings, serve, queue, log, profile) - at {file}; did you mean `store`?"),
        (LEAST + "[serve]\nport = '80'\n", "", "funade.toml expected `serve.port` as `int`, got `str` - at {file}"),
        (LEAST + "[serve]\nport = 70000\n", "", "funade.toml expected `serve.port` as `int` <= 65535 - at {file}"),
        (LEAST + "[serve]\nworkers = 0\n", "", "funade.toml expected `serve.workers` as `int` >= 1 - at {file}"),
        (LEAST + "[serve]\ndrain_s = -1\n", "", "funade.toml expected `serve.drain_s` as `float` >= 0.0 - at {file}"),
        (LEAST + "[settings]\neta = 5\n", "", "funade.toml expected `settings.NAME` as `object`, got `int` - at {file}"),
        (LEAST + "[profile.prod]\nsettings = {}\n", "", "[profile.NAME] takes no key `settings` (its keys: places, store, serve, queue, log) - at {file}"),
        (LEAST + "[profile.prod.store]\npaht = 'x'\n", "", "[profile.NAME.store] takes no key `paht` (its keys: path) - at {file}; did you mean `path`?"),
        ('[project]\nname = "toy"\nmodules = "toy"\n', "", "funade.toml expected `project.modules` as `array`, got `str` - at {file}"),
        (LEAST + "timezone = 'Asia'\n", "", "project expected an IANA time zone like 'Asia/Tokyo', got 'Asia' - at {file}"),
        (LEAST + "timezone = '../etc/passwd'\n", "", "project expected an IANA time zone like 'Asia/Tokyo', got '../etc/passwd' - at {file}"),
        (LEAST, "prod", "project expected one of its profiles (none), got `prod` - at {file}; add [profile.prod], or mend FUNADE_PROFILE"),
        (PROFILES, "prd", "project expected one of its profiles (prod, bare), got `prd` - at {file}; did you mean `prod`?"),
        ("[project\n", "", "funade.toml expected TOML, got: Expected ']' at the end of a table declaration (at line 1, column 9) - at {file}"),
    ],
)  # fmt: skip
def test_what_it_may_not_say_is_refused_in_its_own_words(tmp_path: Path, text: str, profile: str, told: str) -> None:
    with pytest.raises(ProjectError) as refusal:
        read(tmp_path, text, profile)

    assert str(refusal.value) == told.format(file=tmp_path / "funade.toml")


def test_where_there_is_none_the_message_says_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(ProjectError) as refusal:
        config.read(tmp_path)

    assert str(refusal.value) == (
        f'project expected funade.toml, got none - at {tmp_path}; write one: [project] name = "…", modules = ["…"]'
    )
