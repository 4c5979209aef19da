"""`Tensor`: the handle users hold on a node of the graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinygrad_edu import ops
from tinygrad_edu.errors import AxisError, DTypeError, GradientError, ShapeError, TraceError
from tinygrad_edu.graph import functions, indexing, modes, reader
from tinygrad_edu.graph.axes import one_axis
from tinygrad_edu.graph.hooks import GradientFunction, HookHandle, function_of, hook_on
from tinygrad_edu.graph.lines import users_line
from tinygrad_edu.graph.methods import Methods
from tinygrad_edu.graph.node import Abstract, Node, clock, tracing
from tinygrad_edu.graph.numpy_protocol import NumPyProtocol
from tinygrad_edu.graph.operators import Operators
from tinygrad_edu.graph.reader import apply, to_array
from tinygrad_edu.ops import dtypes


class Tensor(Methods, Operators, NumPyProtocol):
    """An array that remembers how it was computed.

    Tensors are compared with torch's in names and defaults. What differs: arithmetic never writes
    into memory that a graph may still need. ``x += y`` and ``x[i] = y`` compute a new value and let
    the name `x` stand for it; slices are values, not windows.

    `Tensor(data)` makes float32 of Python numbers and keeps the dtype of NumPy arrays.
    """

    __slots__ = ("__weakref__", "node")
    __hash__ = object.__hash__

    def __init__(self, data: Any, dtype: Any = None, requires_grad: bool = False) -> None:
        self.node = reader.leaf(data, dtype, whole=dtypes.default_float)
        if requires_grad:
            self.requires_grad_()

    # -------------------------------------------------------------------------- what it is

    @property
    def shape(self) -> tuple[int, ...]:
        """The size along each axis."""
        return self.node.data.shape  # type: ignore[no-any-return]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy dtype."""
        return self.node.data.dtype  # type: ignore[no-any-return]

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def dim(self) -> int:
        """The number of axes."""
        return self.ndim

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size along one axis."""
        if dim is None:
            return self.shape
        if not self.shape:
            raise AxisError("size: shape () has no axes.")
        return self.shape[one_axis("size", self.shape, dim)]

    def numel(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a zero-dimensional tensor has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        if self.node.is_abstract:
            return f"tensor(shape={self.shape}, dtype={self.dtype}, no values)"
        body = np.array2string(self.node.data, separator=", ", prefix="tensor(")
        dtype = "" if self.dtype in _SILENT_DTYPES else f", dtype={self.dtype}"
        if self.node.op is not None:
            return f"tensor({body}{dtype}, grad_fn=<{self.node.op.name}>)"
        return f"tensor({body}{dtype}{', requires_grad=True' if self.requires_grad else ''})"

    def __str__(self) -> str:
        if tracing() is not None and self.node.is_abstract:
            self._values("printing")
        return repr(self)

    # -------------------------------------------------------------------------- its values

    def _values(self, asked: str) -> np.ndarray:
        if self.node.is_abstract:
            raise TraceError(
                f"{asked} asks for the values of a tensor of shape {self.shape} that is being "
                "traced on shapes alone; keep decisions on data out of the traced function "
                "(tg.where selects element by element)"
                + (
                    f", and return what you want to see or keep.\n{users_line()}"
                    if tracing() is not None
                    else "."
                )
            )
        return self.node.data  # type: ignore[no-any-return]

    def numpy(self) -> np.ndarray:
        """A read-only view of the values. Raises while the tensor requires grad: detach() first."""
        if self.requires_grad:
            raise GradientError(
                "numpy: this tensor requires grad, and NumPy would not record what is done to it; "
                "write .detach().numpy()."
            )
        self._values("numpy()")
        view: np.ndarray = self.node.snapshot().view()
        view.flags.writeable = False
        return view

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.numpy(), dtype, copy=copy)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)

    def item(self) -> Any:
        """The one element as a Python number."""
        if self.numel() != 1:
            raise ShapeError(f"item: shape {self.shape} has {self.numel()} elements, not one.")
        return self._values("item()").item()

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers."""
        return self._values("tolist()").tolist()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype.kind not in "iub":
            raise DTypeError(f"only integer tensors are indices, not {self.dtype}")
        return int(self.item())

    def __bool__(self) -> bool:
        if self.numel() != 1:
            raise ShapeError(
                f"bool: shape {self.shape} has {self.numel()} truth values; reduce them first, for "
                "example with (x > 0).sum() > 0."
            )
        return bool(self._values("a condition").item())

    # -------------------------------------------------------------------------- gradients

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to this tensor."""
        return self.node.requires_grad

    @requires_grad.setter
    def requires_grad(self, requires_grad: bool) -> None:
        self.requires_grad_(requires_grad)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Ask for gradients (or stop asking); only leaves of float dtype can be asked."""
        if requires_grad and not dtypes.is_float(self.dtype):
            raise DTypeError(
                f"requires_grad: {self.dtype} has no derivatives; convert with .float() first."
            )
        if not requires_grad and self.node.op is not None:
            raise GradientError("requires_grad: only a leaf can stop asking; use .detach().")
        if requires_grad != self.node.requires_grad:
            now = tracing()
            if now is not None:
                now.asks(self.node)
            clock.now += 1
        self.node.requires_grad = requires_grad
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether the tensor was made by the user rather than by an op."""
        return self.node.op is None

    @property
    def grad(self) -> Tensor | None:
        """What `backward` has added up for this leaf so far, or None."""
        now = tracing()
        if now is not None:
            now.grad_event(self.node, reading=True)
        return self.node.grad  # type: ignore[no-any-return]

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None and not isinstance(value, Tensor):
            raise DTypeError(f"grad: needs a Tensor or None, not {type(value).__name__}.")
        if value is not None and (value.shape, value.dtype) != (self.shape, self.dtype):
            raise ShapeError(
                f"grad: {value.shape} {value.dtype} is not the gradient of {self.shape} "
                f"{self.dtype}; shapes and dtypes must agree."
            )
        now = tracing()
        if now is not None:
            now.grad_event(self.node, reading=False)
        self.node.grad = value

    @property
    def grad_fn(self) -> GradientFunction | None:
        """The op that computed this tensor, if its gradient would go back through it."""
        return function_of(self.node)

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> HookHandle:
        """Call ``hook(gradient)`` whenever a backward walk has this tensor's gradient; what it
        returns, unless None, takes the gradient's place from there on. The handle's `remove()` ends
        it. A compiled step has no place for hooks: it raises `TraceError`."""
        if not self.requires_grad:
            raise GradientError("register_hook: this tensor does not require grad.")
        return hook_on(self.node, hook)

    def retain_grad(self) -> None:
        """Keep the gradient of this interior tensor, too, when `backward` passes it."""
        if not self.requires_grad:
            raise GradientError("retain_grad: this tensor does not require grad.")
        self.node.retains_grad = True

    def backward(
        self,
        gradient: Tensor | None = None,
        create_graph: bool = False,
        *,
        retain_graph: bool | None = None,
    ) -> None:
        """Add the gradient of this tensor to `.grad` of every leaf it depends on.

        `gradient` is the cotangent to start from; it may be left out for a single element. With
        `create_graph` the gradients can be differentiated again. `retain_graph` is accepted for
        torch's sake: graphs are always retained here."""
        modes.backward("tensor")(self, gradient, create_graph)

    def detach(self) -> Tensor:
        """The same values as a constant."""
        if self.node.is_abstract:  # a trace must still know where the values will come from
            with modes.no_grad():
                return apply(ops.reshape, self, shape=self.shape)
        return make(Node(self.node.snapshot()))

    # -------------------------------------------------------------------------- changing values

    @property
    def data(self) -> Tensor:
        """The values as a constant; assign to it to change a tensor behind autograd's back (what
        optimizers do). A graph that still needs the old values then refuses to run backward."""
        return self.detach()

    @data.setter
    def data(self, value: Any) -> None:
        if not isinstance(value, Tensor):
            value = make(Node(to_array(value, self.dtype, name="data")))
        if (value.shape, value.dtype) != (self.shape, self.dtype):
            raise ShapeError(
                f"data: {value.shape} {value.dtype} cannot replace {self.shape} {self.dtype}; "
                "shapes and dtypes must agree."
            )
        if value.node.live:  # its memory is not for two to share
            value = value.detach()
        self.node.take(value.node)

    # -------------------------------------------------------------------------- indexing

    def __getitem__(self, key: Any) -> Tensor:
        return indexing.read(self, key)

    # -------------------------------------------------------------------------- transposes

    @property
    def T(self) -> Tensor:
        """All axes reversed."""
        return functions.permute(self, tuple(reversed(range(self.ndim))))

    @property
    def mT(self) -> Tensor:
        """The last two axes swapped."""
        if self.ndim < 2:
            raise ShapeError(f"mT: shape {self.shape} has no matrix to transpose.")
        return functions.transpose(self, -1, -2)


Operand = Tensor | np.ndarray | np.generic | float | int | bool
"""What may stand beside a tensor in arithmetic."""

_SILENT_DTYPES = (dtypes.float32, dtypes.int64, dtypes.boolean)


def make(node: Node, requires_grad: bool = False) -> Tensor:
    """A handle on `node`."""
    handle = object.__new__(Tensor)
    handle.node = node
    if requires_grad:
        handle.requires_grad_()
    return handle


def abstract(shape: tuple[int, ...], dtype: Any = dtypes.default_float) -> Tensor:
    """A tensor without values: functions of it compute shapes and record every op."""
    return make(Node(Abstract(tuple(shape), np.dtype(dtype))))


reader.make_tensor = make
