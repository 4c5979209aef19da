"""Derivations are found by name, and loaded only then."""

from __future__ import annotations

import subprocess
import sys

import pytest

import analysis
from analysis.errors import AnalysisError, UnknownDerivation
from analysis.topics import REGISTRY

CORE = ("product-variance", "dense-forward", "dense-backward", "lecun", "glorot", "he")


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_core_derivations_come_first() -> None:
    assert analysis.derivations()[: len(CORE)] == CORE


@pytest.mark.parametrize("name", REGISTRY)
def test_a_derivation_bears_its_registered_name(name: str) -> None:
    assert analysis.derive(name).name == name
    assert analysis.derive(name) is analysis.derive(name)


def test_an_unknown_name_lists_close_ones() -> None:
    with pytest.raises(UnknownDerivation, match="did you mean dense-forward"):
        analysis.derive("dense-foward")
    assert issubclass(UnknownDerivation, AnalysisError)
    with pytest.raises(KeyError, match="known are"):
        analysis.derive("xyz")


def test_importing_the_package_loads_nothing_heavy() -> None:
    loaded = (
        "import sys, analysis; print([m for m in ('sympy', 'numpy', 'numba') if m in sys.modules])"
    )
    assert run(loaded) == "[]"
    assert (
        run("import sys, analysis; analysis.derivations(); print('sympy' in sys.modules)")
        == "False"
    )


def test_deriving_loads_neither_numba_nor_scipy() -> None:
    code = (
        "import sys, analysis; analysis.derive('he'); print({'numba', 'scipy'} & set(sys.modules))"
    )
    assert run(code) == "set()"


def test_public_names_are_listed_and_loaded_on_demand() -> None:
    assert set(analysis.__all__) <= set(dir(analysis))
    for name in analysis.__all__:
        assert callable(getattr(analysis, name))
    with pytest.raises(AttributeError, match="no attribute 'moment'"):
        _ = analysis.moment  # type: ignore[attr-defined]
