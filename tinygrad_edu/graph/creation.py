"""New tensors from data, patterns and random numbers."""

from __future__ import annotations

import contextlib
import math
import numbers
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tinygrad_edu.errors import ArgumentError, DTypeError, ShapeError, TraceError
from tinygrad_edu.graph.axes import unpack
from tinygrad_edu.graph.lines import users_line
from tinygrad_edu.graph.node import Abstract, Node, tracing
from tinygrad_edu.graph.reader import leaf, to_array
from tinygrad_edu.graph.tensor import Tensor, make
from tinygrad_edu.ops import draws, dtypes

DType = Any
"""Anything `numpy.dtype` accepts."""


def tensor(data: Any, dtype: DType = None, requires_grad: bool = False) -> Tensor:
    """A tensor holding a copy of `data`: nested lists, numbers, arrays or a tensor.

    Python floats become float32, Python integers int64 (as torch.tensor); arrays keep their dtype.
    """
    return make(leaf(data, dtype), requires_grad)


def as_tensor(data: Any, dtype: DType = None) -> Tensor:
    """`data` itself if it is a tensor (of that dtype, if one is given), else a tensor of it, as by
    `tensor`."""
    if isinstance(data, Tensor):
        return data if dtype is None else data.to(dtype)
    return tensor(data, dtype)


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor holding a copy of a NumPy array (torch's shares its memory)."""
    if not isinstance(array, np.ndarray):
        raise DTypeError(f"from_numpy: needs a NumPy array, not {type(array).__name__}.")
    return tensor(array)


def from_dlpack(source: Any) -> Tensor:
    """A tensor holding a copy of what another library offers by the DLPack protocol: a torch, JAX,
    CuPy or NumPy array in the processor's memory.

    A shared array would change under a graph that still needs it, whenever its owner writes to it.

    Raises:
        DTypeError: No such array, one on another device, or of a dtype that NumPy does not have.
    """
    try:
        array = np.from_dlpack(source)
    except (AttributeError, TypeError, ValueError, RuntimeError, BufferError) as error:
        raise DTypeError(
            f"from_dlpack: cannot read {type(source).__name__}: {error}. Detach it from its own "
            "graph, and move it to the processor, first."
        ) from None
    return tensor(array)


def zeros(*size: int | Sequence[int], dtype: DType = None, requires_grad: bool = False) -> Tensor:
    """All zeros."""
    return full(unpack(size), 0.0, dtype=dtype, requires_grad=requires_grad)


def ones(*size: int | Sequence[int], dtype: DType = None, requires_grad: bool = False) -> Tensor:
    """All ones."""
    return full(unpack(size), 1.0, dtype=dtype, requires_grad=requires_grad)


def full(
    size: Sequence[int], fill_value: float, dtype: DType = None, requires_grad: bool = False
) -> Tensor:
    """Every element `fill_value`; its Python type decides the dtype unless one is given."""
    dtype = dtypes.of_number(fill_value, None) if dtype is None else dtypes.named(dtype)
    shape = _checked(size)
    value = to_array(fill_value, dtype, name="full")
    if value.size != 1:
        raise ShapeError(f"full: one number fills a tensor, not {value.shape}; use expand.")
    return make(Node(np.full(shape, value.reshape(()))), requires_grad)


def zeros_like(x: Tensor, dtype: DType = None, requires_grad: bool = False) -> Tensor:
    """Zeros of the shape and dtype of `x`."""
    return zeros(x.shape, dtype=dtype or x.dtype, requires_grad=requires_grad)


def ones_like(x: Tensor, dtype: DType = None, requires_grad: bool = False) -> Tensor:
    """Ones of the shape and dtype of `x`."""
    return ones(x.shape, dtype=dtype or x.dtype, requires_grad=requires_grad)


def full_like(
    x: Tensor, fill_value: float, dtype: DType = None, requires_grad: bool = False
) -> Tensor:
    """Every element `fill_value`, in the shape and dtype of `x`."""
    return full(x.shape, fill_value, dtype or x.dtype, requires_grad)


def empty(*size: int | Sequence[int], dtype: DType = None, requires_grad: bool = False) -> Tensor:
    """For values yet to come: zeros, where torch leaves whatever was in memory."""
    return zeros(*size, dtype=dtype, requires_grad=requires_grad)


def empty_like(x: Tensor, dtype: DType = None, requires_grad: bool = False) -> Tensor:
    """`empty` in the shape and dtype of `x`."""
    return zeros_like(x, dtype, requires_grad)


def arange(
    start: float,
    end: float | None = None,
    step: float = 1,
    dtype: DType = None,
    requires_grad: bool = False,
) -> Tensor:
    """start, start + step, ... below end; `arange(n)` counts from 0."""
    first, last = (0, start) if end is None else (start, end)
    if not step or not (last - first) / step >= 0 or not math.isfinite(last - first):
        raise ArgumentError(
            f"arange: no steps of {step} lead from {first} to {last}; both ends are finite, and "
            "the step has the sign of the way."
        )
    whole = all(isinstance(n, numbers.Integral) for n in (first, last, step))
    dtype = dtypes.named(dtype or (dtypes.int64 if whole else dtypes.default_float))
    return make(Node(np.arange(first, last, step).astype(dtype)), requires_grad)


def linspace(
    start: float, end: float, steps: int, dtype: DType = None, requires_grad: bool = False
) -> Tensor:
    """`steps` evenly spaced numbers from start to end, both included."""
    (count,) = _checked((steps,))
    points = np.linspace(start, end, count).astype(dtypes.named(dtype or dtypes.default_float))
    return make(Node(points), requires_grad)


def logspace(
    start: float,
    end: float,
    steps: int,
    base: float = 10.0,
    dtype: DType = None,
    requires_grad: bool = False,
) -> Tensor:
    """The powers of `base` with `steps` evenly spaced exponents, from start to end inclusive."""
    if steps < 0:
        raise ArgumentError(f"logspace: steps must not be negative, got {steps}.")
    points = np.power(float(base), np.linspace(start, end, steps))
    return make(Node(points.astype(dtype or dtypes.default_float)), requires_grad)


def tril_indices(row: int, col: int, offset: int = 0) -> Tensor:
    """The positions on and below a diagonal of a matrix: two rows, of row and column numbers."""
    _checked((row, col))
    return make(Node(np.stack(np.tril_indices(row, offset, col))))


def triu_indices(row: int, col: int, offset: int = 0) -> Tensor:
    """The positions on and above a diagonal of a matrix: two rows, of row and column numbers."""
    _checked((row, col))
    return make(Node(np.stack(np.triu_indices(row, offset, col))))


def eye(n: int, m: int | None = None, dtype: DType = None, requires_grad: bool = False) -> Tensor:
    """The n x m matrix with ones on the diagonal."""
    rows, columns = _checked((n, n if m is None else m))
    dtype = dtypes.named(dtype or dtypes.default_float)
    return make(Node(np.eye(rows, columns, dtype=dtype)), requires_grad)


# ------------------------------------------------------------------------------ random numbers


Drawer = Callable[[str, tuple[int, ...], Any, Any], Tensor]
"""What draws instead of `draw`: of law, shape, dtype and bounds."""


class _Keys(threading.local):
    """Counter-based randomness: draw number `count` under `seed` is one fixed stream, whatever
    else was drawn and by how many threads."""

    seed = 0
    count = 0
    drawer: Drawer | None = None


_keys = _Keys()


def manual_seed(seed: int) -> None:
    """Start the sequence of random draws over, under this seed (0 to 2^64 - 1)."""
    if not isinstance(seed, numbers.Integral) or not 0 <= seed < 2**64:
        raise ArgumentError(f"manual_seed: needs an integer 0 <= seed < 2**64, got {seed!r}.")
    if tracing() is not None:
        raise TraceError(
            "manual_seed: a compiled step would draw the same numbers at each call; seed before "
            f"the first call.\n{users_line()}"
        )
    _keys.seed, _keys.count = seed, 0


def random_state() -> tuple[int, int]:
    """Where the sequence of random draws is: the seed, and how many were made under it."""
    return _keys.seed, _keys.count


def set_random_state(state: tuple[int, int]) -> None:
    """Go on with the random draws from there."""
    _keys.seed, _keys.count = state


def generator() -> np.random.Generator:
    """The generator of the next draw: Philox (Salmon et al. 2011) keyed by seed and draw number."""
    if tracing() is not None:
        raise TraceError(
            "These random numbers would be the same at each call of a compiled step; draw them "
            f"before it, or with tg.rand, randn, randint or randperm.\n{users_line()}"
        )
    _keys.count += 1
    return draws.generator(_keys.seed, _keys.count - 1)


@contextlib.contextmanager
def drawn_by(drawer: Drawer | None) -> Iterator[None]:
    """Inside this ``with`` block, let `drawer` answer when this thread draws. It may draw itself,
    in the way that held outside."""
    before = _keys.drawer

    def answer(*law: Any) -> Tensor:
        with drawn_by(before):
            return drawer(*law)  # type: ignore[misc]

    _keys.drawer = None if drawer is None else answer
    try:
        yield
    finally:
        _keys.drawer = before


def draw(law: str, shape: tuple[int, ...], dtype: Any, bounds: Any = None) -> Tensor:
    """A new tensor of random numbers of one of the laws of `ops.draws.numbers`."""
    dtype, now = dtypes.named(dtype), tracing()
    if _keys.drawer is not None:
        return _keys.drawer(law, shape, dtype, bounds)
    if now is not None:
        traced: Tensor = now.draw(law=law, shape=shape, dtype=dtype, bounds=bounds)
        return traced
    return make(Node(draws.numbers(generator(), law, shape, dtype, bounds)))


def randn(*size: int | Sequence[int], dtype: DType = None, requires_grad: bool = False) -> Tensor:
    """Independent standard normal numbers."""
    drawn = draw("normal", _checked(unpack(size)), dtype or dtypes.default_float)
    return drawn.requires_grad_() if requires_grad else drawn


def rand(*size: int | Sequence[int], dtype: DType = None, requires_grad: bool = False) -> Tensor:
    """Independent numbers, uniform on [0, 1)."""
    drawn = draw("uniform", _checked(unpack(size)), dtype or dtypes.default_float)
    return drawn.requires_grad_() if requires_grad else drawn


def randn_like(x: Tensor, dtype: DType = None, requires_grad: bool = False) -> Tensor:
    """Independent standard normal numbers in the shape and dtype of `x`."""
    return randn(x.shape, dtype=dtype or x.dtype, requires_grad=requires_grad)


def rand_like(x: Tensor, dtype: DType = None, requires_grad: bool = False) -> Tensor:
    """Independent numbers, uniform on [0, 1), in the shape and dtype of `x`."""
    return rand(x.shape, dtype=dtype or x.dtype, requires_grad=requires_grad)


def uniform_for(x: Tensor) -> Tensor:
    """A float32 number for each element of x, independent and uniform on [0, 1), whatever the dtype
    of x: what `rand` would draw. While x is only traced, nothing is drawn: the result is a leaf
    without values, which whoever runs the trace fills by a draw. (`tg.compile` records it.)"""
    if x.node.is_abstract and tracing() is None and _keys.drawer is None:
        return make(Node(Abstract(x.shape, dtypes.float32)))
    return rand(x.shape, dtype=dtypes.float32)


def randint(low: int, high: Any, size: Sequence[int] | None = None, dtype: DType = None) -> Tensor:
    """Independent whole numbers, uniform on low, ..., high - 1 (int64 by default);
    `randint(high, size)` counts from 0."""
    if size is None:
        low, high, size = 0, low, high
    if not low < high:
        raise ArgumentError(f"randint: needs low < high, got {low} and {high}.")
    drawn = draw("integers", _checked(size), dtypes.int64, (low, high))
    return drawn if dtype is None else drawn.to(dtype)


def randint_like(x: Tensor, low: int, high: int | None = None, dtype: DType = None) -> Tensor:
    """`randint` in the shape and dtype of `x`."""
    low, high = (0, low) if high is None else (low, high)
    return randint(low, high, x.shape, dtype or x.dtype)


def randperm(n: int) -> Tensor:
    """A random order of 0, ..., n - 1."""
    return draw("permutation", _checked((n,)), dtypes.int64)


def _checked(size: int | Sequence[int]) -> tuple[int, ...]:
    shape = unpack((size,))
    if any(n < 0 for n in shape):
        raise ArgumentError(f"a shape has no negative sizes, got {shape}.")
    return shape
