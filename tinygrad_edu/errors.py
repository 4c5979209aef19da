"""One exception for each mistake a user can make, naming the op, the shapes and the remedy.

Every exception derives from `TinygradError` and from the built-in that NumPy or torch users would
catch for the same mistake, so existing ``except ValueError`` code keeps working.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class TinygradError(Exception):
    """Base class of everything this package raises on purpose."""


class ArgumentError(TinygradError, ValueError):
    """A number or option outside what the function is defined for (n = 0, negative variance)."""


class ShapeError(TinygradError, ValueError):
    """The shapes of the operands do not fit the op."""


class AxisError(ShapeError, IndexError):
    """An axis that the operand does not have, or the same axis named twice."""


class IndexingError(TinygradError, IndexError):
    """An index, or a mask, that does not fit the tensor it is applied to."""


class DTypeError(TinygradError, TypeError):
    """The op is not defined for these dtypes, or mixes dtypes that must not be mixed."""


class GradientError(TinygradError, RuntimeError):
    """A derivative was asked for that does not exist or is not recorded."""


class NoDerivativeError(GradientError):
    """An op without the derivative that was asked for: a custom op has those its author wrote."""


class GradcheckError(GradientError):
    """A derivative that is not the function's, found by `autograd.gradcheck`."""


class KinkError(GradcheckError):
    """The function has a kink or a jump where `autograd.gradcheck` looked, so there is no
    derivative to compare with."""


class AnomalyError(TinygradError, RuntimeError):
    """Under `detect_anomaly`: the first op whose value or gradient is NaN or infinite."""


class StaleStorageError(GradientError):
    """A tensor's storage changed between the forward pass and the backward pass that reads it."""


class InPlaceError(TinygradError, RuntimeError):
    """An in-place change of a leaf whose history is being recorded."""


class TraceError(TinygradError, TypeError):
    """A value was asked of a tensor that only has a shape."""


class DataError(TinygradError, ValueError):
    """A data set, file or loader that cannot be what it claims to be."""


class ModuleError(TinygradError, TypeError):
    """A module was given something that is not a part it can train, save or call."""


class TrainingError(TinygradError, RuntimeError):
    """Training cannot go on: the loss is no number any more. `history` is what was measured."""

    def __init__(self, message: str, history: object = None) -> None:
        super().__init__(message)
        self.history = history


class CheckpointError(TinygradError, ValueError):
    """State that cannot be stored, a file of it that is not whole, or a state dictionary or
    checkpoint that does not belong to the model, optimizer or run it is loaded into."""


class FrozenStatisticsWarning(UserWarning):
    """A batch norm layer whose parameters are frozen goes on moving its running statistics."""


def describe(specs: Iterable[object]) -> str:
    """Shapes and dtypes of operands for a message: ``(2, 3) float32 and (4,) float32``."""
    return " and ".join(
        f"{tuple(getattr(spec, 'shape', ()))} {getattr(spec, 'dtype', '')}".strip()
        for spec in specs
    )


def cannot_broadcast(name: str, shapes: Sequence[tuple[int, ...]]) -> ShapeError:
    """The error for operands whose shapes do not broadcast together."""
    listed = " and ".join(str(tuple(shape)) for shape in shapes)
    return ShapeError(
        f"{name}: shapes {listed} do not broadcast. Compared from the right, each pair of sizes "
        "must be equal or one of them 1; add axes of size 1 with x[:, None] or reshape."
    )
