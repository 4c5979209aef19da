"""`gradcheck`: a function's derivatives against its own differences, element by element.

Reverse mode is held against central differences, and forward mode against reverse mode. Where they
differ and the slopes to the left and to the right disagree, smaller steps are tried: either the
sides come together, or the function has a kink there, which is no error of its gradient.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_edu.derive import func as transforms
from tinygrad_edu.derive import reverse
from tinygrad_edu.errors import (
    ArgumentError,
    DTypeError,
    GradcheckError,
    KinkError,
    NoDerivativeError,
)
from tinygrad_edu.graph.tensor import Tensor
from tinygrad_edu.ops import dtypes

Array = np.ndarray[Any, np.dtype[np.float64]]
Function = Callable[..., Any]

SHRINK = 32.0
"""How much smaller the next step is where the one-sided slopes disagree."""

STEPS = 3
"""Down to eps / 1024: 1e-9 by default. Below that, rounding of the function's values (2e-16) is
more of a difference quotient than the default tolerance (1e-5)."""

MODES_AGREE = float(np.sqrt(np.finfo(np.float64).eps))
"""Forward and reverse mode do the same arithmetic in another order: half of the digits agree, even
where the other half is lost."""


@dataclass(frozen=True)
class _Tolerance:
    atol: float
    rtol: float

    def holds(self, found: float, wanted: float) -> bool:
        """Whether `found` is close enough; nan never is."""
        return bool(abs(found - wanted) <= self.atol + self.rtol * abs(wanted))


def gradcheck(
    func: Function,
    inputs: Tensor | Sequence[Any],
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Whether the derivatives of ``func(*inputs)`` are right, as torch.autograd.gradcheck.

    Args:
        func: Returns a Tensor or a tuple; results that are no floats are left out.
        inputs: A Tensor or a tuple of arguments. Those that require grad are checked.
        eps: The step of the differences.
        atol, rtol: A derivative may differ from the difference d by atol + rtol |d|.
        raise_exception: False to return False instead of raising `GradcheckError`.

    Forward mode is left out where a custom op has none.

    Raises:
        GradcheckError: Names the element, the input, and both numbers.
        KinkError: The two one-sided slopes differ however small the step, and what the derivative
            rule gives lies between them: move the input.
        DTypeError: A checked input or a result is not float64, whose digits the differences need.
        ArgumentError: No input requires grad.
    """
    return _check("gradcheck", func, inputs, eps, _Tolerance(atol, rtol), raise_exception)


def gradgradcheck(
    func: Function,
    inputs: Tensor | Sequence[Any],
    grad_outputs: Tensor | Sequence[Tensor] | None = None,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Whether the second derivatives of ``func(*inputs)`` are right: `gradcheck` of its gradient,
    by the inputs and by the cotangents (`grad_outputs`, random unless given), which are counted
    after the inputs. Arguments and errors are otherwise those of `gradcheck`."""
    args = _arguments(inputs)
    checked = _checked("gradgradcheck", args)
    results = _results("gradgradcheck", func(*args))
    if grad_outputs is None:
        rng = np.random.default_rng(0)
        cotangents = [Tensor(rng.standard_normal(y.shape), requires_grad=True) for y in results]
    else:
        cotangents = list(_arguments(grad_outputs))

    def gradient(*both: Any) -> tuple[Tensor, ...]:
        xs, gs = both[: len(args)], both[len(args) :]
        pairs = zip(_results("gradgradcheck", func(*xs)), gs, strict=True)
        recorded = [(y, g) for y, g in pairs if y.requires_grad]
        if not recorded:
            return ()
        ys, starts = zip(*recorded, strict=True)
        found = reverse.grad(
            ys, [xs[i] for i in checked], starts, create_graph=True, allow_unused=True
        )
        return tuple(x for x in found if x is not None)

    tolerance = _Tolerance(atol, rtol)
    return _check("gradgradcheck", gradient, (*args, *cotangents), eps, tolerance, raise_exception)


def _check(
    name: str,
    func: Function,
    inputs: Tensor | Sequence[Any],
    eps: float,
    tolerance: _Tolerance,
    raise_exception: bool,
) -> bool:
    problem = _Problem(name, func, _arguments(inputs))
    try:
        problem.check_reverse(eps, tolerance)
        problem.check_forward()
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _arguments(inputs: Any) -> tuple[Any, ...]:
    return (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)


def _checked(name: str, args: Sequence[Any]) -> list[int]:
    """The positions of the inputs to check."""
    which = [i for i, x in enumerate(args) if isinstance(x, Tensor) and x.requires_grad]
    if not which:
        raise ArgumentError(f"{name}: none of the inputs requires grad; set requires_grad=True.")
    for i in which:
        _refuse_low_precision(f"{name}: input {i}", args[i])
    return which


def _results(name: str, returned: Any) -> list[Tensor]:
    """The results of float dtype."""
    several = returned if isinstance(returned, tuple | list) else (returned,)
    results = [y for y in several if isinstance(y, Tensor) and dtypes.is_float(y.dtype)]
    for i, y in enumerate(results):
        _refuse_low_precision(f"{name}: result {i}", y)
    return results


def _refuse_low_precision(what: str, x: Tensor) -> None:
    if x.dtype != dtypes.float64:
        raise DTypeError(
            f"{what} is {x.dtype} of shape {x.shape}; differences need the digits of float64, so "
            "convert with .double()."
        )


class _Problem:
    """A function, and the point where its derivatives are checked."""

    def __init__(self, name: str, func: Function, args: tuple[Any, ...]) -> None:
        self.name = name
        self.func = func
        self.which = _checked(name, args)
        self.args = [x.detach() if isinstance(x, Tensor) else x for x in args]
        self.point = [self.args[i].numpy() for i in self.which]
        self.here, again = self.values(), self.values()
        if not all(map(functools.partial(np.array_equal, equal_nan=True), self.here, again)):
            raise GradcheckError(
                f"{name}: the function gives another value each time; fix what is random in it "
                "(tg.manual_seed at its beginning, model.eval())."
            )
        self.jacobian = self.blocks(transforms.jacrev)

    def results(self, *args: Any) -> tuple[Tensor, ...]:
        """The function's float results."""
        return tuple(_results(self.name, self.func(*args)))

    def values(self, k: int = 0, j: int = 0, by: float = 0.0) -> list[Array]:
        """The results with element j of the checked input k moved."""
        args = list(self.args)
        for position, i in enumerate(self.which):
            moved = self.point[position].copy()
            if by and position == k:
                moved.reshape(-1)[j] += by
            args[i] = Tensor(moved, requires_grad=True)
        return [y.detach().numpy() for y in self.results(*args)]

    def blocks(self, mode: Function) -> list[list[Array]]:
        """The Jacobian of each result by each checked input, as matrices."""
        tree = mode(self.results, tuple(self.which))(*self.args)
        return [
            [
                block.detach().numpy().reshape(y.size, x.size)
                for block, x in zip(row, self.point, strict=True)
            ]
            for row, y in zip(tree, self.here, strict=True)
        ]

    def check_reverse(self, eps: float, tolerance: _Tolerance) -> None:
        """Reverse mode against central differences."""
        for k, x in enumerate(self.point):
            for j in range(x.size):
                ahead, behind = self.values(k, j, eps), self.values(k, j, -eps)
                for o, row in enumerate(self.jacobian):
                    slopes = np.ravel(ahead[o] - behind[o]) / (2 * eps)
                    for e, (found, slope) in enumerate(zip(row[k][:, j], slopes, strict=True)):
                        if not tolerance.holds(found, slope):
                            self.judge(o, e, k, j, float(found), eps, tolerance)

    def judge(
        self, o: int, e: int, k: int, j: int, found: float, step: float, tolerance: _Tolerance
    ) -> None:
        """Raise what is the matter with element e of result o by element j of input k, unless the
        derivative proves right closer by."""
        for _ in range(STEPS):
            here = self.here[o].flat[e]
            right = float(self.values(k, j, step)[o].flat[e] - here) / step
            left = float(here - self.values(k, j, -step)[o].flat[e]) / step
            slope = (left + right) / 2
            if tolerance.holds(found, slope):
                return
            if tolerance.holds(left, right) or not np.isfinite(slope):
                break
            step /= SHRINK
        where = self.describe(o, e, k, j)
        if not np.isfinite(slope):
            raise GradcheckError(
                f"{where}: the function is not finite next to this point (slopes {left:.6g} to the "
                f"left, {right:.6g} to the right; reverse mode gives {found:.6g}); move the input."
            )
        between = min(left, right) <= found <= max(left, right)
        if between and not tolerance.holds(left, right):
            raise KinkError(
                f"{where}: the function has a kink or a jump here (slopes {left:.6g} to the left, "
                f"{right:.6g} to the right), so there is no derivative to check; move the input. "
                f"Reverse mode gives {found:.6g}."
            )
        raise GradcheckError(
            f"{where}: expected {slope:.6g} (central differences), got {found:.6g} (reverse mode)."
        )

    def check_forward(self) -> None:
        """Forward mode against reverse mode."""
        try:
            forward = self.blocks(transforms.jacfwd)
        except NoDerivativeError:
            return
        for o, row in enumerate(self.jacobian):
            for k, wanted in enumerate(row):
                allowed = MODES_AGREE * np.max(np.abs(wanted), initial=1.0)
                wrong = np.argwhere(~(np.abs(forward[o][k] - wanted) <= allowed))
                if len(wrong):
                    e, j = wrong[0]
                    raise GradcheckError(
                        f"{self.describe(o, e, k, j)}: forward mode gives "
                        f"{forward[o][k][e, j]:.12g}, reverse mode {wanted[e, j]:.12g}."
                    )

    def describe(self, o: int, e: int, k: int, j: int) -> str:
        """Which element of which result, by which element of which input."""
        x = self.point[k]
        return (
            f"{self.name}: result {o}{_index(e, self.here[o].shape)} by input {self.which[k]}"
            f"{_index(j, x.shape)} at {x.flat[j]:.6g}"
        )


def _index(flat: int, shape: tuple[int, ...]) -> str:
    """The element's index as one writes it."""
    return str([int(i) for i in np.unravel_index(flat, shape)]) if shape else ""
