"""Elementary functions as LLVM code, for scalars and vectors of any width, float32 and float64.

NumPy and libm compute these one call at a time; a fused kernel needs them inline, in whatever
width it works. `emit` writes the instructions of a function after those a builder has: no calls,
tables or branches, so that a loop around it stays one straight line of vector instructions. (Only
sin, cos and tan branch, where an argument is beyond 2^15.)

Results are within 2 units in the last place over the whole range (`python -m tools.exhaustive`
tries every float32, tests sample float64); infinities, nan, the sign of zero, overflow and gradual
underflow are IEEE 754's. Without fused multiply-add instructions a few of libm's calls remain, and
cost their time.
"""

from __future__ import annotations

from llvmlite import ir

from tinygrad_edu.kernels.vector_math.arithmetic import Function, Number
from tinygrad_edu.kernels.vector_math.error import erf
from tinygrad_edu.kernels.vector_math.exponential import cosh, exp, expm1, sigmoid, sinh, tanh
from tinygrad_edu.kernels.vector_math.inverse import acos, asin, atan
from tinygrad_edu.kernels.vector_math.logarithm import log, log1p, softplus
from tinygrad_edu.kernels.vector_math.power import pow
from tinygrad_edu.kernels.vector_math.trigonometric import cos, sin, tan

__all__ = ["SUPPORTED", "emit"]

_FUNCTIONS: dict[str, Function] = {
    function.__name__: function
    for function in (
        *(exp, expm1, log, log1p, sigmoid, tanh, softplus, erf),
        *(sin, cos, tan, sinh, cosh, asin, acos, atan, pow),
    )
}

SUPPORTED = frozenset(_FUNCTIONS)
"""The names that `emit` knows."""


UNARY = SUPPORTED - {"pow"}
"""Those of one operand."""


def emit(name: str, builder: ir.IRBuilder, *xs: ir.Value) -> ir.Value:
    """Write the function's instructions at the builder's position.

    Args:
        name: one of `SUPPORTED`, with the meaning it has in the op table.
        xs: its operands: floats, doubles or vectors of either, all of one type.

    Returns its value, of that type. Raises `KeyError` for another name.
    """
    return _FUNCTIONS[name](*(Number(builder, x) for x in xs)).value
