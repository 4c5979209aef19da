"""`einsum` and `tensordot`: sums of products, described by labels of the axes.

A sum over two operands is one matrix product between permutations and reshapes, so it has no
derivative of its own, and a third operand is one more product.
"""

from __future__ import annotations

import functools
import itertools
import math
import string
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tinygrad_edu import ops
from tinygrad_edu.errors import ArgumentError, AxisError, DTypeError, ShapeError
from tinygrad_edu.graph.axes import one_axis, several
from tinygrad_edu.graph.layout import distinct, permute, reshape
from tinygrad_edu.graph.picking import diagonal
from tinygrad_edu.graph.reader import apply, as_tensor

if TYPE_CHECKING:
    from tinygrad_edu.graph.tensor import Operand, Tensor

Labels = tuple[str, ...]
"""One label for each axis: a letter, or "...0" for the last axis of an ellipsis, "...1" for the one
before it, and so on."""


class Term(NamedTuple):
    """An operand with the labels of its axes."""

    tensor: Tensor
    labels: Labels

    @property
    def sizes(self) -> dict[str, int]:
        """The size of each label."""
        return dict(zip(self.labels, self.tensor.shape, strict=True))


def einsum(equation: Any, *operands: Any) -> Tensor:
    """The sum of products that `equation` describes, as in torch and NumPy.

    ``einsum("ik,kj->ij", a, b)`` is ``a @ b``: every axis has a letter; axes of one letter are
    walked together, and letters that are missing after the arrow are summed over. Without an arrow
    the result has the letters that occur once, in alphabetical order. A letter twice in one operand
    means its diagonal, "..." any further axes, which broadcast. An axis of size 1 fits any size.

    Operands may also come with lists of integers in place of letters: ``einsum(a, [0, 1], b, [1],
    [0])``. More than two are multiplied in pairs, smallest results first.

    Raises:
        ArgumentError: An equation that is not of this form, an unknown letter after the arrow, or
            more or fewer operands than it describes.
        ShapeError: An operand whose number of axes is not that of its letters, or a letter with two
            sizes.
        DTypeError: Operands of different dtypes.
    """
    text, tensors = _spelled(equation, operands)
    labels, kept = _read(text, tuple(x.ndim for x in tensors))
    return _evaluate("einsum", list(map(Term, tensors, labels)), kept)


def tensordot(a: Operand, b: Operand, dims: int | Sequence[int | Sequence[int]] = 2) -> Tensor:
    """The sum of products over pairs of axes: the last `dims` of a with the first of b, or those
    named by ``dims=(axes of a, axes of b)``. The other axes of a come first in the result.

    Raises:
        ShapeError: Axes that do not exist, or that differ in size (neither being 1).
    """
    a, b = as_tensor(a), as_tensor(b)
    if isinstance(dims, int):
        if not 0 <= dims <= min(a.ndim, b.ndim):
            raise AxisError(
                f"tensordot: dims is 0 to {min(a.ndim, b.ndim)} for shapes {a.shape} and "
                f"{b.shape}, not {dims}; to name axes, pass two lists."
            )
        dims = (range(a.ndim - dims, a.ndim), range(dims))
    first, second = (
        [one_axis("tensordot", x.shape, axis) for axis in several(axes)]
        for x, axes in zip((a, b), dims, strict=True)
    )
    if len(first) != len(second) or len({*first}) != len(first) or len({*second}) != len(second):
        raise AxisError(
            f"tensordot: {first} of shape {a.shape} and {second} of shape {b.shape} must be as "
            "many axes, each named once."
        )
    left = [f"a{axis}" for axis in range(a.ndim)]
    right = [f"b{axis}" for axis in range(b.ndim)]
    for i, j in zip(first, second, strict=True):
        if a.shape[i] != b.shape[j] and 1 not in (a.shape[i], b.shape[j]):
            raise ShapeError(
                f"tensordot: axis {i} of shape {a.shape} and axis {j} of shape {b.shape} differ in "
                "size."
            )
        right[j] = left[i]
    kept = [label for label in left + right if (label in left) != (label in right)]
    return _evaluate("tensordot", [Term(a, (*left,)), Term(b, (*right,))], (*kept,))


# ------------------------------------------------------------------------------ reading equations

_LETTERS = string.ascii_letters


def _spelled(equation: Any, operands: Sequence[Any]) -> tuple[str, list[Tensor]]:
    """The equation as text, and the operands."""
    if isinstance(equation, str):
        if len(operands) == 1 and isinstance(operands[0], list | tuple):
            operands = operands[0]
        return equation, [as_tensor(x) for x in operands]
    parts = [equation, *operands]
    words = ["".join(map(_spelling, row)) for row in parts[1::2]]
    text = ",".join(words)
    if len(parts) % 2:
        text += "->" + "".join(map(_spelling, parts[-1]))
        parts.pop()
    return text, [as_tensor(x) for x in parts[::2]]


def _spelling(number: Any) -> str:
    """The letter that stands for an integer in a list of axes."""
    if number is Ellipsis:
        return "..."
    if not isinstance(number, int) or not 0 <= number < len(_LETTERS):
        raise ArgumentError(
            f"einsum: axes are numbered 0 to {len(_LETTERS) - 1} or ..., not {number!r}; or write "
            "an equation first, such as 'ij,jk->ik'."
        )
    return _LETTERS[number]


@functools.lru_cache(maxsize=256)
def _read(equation: str, ranks: tuple[int, ...]) -> tuple[tuple[Labels, ...], Labels]:
    """The labels of each operand, which has so many axes, and those of the result."""
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    words = inputs.split(",")
    if len(words) != len(ranks):
        raise ArgumentError(
            f"einsum: {equation!r} describes {len(words)} operands, but {len(ranks)} are given."
        )
    labels = tuple(
        _labels(equation, position, word, rank)
        for position, (word, rank) in enumerate(zip(words, ranks, strict=True))
    )
    dots = _dots(max(sum(len(label) > 1 for label in row) for row in labels))
    counts = Counter(label for row in labels for label in row if len(label) == 1)
    if not arrow:
        return labels, (*dots, *sorted(letter for letter, count in counts.items() if count == 1))
    before, has_dots, after = _letters(equation, output)
    for letter, count in Counter(before + after).items():
        if letter not in counts:
            raise ArgumentError(
                f"einsum: letter {letter!r} after the arrow in {equation!r} is in no operand."
            )
        if count > 1:
            raise ArgumentError(
                f"einsum: letter {letter!r} is twice after the arrow in {equation!r}; to write a "
                "diagonal, use diag."
            )
    return labels, (*before, *(dots if has_dots else ()), *after)


def _labels(equation: str, position: int, word: str, rank: int) -> Labels:
    """The labels of an operand's axes."""
    before, has_dots, after = _letters(equation, word)
    rest = rank - len(before) - len(after)
    if rest < 0 or (rest and not has_dots):
        raise ShapeError(
            f"einsum: {word!r} in {equation!r} describes {rank - rest} axes, and operand "
            f"{position} has {rank}."
        )
    return (*before, *_dots(rest), *after)


def _letters(equation: str, word: str) -> tuple[str, bool, str]:
    """The letters before an ellipsis, whether there is one, and the letters after it."""
    before, dots, after = word.partition("...")
    for letter in before + after:
        if letter not in _LETTERS:
            raise ArgumentError(
                f"einsum: {letter!r} in {equation!r} is no letter; axes are letters, operands are "
                "separated by ',', and '->' stands before the result."
            )
    return before, bool(dots), after


def _dots(count: int) -> Labels:
    """The labels of the axes that an ellipsis stands for."""
    return tuple(f"...{i}" for i in reversed(range(count)))


# ------------------------------------------------------------------------------ multiplying


def _evaluate(name: str, terms: Sequence[Term], output: Labels) -> Tensor:
    """The sum of products of the terms over all labels that are not in the output."""
    sizes = _common_sizes(name, terms)
    dtypes = {term.tensor.dtype for term in terms}
    if len(dtypes) > 1:
        listed = " and ".join(str(term.tensor.dtype) for term in terms)
        raise DTypeError(f"{name}: operands of dtypes {listed} do not mix; convert with .to().")
    waiting = [_drop_ones(_diagonals(term), sizes) for term in terms]
    waiting = [
        _sum_out(term, _needed(output, [*waiting[:i], *waiting[i + 1 :]]))
        for i, term in enumerate(waiting)
    ]
    while len(waiting) > 1:
        i, j = _cheapest(waiting, output)
        right, left = waiting.pop(j), waiting.pop(i)
        waiting.append(_multiply(left, right, _needed(output, waiting)))
    (term,) = waiting
    return distinct(_ordered(term, output), terms[0].tensor)


def _common_sizes(name: str, terms: Sequence[Term]) -> dict[str, int]:
    """The size of every label. An axis of size 1 fits any size."""
    sizes: dict[str, int] = {}
    where: dict[str, int] = {}
    for position, (x, labels) in enumerate(terms):
        for label, size in zip(labels, x.shape, strict=True):
            if sizes.get(label, 1) == 1:
                sizes[label], where[label] = size, position
            elif size not in (1, sizes[label]):
                other = where[label]
                raise ShapeError(
                    f"{name}: {label!r} has size {sizes[label]} in operand {other} of shape "
                    f"{terms[other].tensor.shape} and {size} in operand {position} of shape "
                    f"{x.shape}."
                )
    return sizes


def _needed(output: Labels, others: Sequence[Term]) -> set[str]:
    """The labels that must outlive a product: those of the output and of what is still to come."""
    return {*output, *(label for term in others for label in term.labels)}


def _diagonals(term: Term) -> Term:
    """The term with one axis for each label."""
    x, labels = term
    while len(set(labels)) < len(labels):
        label = next(label for label in labels if labels.count(label) > 1)
        first = labels.index(label)
        second = labels.index(label, first + 1)
        if x.shape[first] != x.shape[second]:
            raise ShapeError(
                f"einsum: {label!r} has sizes {x.shape[first]} and {x.shape[second]} in one "
                f"operand of shape {term.tensor.shape}."
            )
        x = diagonal(x, 0, first, second)
        rest = [name for i, name in enumerate(labels) if i not in (first, second)]
        labels = (*rest, label)
    return Term(x, labels)


def _drop_ones(term: Term, sizes: dict[str, int]) -> Term:
    """The term without axes of size 1 that stand for more: it is the same all along them."""
    x, labels = term
    kept = [i for i, label in enumerate(labels) if x.shape[i] == sizes[label]]
    return Term(_reshaped(x, [x.shape[i] for i in kept]), tuple(labels[i] for i in kept))


def _sum_out(term: Term, needed: set[str]) -> Term:
    """The term summed over the axes that nobody needs."""
    axes = tuple(i for i, label in enumerate(term.labels) if label not in needed)
    if not axes:
        return term
    labels = tuple(label for label in term.labels if label in needed)
    return Term(apply(ops.sum, term.tensor, axes=axes, keepdims=False), labels)


def _cheapest(terms: Sequence[Term], output: Labels) -> tuple[int, int]:
    """The pair whose product needs the least memory beyond what its factors free."""

    def growth(pair: tuple[int, int]) -> int:
        i, j = pair
        others = [term for k, term in enumerate(terms) if k not in pair]
        sizes = terms[i].sizes | terms[j].sizes
        result = math.prod(sizes[label] for label in sizes if label in _needed(output, others))
        return result - terms[i].tensor.numel() - terms[j].tensor.numel()

    return min(itertools.combinations(range(len(terms)), 2), key=growth)


def _multiply(a: Term, b: Term, needed: set[str]) -> Term:
    """The product of two terms, summed over the labels they share and nobody else needs."""
    shared = [label for label in a.labels if label in b.labels]
    batch = [label for label in shared if label in needed]
    summed = [label for label in shared if label not in needed]
    rows = [label for label in a.labels if label not in shared]
    columns = [label for label in b.labels if label not in shared]
    sizes = a.sizes | b.sizes

    def shape(*groups: Sequence[str]) -> list[int]:
        return [sizes[label] for group in groups for label in group]

    def size(group: Sequence[str]) -> int:
        return math.prod(shape(group))

    if summed:
        left = _ordered(a, (*batch, *rows, *summed))
        right = _ordered(b, (*batch, *summed, *columns))
        left = _reshaped(left, [*shape(batch), size(rows), size(summed)])
        right = _reshaped(right, [*shape(batch), size(summed), size(columns)])
        product = apply(ops.matmul, left, right)
    else:
        left = _ordered(a, (*batch, *rows))
        right = _reshaped(
            _ordered(b, (*batch, *columns)), [*shape(batch), *[1] * len(rows), *shape(columns)]
        )
        product = _reshaped(left, [*shape(batch, rows), *[1] * len(columns)]) * right
    return Term(_reshaped(product, shape(batch, rows, columns)), (*batch, *rows, *columns))


def _ordered(term: Term, labels: Labels) -> Tensor:
    """The axes in the order of these labels."""
    order = [term.labels.index(label) for label in labels]
    return term.tensor if order == sorted(order) else permute(term.tensor, order)


def _reshaped(x: Tensor, shape: Sequence[int]) -> Tensor:
    return x if x.shape == tuple(shape) else reshape(x, shape)
