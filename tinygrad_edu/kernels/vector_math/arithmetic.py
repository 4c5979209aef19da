"""Arithmetic on LLVM values under construction, so that formulas in the other files read as such.

No fast-math flags. Where a product and a sum may become one instruction it says `muladd`, where
they must it says `fma`; everything else is computed as it is written, on any machine.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llvmlite import ir


@dataclass(frozen=True)
class Format:
    """An IEEE 754 binary format."""

    name: str
    bits: int
    fraction: int
    """Bits of the stored fraction."""

    @property
    def bias(self) -> int:
        """The exponent of 1.0 as it is stored."""
        return (1 << (self.bits - self.fraction - 2)) - 1

    @property
    def smallest_normal(self) -> float:
        """Below it are the subnormal numbers."""
        return 2.0 ** (1 - self.bias)

    @property
    def smallest_subnormal(self) -> float:
        """Below it is 0."""
        return 2.0 ** (1 - self.bias - self.fraction)


FORMATS = {"float": Format("float32", 32, 23), "double": Format("float64", 64, 52)}


@dataclass(frozen=True)
class Number:
    """A float or integer, or a vector of them, that the code under construction computes."""

    builder: ir.IRBuilder
    value: ir.Value

    @property
    def element(self) -> ir.Type:
        """The type of one lane."""
        kind = self.value.type
        return kind.element if isinstance(kind, ir.VectorType) else kind

    @property
    def format(self) -> Format:
        """The format of a float, and of the floats whose bits an integer is."""
        if isinstance(self.element, ir.IntType):
            return FORMATS["float" if self.element.width == 32 else "double"]
        return FORMATS[str(self.element)]

    @property
    def floats(self) -> ir.Type:
        """The type of as many floats."""
        return self._shaped(ir.FloatType() if self.format.bits == 32 else ir.DoubleType())

    @property
    def integers(self) -> ir.Type:
        """The type of as many integers of the same size."""
        return self._shaped(ir.IntType(self.format.bits))

    def _shaped(self, element: ir.Type) -> ir.Type:
        kind = self.value.type
        return ir.VectorType(element, kind.count) if isinstance(kind, ir.VectorType) else element

    def constant(self, x: float) -> Number:
        """A number in every lane, of this one's type."""
        kind = self.value.type
        vector = isinstance(kind, ir.VectorType)
        x = int(x) if isinstance(self.element, ir.IntType) else float(x)
        return self.of(ir.Constant(kind, [x] * kind.count if vector else x))

    def of(self, value: ir.Value) -> Number:
        """Another value under the same construction."""
        return Number(self.builder, value)

    def coerce(self, x: Operand) -> ir.Value:
        """An operand's LLVM value; Python numbers become constants."""
        return x.value if isinstance(x, Number) else self.constant(x).value

    def _binary(self, floats: str, integers: str, other: Operand) -> Number:
        name = integers if isinstance(self.element, ir.IntType) else floats
        return self.of(getattr(self.builder, name)(self.value, self.coerce(other)))

    def __add__(self, other: Operand) -> Number:
        return self._binary("fadd", "add", other)

    def __sub__(self, other: Operand) -> Number:
        return self._binary("fsub", "sub", other)

    def __mul__(self, other: Operand) -> Number:
        return self._binary("fmul", "mul", other)

    def __truediv__(self, other: Operand) -> Number:
        return self.of(self.builder.fdiv(self.value, self.coerce(other)))

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other: Operand) -> Number:
        return self.of(self.coerce(other)) - self

    def __rtruediv__(self, other: Operand) -> Number:
        return self.of(self.coerce(other)) / self

    def __neg__(self) -> Number:
        whole = isinstance(self.element, ir.IntType)
        return self.of((self.builder.neg if whole else self.builder.fneg)(self.value))

    def __lt__(self, other: Operand) -> Condition:
        return self._compare("<", other)

    def __gt__(self, other: Operand) -> Condition:
        return self._compare(">", other)

    def is_equal(self, other: Operand) -> Condition:
        """Where both are the same number; nan is none."""
        return self._compare("==", other)

    def differs(self, other: Operand) -> Condition:
        """Where they are not the same number; nan differs from everything."""
        return Condition(self, self.builder.fcmp_unordered("!=", self.value, self.coerce(other)))

    def __le__(self, other: Operand) -> Condition:
        return self._compare("<=", other)

    def __ge__(self, other: Operand) -> Condition:
        return self._compare(">=", other)

    def _compare(self, symbol: str, other: Operand) -> Condition:
        whole = isinstance(self.element, ir.IntType)
        compare = self.builder.icmp_signed if whole else self.builder.fcmp_ordered
        return Condition(self, compare(symbol, self.value, self.coerce(other)))

    # -------------------------------------------------------------------------- bits

    def as_bits(self) -> Number:
        """The bits of a float as an integer."""
        return self.of(self.builder.bitcast(self.value, self.integers))

    def as_float(self) -> Number:
        """The float that has these bits."""
        return self.of(self.builder.bitcast(self.value, self.floats))

    def to_float(self) -> Number:
        """The float nearest to an integer."""
        return self.of(self.builder.sitofp(self.value, self.floats))

    def __lshift__(self, bits: int) -> Number:
        return self.of(self.builder.shl(self.value, self.coerce(bits)))

    def __rshift__(self, bits: int) -> Number:
        return self.of(self.builder.ashr(self.value, self.coerce(bits)))

    def __and__(self, mask: int) -> Number:
        return self.of(self.builder.and_(self.value, self.coerce(mask)))

    def has(self, mask: int) -> Condition:
        """Where an integer has one of these bits."""
        masked = (self & mask).value
        return Condition(self, self.builder.icmp_signed("!=", masked, self.coerce(0)))

    # -------------------------------------------------------------------------- precision

    def widened(self) -> Number:
        """The same numbers in double precision."""
        return self.of(self.builder.fpext(self.value, self._shaped(ir.DoubleType())))

    def narrowed(self) -> Number:
        """The nearest numbers in single precision."""
        return self.of(self.builder.fptrunc(self.value, self._shaped(ir.FloatType())))

    # -------------------------------------------------------------------------- functions

    def intrinsic(self, name: str, *others: Operand) -> Number:
        """An LLVM intrinsic of operands of one type."""
        kind, module = self.value.type, self.builder.module
        lanes = f"v{kind.count}" if isinstance(kind, ir.VectorType) else ""
        full = f"llvm.{name}.{lanes}f{self.format.bits}"
        arguments = [self.value, *map(self.coerce, others)]
        function = module.globals.get(full)
        if function is None:
            function = ir.Function(module, ir.FunctionType(kind, [kind] * len(arguments)), full)
        return self.of(self.builder.call(function, arguments))

    def abs(self) -> Number:
        """Without its sign."""
        return self.intrinsic("fabs")

    def copysign(self, sign: Number) -> Number:
        """With another's sign."""
        return self.intrinsic("copysign", sign)

    def sqrt(self) -> Number:
        """The square root; nan of what is below 0."""
        return self.intrinsic("sqrt")

    def nearest_integer(self) -> Number:
        """The integer nearest to a float, as a float."""
        return self.intrinsic("rint")

    def maximum(self, bound: Operand) -> Number:
        """At least `bound`, which is not nan; nan stays nan."""
        return (self < bound).select(bound, self)

    def minimum(self, bound: Operand) -> Number:
        """At most `bound`, which is not nan; nan stays nan."""
        return (self > bound).select(bound, self)


Operand = Number | float


@dataclass(frozen=True)
class Condition:
    """A truth for each lane of numbers."""

    like: Number
    value: ir.Value

    def select(self, yes: Operand, no: Operand) -> Number:
        """`yes` where it holds, else `no`; one of them may be a Python number."""
        like = yes if isinstance(yes, Number) else no if isinstance(no, Number) else self.like
        builder = like.builder
        return like.of(builder.select(self.value, like.coerce(yes), like.coerce(no)))

    def and_(self, other: Condition) -> Condition:
        """Where both hold."""
        return Condition(self.like, self.like.builder.and_(self.value, other.value))

    def or_(self, other: Condition) -> Condition:
        """Where one holds."""
        return Condition(self.like, self.like.builder.or_(self.value, other.value))

    def not_(self) -> Condition:
        """Where it does not hold."""
        return Condition(self.like, self.like.builder.not_(self.value))

    def anywhere(self) -> ir.Value:
        """Whether it holds in one lane, as one bit."""
        kind, b = self.value.type, self.like.builder
        if not isinstance(kind, ir.VectorType):
            return self.value
        bits = ir.IntType(kind.count)
        return b.icmp_unsigned("!=", b.bitcast(self.value, bits), bits(0))


Function = Callable[..., Number]


def in_double(function: Function) -> Function:
    """The function in double precision, rounded once to the precision of its operands: for what
    would take as many instructions in single precision to be as good."""

    @functools.wraps(function)
    def either(*xs: Number) -> Number:
        if xs[0].format.bits == 64:
            return function(*xs)
        return function(*(x.widened() for x in xs)).narrowed()

    return either


def fma(a: Number, b: Operand, c: Operand) -> Number:
    """a b + c rounded once. Without the instruction this is a slow call of libm's."""
    return a.intrinsic("fma", b, c)


def muladd(a: Number, b: Operand, c: Operand) -> Number:
    """a b + c, rounded once where that is quick and else twice."""
    return a.intrinsic("fmuladd", b, c)


def polynomial(x: Number, coefficients: Sequence[float]) -> Number:
    """c0 + c1 x + c2 x^2 + ... by Horner's rule."""
    total = x.constant(coefficients[-1])
    for c in reversed(coefficients[:-1]):
        total = muladd(total, x, c)
    return total
