"""The derivations, one lecture topic a file.

`REGISTRY` says where each one is written; nothing is imported before it is asked for.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING

from analysis.errors import UnknownDerivation, no_such

if TYPE_CHECKING:
    from analysis.symbolic.derivation import Derivation

REGISTRY = {
    "product-variance": "product:product_variance",
    "dense-forward": "dense:dense_forward",
    "dense-backward": "dense:dense_backward",
    "lecun": "glorot:lecun",
    "glorot": "glorot:glorot",
    "he": "he:he",
}
"""Name of the derivation -> module in this package, and function without arguments."""


def derivations() -> tuple[str, ...]:
    """The names that `derive` knows, in reading order."""
    return tuple(REGISTRY)


@lru_cache
def derive(name: str) -> Derivation:
    """The derivation of that name, every step of it checked.

    Raises:
        UnknownDerivation: there is none; the message lists close names.
    """
    if name not in REGISTRY:
        raise UnknownDerivation(no_such("derivation", name, REGISTRY))
    module, function = REGISTRY[name].split(":")
    derivation: Derivation = getattr(import_module(f"{__name__}.{module}"), function)()
    return derivation
