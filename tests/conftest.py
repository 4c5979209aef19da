"""What tests share: the Hypothesis profile, the peers as fixtures, a tape of small pages."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest
from hypothesis import settings

import tests.ops.own  # noqa: F401  # before anything registers ops
from tests.peers import import_peer

# Derandomized: the same code gives the same verdict on every machine, and a failure in CI can be
# seen again at home. To search further: pytest --hypothesis-profile=explore
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True, database=None)
settings.register_profile("explore", deadline=None, print_blob=True, max_examples=2000)
settings.load_profile("ci")

PEER_FIXTURES = frozenset({"torch", "micrograd", "autograd", "sklearn"})


@pytest.hookimpl(tryfirst=True)  # before `-m peer` selects by the marks set here
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that takes a peer's fixture, so that no test can forget to."""
    for item in items:
        if PEER_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.peer)


@pytest.fixture(scope="session")
def torch() -> ModuleType:
    """PyTorch."""
    return import_peer("torch")


@pytest.fixture(scope="session")
def micrograd() -> ModuleType:
    """micrograd, with its submodules ``engine`` and ``nn``."""
    import_peer("micrograd.nn")  # which imports micrograd.engine
    return import_peer("micrograd")


@pytest.fixture(scope="session")
def autograd() -> ModuleType:
    """HIPS autograd, with its submodule ``numpy``."""
    import_peer("autograd.numpy")
    return import_peer("autograd")


@pytest.fixture(scope="session")
def sklearn() -> ModuleType:
    """scikit-learn, with its submodule ``datasets``."""
    import_peer("sklearn.datasets")
    return import_peer("sklearn")


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pages of 16 records, so that anything crosses from one to the next."""
    from tinygrad_edu.graph import tape

    monkeypatch.setattr(tape, "PAGE_SIZE", 16)
    tape.turn(tape.page)
    yield
    monkeypatch.undo()
    tape.turn(tape.page)
