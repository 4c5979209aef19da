"""`vmap`: a function written for one example, run for all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

from tinygrad_edu.derive.batched import Batched
from tinygrad_edu.derive.batching import run
from tinygrad_edu.derive.pytree import flatten, map_leaves
from tinygrad_edu.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_edu.graph.axes import one_axis
from tinygrad_edu.graph.creation import Drawer, draw, drawn_by, random_state
from tinygrad_edu.graph.functions import cat, movedim, stack
from tinygrad_edu.graph.node import Node
from tinygrad_edu.graph.reader import as_tensor
from tinygrad_edu.graph.tensor import Tensor, abstract

Dims = Any
"""An axis, None for "the same for all", or a tuple, list or dict of those like the argument."""


def vmap(
    func: Callable[..., Any],
    in_dims: Dims = 0,
    out_dims: Dims = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """The function that runs `func`, which is written for one example, for a batch of them.

    `func` is called once, on tensors without values, and what it recorded is run with one more
    axis: every op once for all examples. So `func` cannot decide on values (``if x > 0``). It may
    take gradients, and may be differentiated or batched again. ::

        gradients = vmap(grad(loss), in_dims=(None, 0, 0))(parameters, inputs, labels)

    Args:
        func: A function of tensors, or of tuples, lists and dicts of them, that returns such.
        in_dims: The axis of each argument that counts the examples, None for an argument that is
            the same for all; one number for all arguments, or a tuple with one entry for each,
            which may itself be a tree like the argument. Keyword arguments have the axis 0.
        out_dims: Where the axis of the examples goes in the results; one number or a tree.
        randomness: What random draws inside `func` mean: "error" refuses them, "same" draws once
            for all examples, "different" for each.
        chunk_size: At most so many examples at a time, to save memory.

    Raises:
        ArgumentError: No argument varies; `in_dims` or `out_dims` do not fit; random draws.
        ShapeError: Arguments of different numbers of examples, or without the axis.
        DTypeError: An argument or a result is no tensor.
    """
    if randomness not in ("error", "same", "different"):
        raise ArgumentError(
            f"vmap: randomness is 'error', 'same' or 'different', not {randomness!r}."
        )
    if chunk_size is not None and chunk_size < 1:
        raise ArgumentError(f"vmap: chunk_size must be at least 1, got {chunk_size}.")

    def batched(*args: Any, **kwargs: Any) -> Any:
        leaves, like_args = flatten((args, kwargs))
        arguments = [
            _argument(leaf, dim)
            for leaf, dim in zip(leaves, _axes_of_arguments(in_dims, args, kwargs), strict=True)
        ]
        size = _size(arguments)
        step = max(size, 1) if chunk_size is None else chunk_size
        parts = []
        for start in range(0, max(size, 1), step):
            stop = min(start + step, size)
            part = [_rows(x, start, stop) if stop - start < size else x for x in arguments]
            parts.append(_once(func, part, like_args, stop - start, randomness))
        results = [flatten(part)[0] for part in parts]
        like_results = flatten(parts[0])[1]
        whole = [cat(rows) if len(rows) > 1 else rows[0] for rows in zip(*results, strict=True)]
        return _placed(like_results(whole), out_dims)

    return batched


def _once(
    func: Callable[..., Any],
    arguments: Sequence[Batched],
    like_args: Callable[[Iterable[Any]], Any],
    size: int,
    randomness: str,
) -> Any:
    """The results for these arguments, with the examples along axis 0."""
    traced = [x.example() for x in arguments]
    known = {t.node: x for t, x in zip(traced, arguments, strict=True) if x.varied}
    before = random_state()
    args, kwargs = like_args(traced)
    with drawn_by(_drawer(randomness, known, size)):
        result = func(*args, **kwargs)
    if randomness == "error" and random_state() != before:
        _refuse_draws()
    outputs, like_result = flatten(result)
    for output in outputs:
        if not isinstance(output, Tensor):
            raise DTypeError(
                f"vmap: the function must return Tensors, or tuples, lists and dicts of them, not "
                f"{type(output).__name__}."
            )
    found = run([output.node for output in outputs], known, size)
    return like_result(value.spread(size) for value in found)


# ------------------------------------------------------------------------------ random draws


def _drawer(randomness: str, known: dict[Node, Batched], size: int) -> Drawer:
    """What a draw inside the function gives. Numbers that differ between the examples are drawn for
    all of them, and `known` as what the traced draw stands for."""
    if randomness == "error":
        return _refuse_draws
    if randomness == "same":
        return draw

    def different(law: str, shape: tuple[int, ...], dtype: Any, bounds: Any) -> Tensor:
        if law == "permutation":  # of one range only
            numbers = stack([draw(law, shape, dtype, bounds) for _ in range(size)])
        else:
            numbers = draw(law, (size, *shape), dtype, bounds)
        one = abstract(shape, numbers.dtype)
        known[one.node] = Batched(numbers, True)
        return one

    return different


def _refuse_draws(*law: Any) -> NoReturn:
    raise ArgumentError(
        "vmap: the function drew random numbers; pass them as an argument, or say with "
        "randomness='same' that all examples shall have the same, or with 'different' that each "
        "shall have its own."
    )


# ------------------------------------------------------------------------------ axes


def _axes_of_arguments(in_dims: Dims, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
    """One axis or None for every leaf of the arguments."""
    if isinstance(in_dims, list):
        in_dims = tuple(in_dims)
    if isinstance(in_dims, tuple) and len(in_dims) != len(args):
        raise ArgumentError(
            f"vmap: in_dims has {len(in_dims)} entries for {len(args)} positional arguments."
        )
    return [*_spread("in_dims", in_dims, tuple(args)), *_spread("in_dims", 0, dict(kwargs))]


def _spread(name: str, dims: Dims, tree: Any) -> list[Any]:
    """One entry for every leaf of the tree; an entry for a branch holds for all its leaves."""
    if dims is None or isinstance(dims, int):
        return [dims] * len(flatten(tree)[0])
    if isinstance(dims, Mapping) and isinstance(tree, Mapping) and dims.keys() == tree.keys():
        pairs = [(dims[key], branch) for key, branch in tree.items()]
    elif (
        isinstance(dims, tuple | list) and isinstance(tree, tuple | list) and len(dims) == len(tree)
    ):
        pairs = list(zip(dims, tree, strict=True))
    else:
        raise ArgumentError(
            f"vmap: {name} {dims!r} does not have the structure of {type(tree).__name__} "
            f"{map_leaves(lambda leaf: '*', tree)}."
        )
    return [dim for entry, branch in pairs for dim in _spread(name, entry, branch)]


def _argument(leaf: Any, dim: int | None) -> Batched:
    """An argument with its examples along axis 0."""
    x = as_tensor(leaf)
    if dim is None:
        return Batched(x, False)
    if not x.shape:
        raise ShapeError(
            "vmap: an argument of shape () has no axis of examples; say None for it in in_dims."
        )
    axis = one_axis("vmap", x.shape, dim)
    return Batched(movedim(x, axis, 0) if axis else x, True)


def _size(arguments: Sequence[Batched]) -> int:
    sizes = {x.tensor.shape[0] for x in arguments if x.varied}
    if not sizes:
        raise ArgumentError("vmap: no argument has an axis of examples; see in_dims.")
    if len(sizes) > 1:
        shapes = ", ".join(str(x.tensor.shape) for x in arguments if x.varied)
        raise ShapeError(
            f"vmap: arguments of {' and '.join(map(str, sorted(sizes)))} examples, with the "
            f"examples in front: {shapes}."
        )
    return sizes.pop()


def _rows(x: Batched, start: int, stop: int) -> Batched:
    return Batched(x.tensor[start:stop], True) if x.varied else x


def _placed(tree: Any, out_dims: Dims) -> Any:
    """The results with the axis of the examples where it was asked for."""
    leaves, rebuild = flatten(tree)
    dims = _spread("out_dims", out_dims, tree)
    if None in dims:
        raise ArgumentError("vmap: out_dims are axes; None is not one.")
    return rebuild(
        movedim(x, 0, one_axis("vmap", x.shape, d)) if d else x
        for x, d in zip(leaves, dims, strict=True)
    )
