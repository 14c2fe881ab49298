"""``fn.log``: a field that is not to be logged is named rightly or refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import funade as fn
from funade.errors import DeclarationError
from support import toy


def test_a_text_in_the_place_of_a_list_of_fields_is_refused() -> None:
    told = "policy `log` expected without= a list of fields, got 'phone'; write without=['phone']"
    with pytest.raises(DeclarationError, match=f"^{re.escape(told)}$"):
        fn.log(without="phone")


def test_a_misspelt_field_is_refused_rather_than_logged(tmp_path: Path) -> None:
    owner = 'fn.owner("toy-team"), '
    here = toy.project(toy.write(tmp_path, nodes=(owner, owner + 'fn.log(without=["scores"]), ')))
    with pytest.raises(DeclarationError) as refused:
        _ = here.graph
    assert refused.value.what == "api `judge` expected fn.log(without=…) of its fields (x, score, high), got `scores`"
    assert refused.value.do == "did you mean `score`?"


def test_how_answers_are_logged_changes_no_version(tmp_path: Path) -> None:
    plain = toy.project(toy.write(tmp_path / "plain"))
    owner = 'fn.owner("toy-team"), '
    edit = (owner, owner + 'fn.log(durable=True, without=["x"]), ')
    logged = toy.project(toy.write(tmp_path / "logged", nodes=edit))
    assert plain.graph["judge"].fingerprint == logged.graph["judge"].fingerprint
