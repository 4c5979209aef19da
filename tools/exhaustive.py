"""The vector functions at every float32 there is, against float64.

    python -m tools.exhaustive exp            # all 2^32, some minutes
    python -m tools.exhaustive --every 1009   # all functions, every 1009th number

prints the largest error in units in the last place and where it is. The reference, NumPy's or
SciPy's float64 function, is itself within some 2^-50 of the true value, a millionth of a unit in
float32's last place, except that what it calls a tie of rounding may not be one.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from tinygrad_edu.kernels.vector_math import UNARY
from tools.vector_functions import Array, vector_function

CHUNK = 1 << 20
PROMISED = 2.0
"""Units in the last place."""


def _sigmoid(x: Array) -> Array:
    small = np.exp(-np.abs(x))
    return np.where(x < 0, small, 1.0) / (1.0 + small)


REFERENCES: dict[str, Callable[[Array], Array]] = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "softplus": lambda x: np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x))),
    "erf": special.erf,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
}


def ulps(result: Array, reference: Array) -> Array:
    """The distance of float32 results from the truth in units of the truth's last place; infinite
    for a wrong infinity, nan or sign of zero."""
    with np.errstate(over="ignore"):
        expected = reference.astype(np.float32)
    exponent = reference.view(np.int64) & 0x7FF0_0000_0000_0000
    unit = np.maximum(exponent.view(np.float64) * 2.0**-23, 2.0**-149)
    with np.errstate(invalid="ignore"):
        distance = np.abs(result.astype(np.float64) - reference) / unit
    special_one = ~np.isfinite(expected) | ~np.isfinite(result)
    same = (result == expected) | (np.isnan(result) & np.isnan(expected))
    distance[special_one] = np.where(same[special_one], 0.0, np.inf)
    distance[(expected == 0) & (result == 0) & (np.signbit(expected) != np.signbit(result))] = (
        np.inf
    )
    return distance


@dataclass
class Worst:
    """The largest error that was found, and the argument it was found at."""

    error: float = -1.0
    at: float = 0.0


def worst(name: str, bits: Array, features: str = "") -> Worst:
    """The largest error of a function among the float32 numbers that have these bits."""
    x = bits.astype(np.uint32).view(np.float32)
    with np.errstate(all="ignore"):
        error = ulps(vector_function(name, features=features)(x), REFERENCES[name](x.astype(float)))
    i = int(np.argmax(error))
    return Worst(float(error[i]), float(x[i]))


def search(name: str, every: int, features: str = "") -> Worst:
    """The largest error among every so many of all float32 numbers."""
    found = Worst()
    for start in range(0, 1 << 32, CHUNK * every):
        stop = min(start + CHUNK * every, 1 << 32)
        here = worst(name, np.arange(start, stop, every, dtype=np.uint64), features)
        if here.error > found.error:
            found = here
    return found


def main() -> int:
    """Print the worst of each function; 1 if one breaks the promise."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", help="functions; all if none is given")
    parser.add_argument("--every", type=int, default=1, help="take every so many numbers only")
    parser.add_argument(
        "--features", default="", help="LLVM's name of what to do without: -avx512f"
    )
    arguments = parser.parse_args()
    kept = True
    for name in arguments.names or sorted(UNARY):
        start = time.perf_counter()
        found = search(name, arguments.every, arguments.features)
        seconds = time.perf_counter() - start
        print(f"{name:9} {found.error:.3f} ulp at {found.at!r}  ({seconds:.0f} s)", flush=True)
        kept &= found.error <= PROMISED
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
