"""One exception for each way an analysis can fail; its message says what happened and the remedy.

Every exception derives from `AnalysisError` and from the built-in a caller would expect for that
kind of failure, so both ``except AnalysisError`` and ``except ValueError`` do what they say.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class AnalysisError(Exception):
    """Base class of everything this package raises on purpose."""


class Unverified(AnalysisError, ValueError):
    """A derivation was asked to state something that no check could establish."""


class UnknownDerivation(AnalysisError, KeyError):
    """No derivation has this name."""

    __str__ = Exception.__str__  # KeyError would print the message quoted, as if it were a key


class UnknownActivation(AnalysisError, KeyError):
    """No activation function of the engine has this name."""

    __str__ = Exception.__str__


class UnsupportedActivation(AnalysisError, ValueError):
    """A function that cannot be read as real, of one variable, and smooth but for finitely many
    points."""


class NameTaken(AnalysisError, ValueError):
    """A name that an op cannot have, because another op has it or because it is no identifier."""


class InvalidLaw(AnalysisError, ValueError):
    """A law that cannot exist, such as one of negative variance."""


class DivergentMoment(AnalysisError, ArithmeticError):
    """The integral that defines a moment does not converge."""


class QuadratureError(AnalysisError, ArithmeticError):
    """The quadrature could not bound its own error, so it gives no value."""


class NoFixedPoint(AnalysisError, ArithmeticError):
    """A map of depth has no fixed point of the kind that was asked for."""


class InputError(AnalysisError, ValueError):
    """A network or an input that cannot be analysed: not finite, or of a shape that does not
    fit."""


class NotANumber(AnalysisError, TypeError):
    """A number was asked of a result that still contains symbols."""


class MissingExtra(AnalysisError, ImportError):
    """Something optional is not installed."""

    def __init__(self, what: str, package: str, extra: str) -> None:
        super().__init__(
            f"{what}: needs {package}; install it with pip install 'tinygrad-edu[{extra}]'."
        )


def no_such(kind: str, name: str, known: Iterable[str]) -> str:
    """The message for an unknown name: the closest known ones if any is close, otherwise all."""
    names = sorted(known)
    close = get_close_matches(name, names, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(names)}"
    return f"no {kind} is named {name!r}; {hint}"
