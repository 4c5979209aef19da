"""The LLVM reader: what each primitive of a rule becomes as vector instructions.

An elementwise rule reads its functions from a namespace; `Namespace` is that namespace for LLVM
values. `Lanes` are those values: one number per lane of a vector register, or a single number.
Bare numbers in a rule become constants of the type of what is beside them, never wider ones.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir

from tinygrad_edu.kernels import vector_math
from tinygrad_edu.kernels.whole_powers import MOST_FACTORS, product

BOOL = np.dtype(np.bool_)
TYPES = {
    np.dtype(np.float32): ir.FloatType(),
    np.dtype(np.float64): ir.DoubleType(),
    np.dtype(np.int32): ir.IntType(32),
    np.dtype(np.int64): ir.IntType(64),
    BOOL: ir.IntType(1),
}
"""The element types there are; a bool is one byte in memory (`STORED`) and one bit in a lane."""
STORED = {**TYPES, BOOL: ir.IntType(8)}
FAST = ("contract",)
"""Only fused multiply-add: anything more breaks nan, infinities or the order of sums."""


class NoVectorForm(Exception):
    """A primitive that has no vector instructions for this type."""


def constant(kind: ir.Type, number: Any) -> ir.Constant:
    """A number as a constant of this type, in every lane."""
    if isinstance(kind, ir.VectorType):
        return ir.Constant(kind, [_single(kind.element, number)] * kind.count)
    return ir.Constant(kind, _single(kind, number))


def _single(kind: ir.Type, number: Any) -> Any:
    return float(number) if isinstance(kind, ir.FloatType | ir.DoubleType) else int(number)


class Lanes:
    """Numbers in the lanes of a register, with the arithmetic that rules are written in."""

    __slots__ = ("builder", "dtype", "value")
    __hash__ = None  # type: ignore[assignment]
    flags: tuple[str, ...] = FAST

    def __init__(self, builder: ir.IRBuilder, value: Any, dtype: np.dtype[Any]) -> None:
        self.builder, self.value, self.dtype = builder, value, dtype

    @property
    def is_float(self) -> bool:
        """Whether the lanes hold floats."""
        return self.dtype.kind == "f"

    def like(self, x: Any) -> Any:
        """An operand beside this one, as an LLVM value."""
        return x.value if isinstance(x, Lanes) else constant(self.value.type, x)

    def new(self, value: Any) -> Lanes:
        """Other lanes of the same dtype."""
        return type(self)(self.builder, value, self.dtype)

    def _arithmetic(self, name: str, a: Any, b: Any) -> Lanes:
        if self.is_float:
            return self.new(getattr(self.builder, f"f{name}")(a, b, flags=self.flags))
        if self.dtype == BOOL:  # as NumPy has it: the sum of truth values is or, the product and
            if name == "sub":
                raise NoVectorForm("subtraction of bool")
            return self.new(getattr(self.builder, {"add": "or_", "mul": "and_"}[name])(a, b))
        return self.new(getattr(self.builder, name)(a, b))

    def __add__(self, x: Any) -> Lanes:
        return self._arithmetic("add", self.value, self.like(x))

    def __radd__(self, x: Any) -> Lanes:
        return self._arithmetic("add", self.like(x), self.value)

    def __sub__(self, x: Any) -> Lanes:
        return self._arithmetic("sub", self.value, self.like(x))

    def __rsub__(self, x: Any) -> Lanes:
        return self._arithmetic("sub", self.like(x), self.value)

    def __mul__(self, x: Any) -> Lanes:
        return self._arithmetic("mul", self.value, self.like(x))

    def __rmul__(self, x: Any) -> Lanes:
        return self._arithmetic("mul", self.like(x), self.value)

    def __truediv__(self, x: Any) -> Lanes:
        return self._divide(self.value, self.like(x), x)

    def __rtruediv__(self, x: Any) -> Lanes:
        return self._divide(self.like(x), self.value, None)

    def _divide(self, a: Any, b: Any, number: Any) -> Lanes:
        if not self.is_float:
            raise NoVectorForm("division of integers")
        if isinstance(number, int | float) and number and math.frexp(number)[0] in (0.5, -0.5):
            # The inverse of a power of two is exact, and multiplying is cheaper.
            return self.new(self.builder.fmul(a, self.like(1 / number), flags=self.flags))
        return self.new(self.builder.fdiv(a, b, flags=self.flags))

    def __neg__(self) -> Lanes:
        return self.new((self.builder.fneg if self.is_float else self.builder.neg)(self.value))

    def compare(self, sign: str, x: Any) -> Lanes:
        """A condition; any comparison with nan is false, except that nan != everything."""
        b, other = self.builder, self.like(x)
        if self.is_float:
            found = (b.fcmp_unordered if sign == "!=" else b.fcmp_ordered)(sign, self.value, other)
        elif self.dtype == BOOL:
            found = b.icmp_unsigned(sign, self.value, other)
        else:
            found = b.icmp_signed(sign, self.value, other)
        return type(self)(b, found, BOOL)

    def __lt__(self, x: Any) -> Lanes:
        return self.compare("<", x)

    def __le__(self, x: Any) -> Lanes:
        return self.compare("<=", x)

    def __gt__(self, x: Any) -> Lanes:
        return self.compare(">", x)

    def __ge__(self, x: Any) -> Lanes:
        return self.compare(">=", x)

    def call(self, name: str, *xs: Any) -> Lanes:
        """An LLVM intrinsic of this type."""
        args = [self.value, *(self.like(x) for x in xs)]
        return self.new(intrinsic(self.builder, f"llvm.{name}", self.value.type, args))

    def cast(self, dtype: np.dtype[Any]) -> Lanes:
        """The same numbers in another dtype, as `ndarray.astype` has them."""
        if dtype == self.dtype:
            return self
        b, x, kind = self.builder, self.value, _shaped(TYPES[dtype], self.value.type)
        if dtype == BOOL:
            return self.compare("!=", 0)
        if self.dtype == BOOL:
            value = b.uitofp(x, kind) if dtype.kind == "f" else b.zext(x, kind)
        elif self.is_float and dtype.kind == "f":
            value = (b.fpext if dtype.itemsize > self.dtype.itemsize else b.fptrunc)(x, kind)
        elif self.is_float:
            value = b.fptosi(x, kind)
        elif dtype.kind == "f":
            value = b.sitofp(x, kind)
        else:
            value = (b.sext if dtype.itemsize > self.dtype.itemsize else b.trunc)(x, kind)
        return type(self)(b, value, dtype)


class Strict(Lanes):
    """Lanes whose products and sums are rounded one by one, as in Python."""

    __slots__ = ()
    flags = ()


def _shaped(element: ir.Type, like: ir.Type) -> ir.Type:
    return ir.VectorType(element, like.count) if isinstance(like, ir.VectorType) else element


def intrinsic(builder: ir.IRBuilder, name: str, kind: ir.Type, args: list[Any]) -> Any:
    """Call an LLVM intrinsic that is named after its result type."""
    element = kind.element if isinstance(kind, ir.VectorType) else kind
    bits = {ir.FloatType(): "f32", ir.DoubleType(): "f64"}.get(element) or f"i{element.width}"
    count = f"v{kind.count}" if isinstance(kind, ir.VectorType) else ""
    full = f"{name}.{count}{bits}"
    module = builder.module
    function = module.globals.get(full) or ir.Function(
        module, ir.FunctionType(kind, [x.type for x in args]), full
    )
    return builder.call(function, args)


def splat(builder: ir.IRBuilder, x: Any, count: int) -> Any:
    """One number in every lane of a vector."""
    if count == 1:
        return x
    undefined = ir.Constant(ir.VectorType(x.type, count), ir.Undefined)
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), count), [0] * count)
    first = builder.insert_element(undefined, x, ir.IntType(32)(0))
    return builder.shuffle_vector(first, undefined, zeros)


class Namespace:
    """The functions a rule may call, in which lanes flow.

    `dtype` is what two bare numbers become in `where`; `count` is the number of lanes.
    """

    pi = math.pi
    sqrt2 = math.sqrt(2.0)
    sqrtpi = math.sqrt(math.pi)

    def __init__(
        self, builder: ir.IRBuilder, count: int, dtype: np.dtype[Any], lanes: type[Lanes] = Lanes
    ) -> None:
        self._builder, self._count, self._dtype, self._lanes = builder, count, dtype, lanes

    def number(self, x: Any, dtype: np.dtype[Any]) -> Lanes:
        """A bare number in every lane."""
        kind = TYPES[dtype]
        if self._count > 1:
            kind = ir.VectorType(kind, self._count)
        return self._lanes(self._builder, constant(kind, x), dtype)

    def where(self, condition: Lanes, a: Any, b: Any) -> Lanes:
        """`a` where the condition holds, else `b`."""
        if not isinstance(a, Lanes):
            a = self.number(a, b.dtype if isinstance(b, Lanes) else self._dtype)
        chosen: Lanes = a.new(self._builder.select(condition.value, a.value, a.like(b)))
        return chosen

    @staticmethod
    def eq(a: Any, b: Any) -> Lanes:
        """a == b"""
        return _first(a, b).compare("==", _second(a, b))

    @staticmethod
    def ne(a: Any, b: Any) -> Lanes:
        """a != b"""
        return _first(a, b).compare("!=", _second(a, b))

    def logical_and(self, a: Lanes, b: Lanes) -> Lanes:
        """Both hold."""
        return self._lanes(self._builder, self._builder.and_(_truth(a), _truth(b)), BOOL)

    def logical_or(self, a: Lanes, b: Lanes) -> Lanes:
        """At least one holds."""
        return self._lanes(self._builder, self._builder.or_(_truth(a), _truth(b)), BOOL)

    def logical_not(self, a: Lanes) -> Lanes:
        """Does not hold."""
        return self._lanes(self._builder, self._builder.not_(_truth(a)), BOOL)

    def maximum(self, a: Any, b: Any) -> Lanes:
        """The larger; nan if either is nan."""
        return self._extreme(">", a, b)

    def minimum(self, a: Any, b: Any) -> Lanes:
        """The smaller; nan if either is nan."""
        return self._extreme("<", a, b)

    def _extreme(self, sign: str, a: Any, b: Any) -> Lanes:
        x, other = _first(a, b), _second(a, b)
        # What the processor's own instruction does: the second operand where either is nan.
        found = self._builder.select(x.compare(sign, other).value, x.value, x.like(other))
        if x.is_float:
            unordered = self._builder.fcmp_unordered("uno", x.value, x.value)
            found = self._builder.select(unordered, x.value, found)
        return x.new(found)

    @staticmethod
    def abs(x: Lanes) -> Lanes:
        """The absolute value."""
        if x.is_float:
            return x.call("fabs")
        return x.new(x.builder.select((x < 0).value, (-x).value, x.value))

    def sign(self, x: Lanes) -> Lanes:
        """-1, 0 or 1; nan stays nan."""
        return self.where(x > 0, 1, self.where(x < 0, -1, self.where(self.eq(x, 0), 0, x)))

    @staticmethod
    def floor(x: Lanes) -> Lanes:
        """The largest integer that is not above x."""
        return x.call("floor") if x.is_float else x

    @staticmethod
    def sqrt(x: Lanes) -> Lanes:
        """The square root."""
        return x.call("sqrt")

    def pow(self, x: Any, n: Any) -> Lanes:
        """x to the power n; a few whole ones that the rule itself names are products."""
        if isinstance(n, int | float) and n in range(1, MOST_FACTORS + 1):
            return product(x, int(n))  # type: ignore[no-any-return]
        first = _first(x, n)
        return self._function("pow", first, first.new(first.like(_second(x, n))))

    def remainder(self, a: Any, b: Any) -> Lanes:
        """a - b floor(a / b), with the sign of b; integers by 0 give 0, as in NumPy."""
        x, y = self._pair(a, b)
        if not x.is_float:
            return self._divided(x, y)[1]
        rest, crossed = self._rest(x, y)
        rest = self.where(crossed, rest + y, rest)
        return self.where(self.eq(rest, 0.0), self._zero(y), rest)

    def floor_divide(self, a: Any, b: Any) -> Lanes:
        """floor(a / b) of the exact quotient; integers by 0 give 0, as in NumPy."""
        x, y = self._pair(a, b)
        if not x.is_float:
            return self._divided(x, y)[0]
        rest, crossed = self._rest(x, y)
        whole = ((x - rest) / y).call("rint")  # it is whole but for rounding
        whole = self.where(crossed, whole - 1.0, whole)
        whole = self.where(self.eq(whole, 0.0), self._zero(x / y), whole)
        return self.where(self.eq(y, 0.0), x / y, whole)

    def _zero(self, sign: Lanes) -> Lanes:
        """0 with the sign of another number."""
        return self.number(0.0, sign.dtype).call("copysign", sign)

    def _pair(self, a: Any, b: Any) -> tuple[Lanes, Lanes]:
        first = _first(a, b)
        if first.dtype == BOOL:
            raise NoVectorForm("division of bool")
        x = a if isinstance(a, Lanes) else first.new(first.like(a))
        return x, b if isinstance(b, Lanes) else first.new(first.like(b))

    def _rest(self, x: Lanes, y: Lanes) -> tuple[Lanes, Lanes]:
        """What C calls the remainder, x - y trunc(x / y), and whether its sign is not that of y."""
        rest = x.new(x.builder.frem(x.value, y.value))
        above = self.logical_and(rest < 0.0, y > 0.0)
        below = self.logical_and(rest > 0.0, y < 0.0)
        return rest, self.logical_or(above, below)

    def _divided(self, x: Lanes, y: Lanes) -> tuple[Lanes, Lanes]:
        """Quotient and remainder of integers. The processor traps where y is 0, and where the
        quotient of the lowest number and -1 would be too large."""
        none, minus = self.eq(y, 0), self.eq(y, -1)
        safe = self.where(self.logical_or(none, minus), 1, y)
        quotient, rest = (
            x.new(getattr(x.builder, name)(x.value, safe.value)) for name in ("sdiv", "srem")
        )
        crossed = self.logical_and(self.ne(rest, 0), self.ne(rest < 0, safe < 0))
        quotient = self.where(crossed, quotient - 1, quotient)
        rest = self.where(crossed, rest + safe, rest)
        return self.where(none, 0, self.where(minus, -x, quotient)), rest

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in vector_math.SUPPORTED:
            raise NoVectorForm(name)
        return lambda x: self._function(name, x)

    def _function(self, name: str, x: Lanes, *others: Lanes) -> Lanes:
        check_float(name, x)
        return x.new(vector_math.emit(name, self._builder, x.value, *(y.value for y in others)))


def check_float(name: str, x: Lanes) -> None:
    """Elementary functions are there for floats only."""
    if not x.is_float:
        raise NoVectorForm(f"{name} of {x.dtype}")


def _first(a: Any, b: Any) -> Lanes:
    first: Lanes = a if isinstance(a, Lanes) else b.new(b.like(a))
    return first


def _second(a: Any, b: Any) -> Any:
    return b


def _truth(x: Lanes) -> Any:
    return x.cast(BOOL).value


def evaluate(
    builder: ir.IRBuilder, count: int, dtype: np.dtype[Any], rule: Any, xs: list[Lanes], params: Any
) -> Lanes:
    """What a rule makes of these lanes; `dtype` is that of its result."""
    return read(Namespace(builder, count, dtype), dtype, rule, xs, params)


def read(
    namespace: Namespace, dtype: np.dtype[Any], rule: Any, xs: list[Lanes], params: Any
) -> Lanes:
    """The same with a namespace of one's own."""
    found = rule(namespace, *xs, **params)
    if not isinstance(found, Lanes):  # a rule may return a number
        found = namespace.number(found, dtype)
    return found.cast(dtype)
