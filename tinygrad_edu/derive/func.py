"""`tg.func`: functions that take a function and return its derivative, as torch.func has them.

They nest to any order: ``grad(grad(f))`` is the second derivative, ``jacfwd(jacrev(f))`` the
Hessian. Arguments and results may be tensors (NumPy arrays and numbers count as such) or tuples,
lists and dicts of them. What a function captures is a constant to it, but stays differentiable to
whoever else asks: the gradient of a gradient's norm reaches a module's parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tinygrad_edu.derive.call import Call
from tinygrad_edu.derive.pytree import flatten, outline
from tinygrad_edu.derive.substitute import functional_call
from tinygrad_edu.derive.vmap import vmap
from tinygrad_edu.errors import ArgumentError, DTypeError, GradientError, ShapeError, describe
from tinygrad_edu.graph.creation import tensor, zeros
from tinygrad_edu.graph.functions import stack
from tinygrad_edu.graph.node import Node
from tinygrad_edu.graph.reader import as_tensor
from tinygrad_edu.graph.tensor import Tensor, make

__all__ = [
    "functional_call",
    "grad",
    "hessian",
    "hvp",
    "jacfwd",
    "jacrev",
    "jvp",
    "value_and_grad",
    "vjp",
    "vmap",
]

Argnums = int | tuple[int, ...]
Function = Callable[..., Any]


# ------------------------------------------------------------------------------ gradients


def grad(func: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """The function that computes the gradient of `func`, which returns a tensor of shape ().

    The gradient has the shape (or the tree) of the argument at `argnums`; a tuple of positions
    gives a tuple. With `has_aux`, `func` returns a pair (value, aux) and so does the gradient.

    >>> import tinygrad_edu as tg
    >>> tg.func.grad(lambda x: x**3)(2.0)
    tensor(12.)
    >>> tg.func.grad(tg.func.grad(lambda x: x**3))(2.0)
    tensor(12.)

    Raises:
        GradientError: `func` returns a tensor of another shape.
        DTypeError: `func` returns something else, or an argument is no float.
        ArgumentError: An argument that `argnums` names is not there.
    """

    def gradient(*args: Any, **kwargs: Any) -> Any:
        call, found = _gradient("grad", func, argnums, has_aux, args, kwargs)
        return (found, call.aux) if has_aux else found

    return gradient


def value_and_grad(func: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """The function that computes the value of `func` and its gradient: JAX's order, (value, grad).

    With `has_aux` the value is the pair (value, aux). Arguments and errors are those of `grad`.
    """

    def both(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        call, found = _gradient("value_and_grad", func, argnums, has_aux, args, kwargs)
        return ((call.result, call.aux) if has_aux else call.result), found

    return both


def _gradient(
    name: str, func: Function, argnums: Argnums, has_aux: bool, args: Any, kwargs: Any
) -> tuple[Call, Any]:
    call = Call(name, func, args, kwargs, _positions(name, argnums, args), has_aux)
    if not isinstance(call.result, Tensor) or call.result.shape:
        found = f"shape {call.result.shape}" if isinstance(call.result, Tensor) else "a tree"
        raise GradientError(
            f"{name}: the function must return one number, a tensor of shape (), not {found}; "
            "reduce it (.sum(), .mean()), or take jacrev of it."
        )
    one = make(Node(np.ones((), call.result.dtype)))
    return call, _by_argument(call, call.gradients([one]), argnums)


def _positions(name: str, argnums: Argnums, args: Sequence[Any]) -> list[int]:
    """Non-negative positions of the arguments to differentiate by."""
    positions = []
    for argnum in argnums if isinstance(argnums, tuple) else (argnums,):
        if not isinstance(argnum, int):
            raise DTypeError(f"{name}: argnums is an int or a tuple of ints, not {argnums!r}.")
        if not -len(args) <= argnum < len(args):
            raise ArgumentError(
                f"{name}: argnums is {argnums}, but the function was called with {len(args)} "
                "positional arguments."
            )
        positions.append(argnum % len(args))
    if len(set(positions)) != len(positions):
        raise ArgumentError(f"{name}: argnums {argnums} name one argument twice.")
    return positions


def _by_argument(call: Call, leaves: Sequence[Any], argnums: Argnums) -> Any:
    """One tree, or a tuple of them, of values that belong to the inputs."""
    trees = tuple(call.like_inputs(leaves).values())
    return trees if isinstance(argnums, tuple) else trees[0]


# ------------------------------------------------------------------------------ products


def vjp(func: Function, *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """The result of ``func(*primals)``, and the function that pulls a cotangent of it back.

    That function takes a tree like the result and returns a tuple, with the product of the
    cotangent and the Jacobian (v^T J) for each of the primals. With `has_aux`: (result, function,
    aux).

    Raises:
        ShapeError: The cotangent's shapes or dtypes are not those of the result.
    """
    call = Call("vjp", func, primals, {}, None, has_aux)

    def pull(cotangents: Any) -> tuple[Any, ...]:
        given = _like("vjp: the cotangent", cotangents, call.result, call.outputs)
        return tuple(call.like_inputs(call.gradients(given)).values())

    return (call.result, pull, call.aux) if has_aux else (call.result, pull)


def jvp(
    func: Function, primals: tuple[Any, ...], tangents: tuple[Any, ...], has_aux: bool = False
) -> tuple[Any, ...]:
    """The result of ``func(*primals)``, and how fast it changes as the primals move along the
    tangents: the product J t. With `has_aux`: (result, product, aux).

    Raises:
        ShapeError: The tangents' shapes or dtypes are not those of the primals.
        DTypeError: Primals or tangents are not in a tuple.
    """
    for name, given in (("primals", primals), ("tangents", tangents)):
        if not isinstance(given, tuple):
            raise DTypeError(f"jvp: {name} must be a tuple, not {type(given).__name__}.")
    call = Call("jvp", func, primals, {}, None, has_aux)
    moving = _like("jvp: the tangent", tangents, primals, [make(x) for x in call.inputs])
    product = call.like_outputs(call.tangents(moving))
    return (call.result, product, call.aux) if has_aux else (call.result, product)


def hvp(func: Function, primals: Any, tangents: Any) -> Any:
    """The product of the Hessian of `func` at the primals with the tangents, without the Hessian:
    the gradient's change along the tangents, at the cost of a few evaluations.

    Primals and tangents are tuples of arguments, as for `jvp`, and so is the product; one argument
    that is not in a tuple gives a product that is not.
    """
    if not isinstance(primals, tuple):
        return hvp(func, (primals,), (tangents,))[0]
    everything = tuple(range(len(primals)))
    return jvp(grad(func, everything), primals, tangents)[1]


def _like(what: str, given: Any, tree: Any, leaves: Sequence[Tensor]) -> list[Tensor]:
    """The leaves of `given`, which must fit those of the tree; numbers and arrays are converted."""
    if outline(given) != outline(tree):
        raise ShapeError(f"{what} must have the structure {outline(tree)}, not {outline(given)}.")
    fitting = []
    for x, leaf in zip(flatten(given)[0], leaves, strict=True):
        x = as_tensor(x) if hasattr(x, "dtype") else tensor(x, leaf.dtype)
        if (x.shape, x.dtype) != (leaf.shape, leaf.dtype):
            raise ShapeError(
                f"{what} {describe([x])} must have the shape and dtype it belongs to, "
                f"{describe([leaf])}."
            )
        fitting.append(x)
    return fitting


# ------------------------------------------------------------------------------ whole derivatives


def jacrev(func: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """The function that computes the Jacobian of `func` by reverse mode, a row at a time: the way
    for fewer outputs than inputs.

    For a result of shape R and an argument of shape A the Jacobian has the shape R + A. Trees nest:
    that of the result outside, that of the argument (or the tuple of `argnums`) inside. With
    `has_aux` it comes as a pair (Jacobian, aux). Errors are those of `grad`, but `func` may return
    any shape.
    """

    def jacobian(*args: Any, **kwargs: Any) -> Any:
        call = Call("jacrev", func, args, kwargs, _positions("jacrev", argnums, args), has_aux)
        rows = [
            [call.gradients(_only(k, call.outputs, row)) for row in _basis(y)]
            for k, y in enumerate(call.outputs)
        ]
        return _jacobian(call, argnums, has_aux, lambda k, i: ([row[i] for row in rows[k]], 0))

    return jacobian


def jacfwd(func: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """The function that computes the Jacobian of `func` by forward mode, a column at a time: the
    way for fewer inputs than outputs. Shapes and errors are those of `jacrev`."""

    def jacobian(*args: Any, **kwargs: Any) -> Any:
        call = Call("jacfwd", func, args, kwargs, _positions("jacfwd", argnums, args), has_aux)
        columns = [
            [call.tangents(_only(i, call.inputs, column)) for column in _basis(x)]
            for i, x in enumerate(call.inputs)
        ]
        return _jacobian(
            call, argnums, has_aux, lambda k, i: ([column[k] for column in columns[i]], -1)
        )

    return jacobian


def hessian(func: Function, argnums: Argnums = 0) -> Function:
    """The function that computes the matrix of second derivatives of `func`, by forward mode over
    reverse mode. For a number and an argument of shape A it has the shape A + A; trees nest as in
    `jacrev`, twice."""
    return jacfwd(jacrev(func, argnums), argnums)


def _basis(x: Tensor | Node) -> Iterator[Tensor]:
    """One tensor for each element of x: 1 there and 0 elsewhere."""
    for index in np.ndindex(x.shape):
        unit = np.zeros(x.shape, x.dtype)
        unit[index] = 1
        yield make(Node(unit))


def _only(position: int, among: Sequence[Any], x: Tensor) -> list[Tensor | None]:
    """x at its position and None at the others."""
    return [x if i == position else None for i in range(len(among))]


def _jacobian(
    call: Call,
    argnums: Argnums,
    has_aux: bool,
    slices: Callable[[int, int], tuple[list[Tensor], int]],
) -> Any:
    """The trees of blocks, each stacked from the slices of output k by input i along an axis."""

    def block(k: int, y: Tensor, i: int, x: Node) -> Tensor:
        parts, axis = slices(k, i)
        shape = y.shape + x.shape
        return stack(parts, axis).reshape(shape) if parts else zeros(shape, dtype=y.dtype)

    jacobian = call.like_outputs(
        _by_argument(call, [block(k, y, i, x) for i, x in enumerate(call.inputs)], argnums)
        for k, y in enumerate(call.outputs)
    )
    return (jacobian, call.aux) if has_aux else jacobian
