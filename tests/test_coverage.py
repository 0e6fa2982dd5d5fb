"""docs/coverage.md is up to date, and what it says of NumPy's names is complete."""

from __future__ import annotations

import os
from types import ModuleType

import calls
import covering
import numpy as np
import pytest

import hopgrad as hg
from hopgrad.errors import HopgradError

UPDATE = os.environ.get("HOPGRAD_UPDATE_GOLDEN") == "1"


def test_the_page_is_up_to_date() -> None:
    found = covering.page()
    if UPDATE:
        covering.FILE.write_text(found, encoding="utf-8")
    kept = covering.FILE.read_text(encoding="utf-8")
    if f"NumPy {covering.VERSION}," not in kept:
        pytest.skip(f"docs/coverage.md is of another version than NumPy {covering.VERSION}")
    assert found == kept, "docs/coverage.md differs: if it is right so, set HOPGRAD_UPDATE_GOLDEN=1 and run this again"


def test_the_page_of_conventions_is_up_to_date() -> None:
    found = covering.conventions_page()
    if UPDATE:
        covering.CONVENTIONS_FILE.write_text(found, encoding="utf-8")
    kept = covering.CONVENTIONS_FILE.read_text(encoding="utf-8")
    assert found == kept, "docs/conventions.md differs: if it is right so, set HOPGRAD_UPDATE_GOLDEN=1, run this again"


def test_the_tests_that_the_rules_name_exist() -> None:
    for _, *names in covering.RULES:
        for name in names:
            file, _, function = name.rpartition("::")
            text = covering.FILE.parents[1].joinpath("tests", file or "test_conventions.py").read_text(encoding="utf-8")
            assert f"\ndef {function}(" in text, name


def test_every_public_name_is_on_the_page() -> None:
    text = covering.FILE.read_text(encoding="utf-8")
    named = set(covering.re.findall(r"`(np\.[\w.*]+)`", text))
    for function in calls.FUNCTIONS:
        name = calls.names_of(function)
        assert name in named or f"{name.rpartition('.')[0]}.*" in named, name
    for name in calls.UFUNCS.keys() - calls.STRINGS:
        assert f"np.{name}" in named or name.startswith("_"), name
    for name in np.__all__:
        value = getattr(np, name)
        if not isinstance(value, ModuleType) and not name.startswith("__"):
            other = calls.names_of(value) if hasattr(value, "__module__") and hasattr(value, "__name__") else ""
            assert f"np.{name}" in named or other in named, name


def test_whatever_is_refused_has_a_reason() -> None:
    *_, refused = covering.functions()
    assert all(reason for _, reason in refused), [name for name, reason in refused if not reason]


@pytest.mark.parametrize("call", ["frompyfunc(abs, 1, 1)(x)", "broadcast(x, x)", "from_dlpack(x)"])
def test_what_numpy_does_not_dispatch_is_refused_as_the_page_says(call: str) -> None:
    assert call.partition("(")[0] in covering.UNDISPATCHED
    with pytest.raises(HopgradError):
        hg.grad(eval(f"lambda x: np.sum(np.{call})", {"np": np}))(np.array([0.3, 1.7]))


def test_a_slope_and_a_plateau_are_told_apart() -> None:
    x = np.array([0.3, 1.7])
    assert covering.varies(np.sin, [x])
    assert not covering.varies(np.floor, [x])
    assert not covering.varies(np.argsort, [x])
