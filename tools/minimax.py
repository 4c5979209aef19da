"""The polynomials and split constants of `tinygrad_edu.kernels.vector_math`, with their errors.

    python -m tools.minimax            # prints the module coefficients.py
    python -m tools.minimax --check    # exit status 1 if the package's differs

Each polynomial is the minimax approximation under a weight that turns its error into the relative
error of the function it serves (Remez's exchange algorithm, in mpmath; Muller, *Elementary
Functions*). Coefficients are rounded one at a time, from the constant one on,
and the later ones are fitted again around what rounding did to the earlier ones. The error printed
is that of the rounded coefficients, in exact arithmetic.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mpmath import mp, mpf

TARGET = Path(__file__).parent.parent / "tinygrad_edu/kernels/vector_math/coefficients.py"
DIGITS = 50
CONSTANT_DIGITS = 420
"""For the bits of 2/pi."""

BITS = {"float32": 24, "float64": 53}
TWO_OVER_PI_BITS = 1280
"""Enough for the largest float64, 2^1024, and 192 bits more."""

GRID = 30
"""Points looked at for each coefficient, when extrema of the error are searched."""

Function = Callable[[Any], Any]


@dataclass(frozen=True)
class Problem:
    """A polynomial that is to approximate `function` on [low, high], its error times `weight`."""

    name: str
    precision: str
    meaning: str
    function: Function
    weight: Function
    low: Any
    high: Any
    degree: int


def problems() -> list[Problem]:
    """Every polynomial that the vector functions need, in both precisions."""
    listed = []
    half_ln2 = mp.log(2) / 2 * mpf("1.001")  # rounding may pick the neighbouring multiple of ln 2
    root, sqrt, erf, erfc = mp.sqrt(2), mp.sqrt, mp.erf, mp.erfc
    for precision, exp_degree, tanh_degree, erf_degree in (
        ("float32", 4, 4, 6),
        ("float64", 11, 10, 12),
    ):
        listed += [
            Problem(
                "EXP",
                precision,
                "(exp(r) - 1 - r) / r^2 of r, |r| <= ln(2)/2; relative to expm1(r)",
                lambda r: (mp.expm1(r) - r) / r**2,
                lambda r: r**2 / mp.expm1(r),
                -half_ln2,
                half_ln2,
                exp_degree,
            ),
            Problem(
                "TANH",
                precision,
                "(tanh(x)/x - 1) / z of z = x^2, |x| <= 5/8",
                lambda z: (mp.tanh(sqrt(z)) / sqrt(z) - 1) / z,
                lambda z: z * sqrt(z) / mp.tanh(sqrt(z)),
                mpf(0),
                mpf(25) / 64,
                tanh_degree,
            ),
            Problem(
                "ERF",
                precision,
                "erf(x)/x - 1 of z = x^2, |x| <= 1",
                lambda z: erf(sqrt(z)) / sqrt(z) - 1,
                lambda z: sqrt(z) / erf(sqrt(z)),
                mpf(0),
                mpf(1),
                erf_degree,
            ),
        ]
    for precision, last, degree in (("float32", 4, 7), ("float64", 6, 18)):
        listed.append(
            Problem(
                "ERFC",
                precision,
                f"log(erfc(x)) of t = x - 1, 1 <= x <= {last}; relative to erf(x)",
                lambda t: mp.log(erfc(1 + t)),
                lambda t: erfc(1 + t) / erf(1 + t),
                mpf(0),
                mpf(last - 1),
                degree,
            )
        )
    listed += [
        Problem(
            "LOG",
            "float32",
            "(log(1+f) - f + f^2/2) / f^3 of f, sqrt(1/2) <= 1 + f <= sqrt(2)",
            lambda f: (mp.log1p(f) - f + f**2 / 2) / f**3,
            lambda f: f**3 / mp.log1p(f),
            1 / root - 1,
            root - 1,
            8,
        ),
        Problem(
            "LOG",
            "float64",
            "(log((1+s)/(1-s))/s - 2) / z of z = s^2, s = f/(2+f), f as in float32",
            lambda z: (2 * mp.atanh(sqrt(z)) / sqrt(z) - 2) / z,
            lambda z: z * sqrt(z) / (2 * mp.atanh(sqrt(z))),
            mpf(0),
            ((root - 1) / (root + 1)) ** 2,
            6,
        ),
    ]
    return [*listed, *double_problems()]


def double_problems() -> list[Problem]:
    """Polynomials of functions that are computed in double precision, whatever is asked."""
    sqrt, one = mp.sqrt, mpf(1)
    quarter_pi = mp.pi / 4 * mpf("1.001")  # rounding may pick the neighbouring multiple of pi/2
    tan_eighth = (sqrt(2) - 1) * mpf("1.001")
    log_s = ((sqrt(2) - 1) / (sqrt(2) + 1)) ** 2
    listed: list[tuple[str, str, Function, Function, Any, int]] = [
        (
            "SIN",
            "(sin(x)/x - 1) / z of z = x^2, |x| <= pi/4",
            lambda z: (mp.sin(sqrt(z)) / sqrt(z) - 1) / z,
            lambda z: z * sqrt(z) / mp.sin(sqrt(z)),
            quarter_pi**2,
            5,
        ),
        (
            "COS",
            "(cos(x) - 1 + z/2) / z^2 of z = x^2, |x| <= pi/4",
            lambda z: (mp.cos(sqrt(z)) - 1 + z / 2) / z**2,
            lambda z: z**2 / mp.cos(sqrt(z)),
            quarter_pi**2,
            5,
        ),
        (
            "SINH",
            "(sinh(x)/x - 1) / z of z = x^2, |x| <= 1",
            lambda z: (mp.sinh(sqrt(z)) / sqrt(z) - 1) / z,
            lambda z: z * sqrt(z) / mp.sinh(sqrt(z)),
            one,
            6,
        ),
        (
            "ASIN",
            "(asin(x)/x - 1) / z of z = x^2, |x| <= 1/2",
            lambda z: (mp.asin(sqrt(z)) / sqrt(z) - 1) / z,
            lambda z: z * sqrt(z) / mp.asin(sqrt(z)),
            one / 4,
            12,
        ),
        (
            "ATAN",
            "(atan(x)/x - 1) / z of z = x^2, |x| <= tan(pi/8)",
            lambda z: (mp.atan(sqrt(z)) / sqrt(z) - 1) / z,
            lambda z: z * sqrt(z) / mp.atan(sqrt(z)),
            tan_eighth**2,
            11,
        ),
        (
            "LOG_TAIL",
            "(atanh(s)/s - 1 - z/3) / z^2 of z = s^2, s as in LOG",
            lambda z: (mp.atanh(sqrt(z)) / sqrt(z) - 1 - z / 3) / z**2,
            lambda z: z**2 * sqrt(z) / mp.atanh(sqrt(z)),
            log_s,
            8,
        ),
    ]
    return [
        Problem(name, "float64", meaning, function, weight, mpf(0), high, degree)
        for name, meaning, function, weight, high, degree in listed
    ]


# ------------------------------------------------------------------------------ the fit


def rounded(x: Any, precision: str) -> float:
    """The nearest number of the precision."""
    return float(np.float32(float(x))) if precision == "float32" else float(x)


def fit(problem: Problem) -> tuple[list[float], float]:
    """The coefficients, lowest first, rounded; and the largest weighted error they leave."""
    points = chebyshev(problem.low, problem.high, GRID * (problem.degree + 2))
    wanted = [problem.function(x) for x in points]
    weights = [abs(problem.weight(x)) for x in points]
    known: list[float] = []
    while len(known) <= problem.degree:
        rest = [y - horner(known, x) if known else y for x, y in zip(points, wanted, strict=True)]
        free = remez(points, rest, weights, len(known), problem.degree)
        known.append(rounded(free[0], problem.precision))
    errors = (w * (horner(known, x) - y) for x, y, w in zip(points, wanted, weights, strict=True))
    return known, float(max(map(abs, errors)))


def chebyshev(low: Any, high: Any, count: int) -> list[Any]:
    """Points of [low, high] that are dense at its ends; none of them is 0."""
    middle, radius = (low + high) / 2, (high - low) / 2
    return [middle - radius * mp.cos(mp.pi * (i + mpf(1) / 2) / count) for i in range(count)]


def horner(coefficients: Sequence[Any], x: Any) -> Any:
    """The polynomial's value."""
    total = mpf(0)
    for c in reversed(coefficients):
        total = total * x + c
    return total


def remez(
    points: Sequence[Any], wanted: Sequence[Any], weights: Sequence[Any], first: int, last: int
) -> list[Any]:
    """The coefficients of x^first ... x^last that minimise the largest weighted error on the
    points. Each round solves for an error that alternates on the reference, then moves the
    reference to the extrema of the error it got."""
    count = last - first + 2
    reference = [(2 * i + 1) * len(points) // (2 * count) for i in range(count)]
    for _ in range(30):
        system, right = mp.matrix(count, count), mp.matrix(count, 1)
        for row, at in enumerate(reference):
            for column in range(count - 1):
                system[row, column] = points[at] ** (first + column)
            system[row, count - 1] = (-1) ** row / weights[at]
            right[row] = wanted[at]
        solution = mp.lu_solve(system, right)
        coefficients, level = [solution[i] for i in range(count - 1)], abs(solution[count - 1])
        errors = [
            w * (x**first * horner(coefficients, x) - y)
            for x, y, w in zip(points, wanted, weights, strict=True)
        ]
        if max(map(abs, errors)) <= level * mpf("1.0001"):
            break
        extrema = alternating_extrema(errors)
        if len(extrema) < count:
            break  # the grid resolves no more
        while len(extrema) > count:
            extrema.pop(0 if abs(errors[extrema[0]]) < abs(errors[extrema[-1]]) else -1)
        reference = extrema
    return coefficients


def alternating_extrema(errors: Sequence[Any]) -> list[int]:
    """Where the error is largest in each stretch of one sign."""
    best = [0]
    for i, error in enumerate(errors):
        if (error > 0) != (errors[best[-1]] > 0):
            best.append(i)
        elif abs(error) > abs(errors[best[-1]]):
            best[-1] = i
    return best


# ------------------------------------------------------------------------------ the module


def split(x: Any, bits: int, precision: str) -> tuple[float, float]:
    """x as a sum of a number of `bits` bits and the rest."""
    unit = mpf(2) ** (mp.floor(mp.log(x, 2)) + 1 - bits)
    high = mp.nint(x / unit) * unit
    return float(high), rounded(x - high, precision)


def long_constants() -> list[str]:
    """The numbers that no polynomial needs: pi/2 and 2/pi, and numbers as sums of two."""
    with mp.workdps(CONSTANT_DIGITS):
        return _long_constants()


def _long_constants() -> list[str]:
    first, _ = split(mp.pi / 2, 38, "float64")
    second, _ = split(mp.pi / 2 - mpf(first), 38, "float64")
    third = float(mp.pi / 2 - mpf(first) - mpf(second))
    digits = f"{int(mp.floor(2 / mp.pi * mpf(2) ** TWO_OVER_PI_BITS)):x}"
    width = 64
    lines = [
        "HALF_PI = (  # parts of so few bits that their product with 15 more is exact; the rest",
        *(f"    {part!r}," for part in (first, second, third)),
        ")",
        f"TWO_OVER_PI_BITS = {TWO_OVER_PI_BITS}",
        "TWO_OVER_PI = int(  # times 2^TWO_OVER_PI_BITS, rounded down",
        *(f'    "{digits[i : i + width]}"' for i in range(0, len(digits), width)),
    ]
    lines[-1] += ","
    lines += ["    16,", ")", ""]
    for name, x in (("HALF_PI_SUM", mp.pi / 2), ("THIRD_SUM", mpf(1) / 3)):
        high = float(x)
        lines += [f"{name} = ({high!r}, {float(x - mpf(high))!r})"]
    return [*lines, ""]


def module() -> str:
    """The source of coefficients.py."""
    lines = [
        '"""Coefficients of the vector functions. Written by `python -m tools.minimax`: no edits.',
        "",
        "Coefficients are by precision, lowest first; a comment gives the largest relative error",
        "that they leave in exact arithmetic, in units of 2^-24 (float32) or 2^-53 (float64).",
        '"""',
        "",
        "LN2 = {  # high part of so few bits that its product with any exponent is exact; the rest",
    ]
    # The exponent of an argument of exp takes 8 bits (|k| <= 150) or 11 (|k| <= 1076).
    lines += [
        f'    "{precision}": {split(mp.log(2), bits, precision)},'
        for precision, bits in (("float32", 24 - 8), ("float64", 53 - 11))
    ]
    lines += ["}", "", *long_constants()]
    listed = problems()
    for name in dict.fromkeys(problem.name for problem in listed):
        lines.append(f"{name} = {{")
        for problem in listed:
            if problem.name == name:
                coefficients, error = fit(problem)
                lines += [
                    f"    # {problem.meaning}",
                    f'    "{problem.precision}": (  # {error * 2.0 ** BITS[problem.precision]:.2g}',
                    *(f"        {c!r}," for c in coefficients),
                    "    ),",
                ]
        lines += ["}", ""]
    return "\n".join(lines)


def main() -> int:
    """Print the module, or compare it with the package's."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare with the package's module")
    arguments = parser.parse_args()
    mp.dps = DIGITS
    if arguments.check:
        return int(TARGET.read_text() != module())
    print(module(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
