"""`Function`: an op of one's own, with a derivative of one's own, under torch's protocol."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from tinygrad_edu.derive.application import Application, CustomOp
from tinygrad_edu.errors import DTypeError, NoDerivativeError
from tinygrad_edu.graph import modes
from tinygrad_edu.graph import node as graph
from tinygrad_edu.graph.node import Node
from tinygrad_edu.graph.tensor import Tensor, make


class Context:
    """What `forward` leaves for `backward` and `jvp`: saved tensors, and any attribute.

    Attributes:
        needs_input_grad: For each argument of `forward`, whether its gradient is asked for.
    """

    def __init__(self, name: str, needs_input_grad: tuple[bool, ...]) -> None:
        self.name = name
        self.needs_input_grad = needs_input_grad
        self.constant: tuple[Tensor, ...] = ()
        self._saved: tuple[Tensor | None, ...] = ()
        self._now: dict[int, Tensor] = {}

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for `backward` and `jvp`. Arguments and results of `forward` come back as
        parts of the graph, so that a gradient can be differentiated again; others as constants."""
        for tensor in tensors:
            if tensor is not None and not isinstance(tensor, Tensor):
                raise DTypeError(
                    f"{self.name}: save_for_backward takes Tensors or None, not "
                    f"{type(tensor).__name__}; keep anything else as an attribute, ctx.n = n."
                )
        self._saved = tensors

    save_for_forward = save_for_backward
    """torch saves apart for `jvp`; here both read the same `saved_tensors`."""

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What `save_for_backward` was given."""
        return tuple(self._now.get(id(tensor), tensor) for tensor in self._saved)

    def mark_non_differentiable(self, *outputs: Tensor) -> None:
        """Declare results that have no gradient; integers have none anyway."""
        self.constant = outputs

    @contextlib.contextmanager
    def seen_as(self, then: Sequence[Tensor], now: Sequence[Tensor]) -> Iterator[None]:
        """Let what `forward` was given and made stand for these tensors meanwhile."""
        self._now = {id(old): new for old, new in zip(then, now, strict=True)}
        try:
            yield
        finally:
            self._now = {}


class Function:
    """The base of custom ops, as torch.autograd.Function. ::

        class Exp(tg.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                y = x.exp()
                ctx.save_for_backward(y)
                return y

            @staticmethod
            def backward(ctx, g):
                (y,) = ctx.saved_tensors
                return g * y

        y = Exp.apply(x)

    `forward` takes any arguments and returns a Tensor or a tuple of them. Nothing it does is
    recorded, so it may use NumPy (``x.numpy()``). `backward` takes a cotangent for each result and
    returns a gradient, or None, for each argument. Where it is written in functions of tensors it
    can be differentiated again, and forward mode comes from it as well. Where it uses NumPy,
    forward mode needs a `jvp`, which takes a tangent for each argument (None for one that is no
    Tensor) and returns one for each result.

    While only shapes are traced, `forward` runs on tensors without values: one written in functions
    of tensors gives the shapes, one that asks for values raises `TraceError`.
    """

    _op: ClassVar[CustomOp]

    jvp: ClassVar[Any] = None
    """``jvp(ctx, *tangents)``, a static method that a subclass may define."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._op = CustomOp(cls.__name__, cls.__doc__)

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Any:
        """The results; a subclass defines it."""
        raise NotImplementedError(f"{ctx.name}: defines no forward(ctx, ...)")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """The gradients of the arguments; a subclass defines it."""
        raise NoDerivativeError(f"{ctx.name}: defines no backward(ctx, ...).")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run `forward` on these arguments and record it.

        Raises:
            DTypeError: `forward` returned something else than Tensors.
        """
        nodes = tuple(arg.node for arg in args if isinstance(arg, Tensor))
        asks = modes.is_grad_enabled() and any(node.requires_grad for node in nodes)
        needs = tuple(isinstance(arg, Tensor) and asks and arg.requires_grad for arg in args)
        call = Application(cls, args, Context(cls.__name__, needs))
        packed = call.run([make(node).detach() for node in nodes])
        if not asks or packed is None:
            return call.returned
        node = Node(packed.node.data, True, cls._op, nodes, {"call": call})
        now = graph.tracing()
        if now is not None:
            now.same(node, packed.node)
        if graph.watch is not None:
            graph.watch(cls._op, nodes, node)
        return call.unpack(make(node))
