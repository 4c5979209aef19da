"""`Module`: a function with parameters, built from other modules.

A module is a plain object. Its parameters are those of its attributes that are a `Parameter`, its
children those that are a `Module`; nothing else is recorded about them, so the two cannot disagree.
Buffers (state that is not trained) are tensors whose names `register_buffer` has noted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

from tinygrad_edu.errors import CheckpointError, DTypeError, ModuleError
from tinygrad_edu.graph.node import clock
from tinygrad_edu.graph.tensor import Tensor
from tinygrad_edu.nn.hooks import ForwardHook, ForwardPreHook, HookHandle
from tinygrad_edu.nn.parameter import Parameter, clear_grad, convert
from tinygrad_edu.nn.state import LoadReport, load
from tinygrad_edu.ops import dtypes


class Module:
    """Base class of layers and networks, used as torch.nn.Module is. ::

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.first = nn.Linear(64, 128)
                self.last = nn.Linear(128, 10)

            def forward(self, x):
                return self.last(self.first(x).relu())

    Attributes:
        training: Whether layers that behave differently in training do so; see `train`, `eval`.

    Raises:
        ModuleError: Assigning something else to an attribute that holds a parameter, a buffer or a
            module, which would silently stop being trained or saved. None is allowed.
    """

    training: bool
    _kept_for: dict[str, type]
    """What an attribute may be assigned (besides None), for those that are not free."""
    _buffers: dict[str, bool]
    """The names of the buffers, and whether `state_dict` includes them."""
    _forward_hooks: dict[int, ForwardHook]
    _frozen: frozenset[str] | None
    """The names of the own parameters that `freeze` stopped; None while not frozen."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        # Not in __init__, so that a subclass that does not call super().__init__() works as well.
        self = super().__new__(cls)
        vars(self).update(training=True, _kept_for={}, _buffers={}, _forward_hooks={}, _frozen=None)
        return self

    # -------------------------------------------------------------------------- attributes

    def __setattr__(self, name: str, value: Any) -> None:
        kind = self._kept_for.get(name)
        if kind is not None and value is not None and not isinstance(value, kind):
            raise ModuleError(
                f"{type(self).__name__}.{name} holds a {kind.__name__} and cannot become a "
                f"{type(value).__name__}; assign a {kind.__name__} or None"
                + (", or change its values by .data or nn.init." if kind is Parameter else ".")
            )
        if kind is None and isinstance(value, Parameter | Module):
            self._keep(name, Parameter if isinstance(value, Parameter) else Module)
        if vars(self).get(name, self) is not value:
            clock.now += 1  # a compiled step looks again at what it depends on
        super().__setattr__(name, value)

    def _keep(self, name: str, kind: type) -> None:
        """Reserve a name for parameters, modules or buffers; its dots would part the keys of the
        state dictionary elsewhere."""
        if not isinstance(name, str) or not name or "." in name:
            raise ModuleError(
                f"{type(self).__name__}: {name!r} cannot be the name of a {kind.__name__}; it is a "
                "string without dots, which separate the names in the keys of a state."
            )
        self._kept_for[name] = kind

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        clock.now += 1
        self._kept_for.pop(name, None)
        self._buffers.pop(name, None)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Assign a parameter, or reserve the name for one by None (a layer without bias)."""
        self._keep(name, Parameter)
        setattr(self, name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Assign state that is not trained but belongs to the module: it is converted with it and,
        if `persistent`, saved."""
        self._keep(name, Tensor)
        setattr(self, name, tensor)
        self._buffers[name] = persistent

    def add_module(self, name: str, module: Module | None) -> None:
        """Assign a module, or reserve the name for one by None."""
        self._kept_for[name] = Module
        setattr(self, name, module)

    def get_submodule(self, target: str) -> Any:
        """The module under a dotted name, as `named_modules` gives it."""
        module: Any = self
        for name in target.split(".") if target else ():
            module = vars(module).get(name)
            if not isinstance(module, Module):
                raise ModuleError(f"{type(self).__name__}: {target!r} names no module in it.")
        return module

    # -------------------------------------------------------------------------- calling

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; a subclass defines it. Call the module, not this: hooks."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward().")

    _forward_pre_hooks: dict[int, ForwardPreHook] | None = None  # made for the first such hook

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._forward_pre_hooks:
            args = self._changed_by_hooks(args)
        output = self.forward(*args, **kwargs)
        return self._seen_by_hooks(args, output) if self._forward_hooks else output

    def _seen_by_hooks(self, args: tuple[Any, ...], output: Any) -> Any:
        for hook in tuple(self._forward_hooks.values()):  # a hook may remove itself
            changed = hook(self, args, output)
            if changed is not None:
                output = changed
        return output

    def _changed_by_hooks(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook in tuple((self._forward_pre_hooks or {}).values()):
            changed = hook(self, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        return args

    def register_forward_pre_hook(self, hook: ForwardPreHook) -> HookHandle:
        """Call ``hook(module, args)`` before every forward; what it returns, unless None, replaces
        the positional arguments (one that is no tuple is the only one)."""
        if self._forward_pre_hooks is None:
            self._forward_pre_hooks = {}
        return HookHandle(self._forward_pre_hooks, hook)

    def register_forward_hook(self, hook: ForwardHook) -> HookHandle:
        """Call ``hook(module, args, output)`` after every forward; what it returns, unless None,
        replaces the output. The handle's `remove()` (or leaving its ``with`` block) ends it."""
        return HookHandle(self._forward_hooks, hook)

    # -------------------------------------------------------------------------- walking the tree

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules held directly, each once, in order of assignment."""
        seen = set()
        for name, value in vars(self).items():
            if isinstance(value, Module) and value not in seen:
                seen.add(value)
                yield name, value

    def children(self) -> Iterator[Module]:
        """The modules held directly."""
        return (child for _, child in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module (under the name `prefix`) and all below it, each once, parents first."""
        seen = set()
        stack: list[tuple[str, Module]] = [(prefix, self)]
        while stack:
            path, module = stack.pop()
            if module not in seen:
                seen.add(module)
                yield path, module
                stack += reversed([(_join(path, n), m) for n, m in module.named_children()])

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each once, parents first."""
        return (module for _, module in self.named_modules())

    def _named_tensors(
        self, own: Callable[[Module], Iterator[tuple[str, Any]]], prefix: str, recurse: bool
    ) -> Iterator[tuple[str, Any]]:
        """Tensors of this module and those below, each once, under the first of its names."""
        seen = set()
        for path, module in self.named_modules(prefix) if recurse else [(prefix, self)]:
            for name, tensor in own(module):
                if tensor not in seen:
                    seen.add(tensor)
                    yield _join(path, name), tensor

    def named_parameters(
        self, prefix: str = "", recurse: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The parameters under their dotted names, each once: torch's names and order."""
        return self._named_tensors(_own_parameters, prefix, recurse)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, each once: what an optimizer takes."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Tensor]]:
        """The buffers under their dotted names, each once."""
        return self._named_tensors(_own_buffers, prefix, recurse)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers, each once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def apply(self, fn: Callable[[Module], object]) -> Self:
        """Call `fn` on every module below and then on this one (to initialise them, say)."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    # -------------------------------------------------------------------------- modes

    def train(self, mode: bool = True) -> Self:
        """Training mode for this module and all below: dropout drops, batch norm uses the batch."""
        self.training = mode
        for child in self.children():
            child.train(mode)  # its own method: a subclass may have a say in it
        return self

    def eval(self) -> Self:
        """Evaluation mode: the module is a fixed function of its input."""
        return self.train(False)

    def freeze(self) -> Self:
        """Stop training this module and all below, as Keras's ``trainable = False`` does: no
        parameter requires grad, their gradients are forgotten, and batch norm normalises by its
        running statistics and leaves them alone, in training mode too. Dropout goes on dropping: it
        has nothing to train. Everything else is left to `train` and `eval`.

        `requires_grad_(False)` stops the parameters only; see docs/frozen.md for the difference."""
        for module in self.modules():
            stopped = set(module._frozen or ())
            for name, parameter in _own_parameters(module):
                if parameter.requires_grad:
                    stopped.add(name)
                parameter.requires_grad_(False)
                parameter.grad = None  # or an optimizer would take one more step with it
            module._frozen = frozenset(stopped)
        return self

    def unfreeze(self) -> Self:
        """Undo `freeze` for this module and all below: the parameters that it stopped require grad
        again (others, stopped before, do not), and batch norm follows its mode."""
        for module in self.modules():
            for name, parameter in _own_parameters(module):
                if name in (module._frozen or ()):
                    parameter.requires_grad_()
            module._frozen = None
        return self

    def is_frozen(self) -> bool:
        """Whether `freeze` was called on this module, or on one above it."""
        return self._frozen is not None

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Ask for the gradients of all parameters, or stop asking."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters (or fill them with zeros)."""
        for parameter in self.parameters():
            clear_grad(parameter, set_to_none)

    # -------------------------------------------------------------------------- precision

    def to(self, dtype: Any) -> Self:
        """Convert all parameters and buffers of float dtype, and gradients with them, in place. A
        parameter that still has the values it was drawn with keeps its law."""
        dtype = dtypes.named(dtype)
        if not dtypes.is_float(dtype):
            raise DTypeError(f"to: a module computes with floats, so it cannot become {dtype}.")
        for tensor in (*self.parameters(), *self.buffers()):
            if dtypes.is_float(tensor.dtype) and tensor.dtype != dtype:
                convert(tensor, dtype)
        return self

    def double(self) -> Self:
        """Convert to float64."""
        return self.to(dtypes.float64)

    def float(self) -> Self:
        """Convert to float32."""
        return self.to(dtypes.float32)

    # -------------------------------------------------------------------------- state

    def state_dict(self) -> dict[str, Tensor]:
        """All parameters and persistent buffers under torch's keys, as constants.

        It is a snapshot: training goes on without changing it (torch's follows the model)."""
        return {key: tensor.detach() for key, tensor in self._state()}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> LoadReport:
        """Take over the values of a state dictionary (tensors or arrays); dtypes stay as they are.

        Everything is checked first, so a dictionary that does not fit changes nothing. With
        ``strict=False`` missing and unexpected keys are only reported; shapes must always agree.

        Raises:
            CheckpointError: Lists all keys that are missing, unexpected, or of another shape.
        """
        if not isinstance(state_dict, Mapping):
            raise CheckpointError(
                f"{type(self).__name__}: a state dictionary has tensors or arrays by name; this is "
                f"{type(state_dict).__name__}."
            )
        return load(type(self).__name__, dict(self._state()), state_dict, strict)

    def _state(self) -> Iterator[tuple[str, Tensor]]:
        """Every state tensor under every name it has: one shared by two layers comes twice."""
        yield from _own_parameters(self)
        yield from ((name, b) for name, b in _own_buffers(self) if self._buffers[name])
        for name, child in vars(self).items():
            if isinstance(child, Module):
                yield from ((_join(name, key), tensor) for key, tensor in child._state())

    # -------------------------------------------------------------------------- printing

    def extra_repr(self) -> str:
        """The arguments to show between the parentheses."""
        return ""

    def __repr__(self) -> str:
        lines = [
            f"  ({name}): " + repr(child).replace("\n", "\n  ")
            for name, child in vars(self).items()
            if isinstance(child, Module)
        ]
        if not lines:
            return f"{type(self).__name__}({self.extra_repr()})"
        first = [f"  {self.extra_repr()}"] if self.extra_repr() else []
        return "\n".join([f"{type(self).__name__}(", *first, *lines, ")"])


def _own_parameters(module: Module) -> Iterator[tuple[str, Parameter]]:
    return ((name, p) for name, p in vars(module).items() if isinstance(p, Parameter))


def _own_buffers(module: Module) -> Iterator[tuple[str, Tensor]]:
    named = ((name, getattr(module, name)) for name in module._buffers)
    return ((name, buffer) for name, buffer in named if buffer is not None)


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name
