"""`draw`: a graph as boxes and arrows, in the language of Graphviz or as a picture."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tinygrad_edu.errors import DTypeError
from tinygrad_edu.graph.node import Node
from tinygrad_edu.graph.tape import CONSTANT
from tinygrad_edu.graph.tensor import Tensor
from tinygrad_edu.graph.value import Result, Value

T = TypeVar("T")
Drawable = Tensor | Value

COLOURS = {"leaf": "#d8ead2", "constant": "#eeeeee", "op": "#ffffff", "result": "#fbe3c0"}
"""What a box is filled with: leaves that ask for a gradient, constants, ops, and what was drawn."""

SOURCE_SUFFIXES = ("", ".dot", ".gv", ".txt")

LONGEST_PARAMETER = 24
"""Parameters of an op that take more letters than this are left out."""


def draw(t: Drawable, names: Mapping[str, Drawable] | None = None) -> Drawing:
    """The graph that `t` was computed by: its leaves, its ops, their shapes and gradients.

    Arrows go from operands to results. `names` labels some of what is drawn; for a model it is
    ``dict(model.named_parameters())``.

    >>> import tinygrad_edu as tg
    >>> x = tg.Value(3.0)
    >>> print(tg.draw(x * x, names={"x": x}))
    digraph {
      node [shape=box, style="rounded,filled", fontname=monospace, fontsize=10]
      0 [label="x\\n= 3\\ngrad 0", fillcolor="#d8ead2"]
      1 [label="mul\\n= 9", fillcolor="#fbe3c0"]
      0 -> 1
      0 -> 1
    }

    Raises:
        DTypeError: `t` is neither a Tensor nor a Value.
    """
    if not isinstance(t, Tensor | Value):
        raise DTypeError(f"draw: draws a Tensor or a Value, not {type(t).__name__}.")
    known = dict(names or {})
    if isinstance(t, Tensor):
        labels: dict[Any, str] = {x.node: k for k, x in known.items() if isinstance(x, Tensor)}
        nodes, arrows = _graph(t.node, lambda node: node, lambda node: node.inputs)
        boxes = [_tensor_box(node, labels.get(node), node is t.node) for node in nodes]
    else:
        labels = {_identity(x): k for k, x in known.items() if isinstance(x, Value)}
        values, arrows = _graph((t, False), lambda pair: _identity(pair[0]), _operands)
        boxes = [
            _value_box(x, constant, labels.get(_identity(x)), i == len(values) - 1)
            for i, (x, constant) in enumerate(values)
        ]
    return Drawing(boxes, arrows)


@dataclass(frozen=True)
class Box:
    """One value of the graph, as it is labelled."""

    lines: tuple[str, ...]
    kind: str


class Drawing:
    """A drawn graph. Its text, `str(drawing)`, is Graphviz source; a notebook shows a picture.

    Attributes:
        boxes: What is drawn, operands before results.
        arrows: Pairs of positions in `boxes`, from an operand to a result.
    """

    def __init__(self, boxes: Sequence[Box], arrows: Sequence[tuple[int, int]]) -> None:
        self.boxes = list(boxes)
        self.arrows = list(arrows)

    @property
    def source(self) -> str:
        """The graph in the DOT language of Graphviz."""
        lines = ["digraph {"]
        lines.append('  node [shape=box, style="rounded,filled", fontname=monospace, fontsize=10]')
        for i, box in enumerate(self.boxes):
            label = "\\n".join(map(_escaped, box.lines))
            lines.append(f'  {i} [label="{label}", fillcolor="{COLOURS[box.kind]}"]')
        lines += [f"  {a} -> {b}" for a, b in self.arrows]
        return "\n".join([*lines, "}"])

    def __str__(self) -> str:
        return self.source

    def __repr__(self) -> str:
        return f"<Drawing of {len(self.boxes)} values; str() is Graphviz source, plot() a picture>"

    def save(self, path: str | Path) -> None:
        """Write the drawing to a file: source if its name ends in .dot or .gv (or in nothing),
        else a picture in the format of its suffix (.svg, .png, .pdf).

        Raises:
            ImportError: A picture needs matplotlib, which the extra "plots" brings.
        """
        path = Path(path)
        if path.suffix.lower() in SOURCE_SUFFIXES:
            path.write_text(self.source + "\n", encoding="utf-8")
        else:
            self.plot().savefig(path)

    def plot(self) -> Any:
        """A matplotlib figure of the graph; Graphviz is not needed.

        Raises:
            ImportError: matplotlib is not installed; the extra "plots" brings it.
            ArgumentError: There are too many boxes for a picture.
        """
        from tinygrad_edu.graph.picture import picture

        return picture([box.lines for box in self.boxes], self._colours(), self.arrows)

    def _repr_svg_(self) -> str | None:
        """What a notebook shows; nothing without matplotlib."""
        from tinygrad_edu.graph.picture import MOST_BOXES

        if len(self.boxes) > MOST_BOXES:
            return None
        text = io.StringIO()
        try:
            self.plot().savefig(text, format="svg")
        except ImportError:
            return None
        return text.getvalue()

    def _colours(self) -> list[str]:
        return [COLOURS[box.kind] for box in self.boxes]


def _escaped(line: str) -> str:
    """A line as part of a quoted string of the DOT language."""
    return line.replace("\\", "\\\\").replace('"', '\\"')


# ------------------------------------------------------------------------------ walking


def _graph(
    root: T, identity: Callable[[T], Any], operands: Callable[[T], Sequence[T]]
) -> tuple[list[T], list[tuple[int, int]]]:
    """Everything behind the root, operands first, and the arrows between positions in that list."""
    order: list[T] = []
    position: dict[Any, int] = {}
    arrows: list[tuple[int, int]] = []
    stack: list[tuple[T, Sequence[T] | None]] = [(root, None)]
    while stack:
        x, behind = stack.pop()
        if identity(x) in position:
            continue
        if behind is None:
            behind = operands(x)
            stack.append((x, behind))
            stack.extend((y, None) for y in reversed(behind))
            continue
        position[identity(x)] = len(order)
        arrows += [(position[identity(y)], len(order)) for y in behind]
        order.append(x)  # which also keeps it alive, so that no other object gets its id
    return order, arrows


def _identity(x: Value) -> Any:
    """What two handles on the same Value have in common."""
    return (id(x.records), x._index) if isinstance(x, Result) else id(x)


def _operands(pair: tuple[Value, bool]) -> list[tuple[Value, bool]]:
    """The operands of a Value, and which of them are mere numbers."""
    x, _ = pair
    if not isinstance(x, Result):
        return []
    places = x.records.operands(x._index)
    constant = [bool(x.records.op[place] == CONSTANT) for place in places]
    return list(zip(x.operands, constant, strict=True))


# ------------------------------------------------------------------------------ labels


def _tensor_box(node: Node, name: str | None, is_result: bool) -> Box:
    """The box of a node of a tensor graph."""
    lines = [name] if name else []
    if node.op is not None:
        lines.append(f"{node.op.name} {_parameters(node.params)}".strip())
    elif not name:
        lines.append("leaf" if node.requires_grad else "constant")
    lines.append(f"{node.shape} {node.dtype}")
    if not node.is_abstract and node.data.size == 1:
        lines.append(f"= {_short(node.data.item())}")
    if node.grad is not None:
        lines.append(f"grad {_size(node.grad.node.data)}")
    kind = "op" if node.op is not None else "leaf" if node.requires_grad else "constant"
    return Box(_printable(lines), "result" if is_result else kind)


def _value_box(x: Value, constant: bool, name: str | None, is_result: bool) -> Box:
    """The box of a scalar."""
    lines = [name] if name else []
    if x.op is not None:
        lines.append(x.op)
    elif not name:
        lines.append("constant" if constant else "leaf")
    lines.append(f"= {_short(x.data)}")
    keeps = not isinstance(x, Result) or x._index in x.records.retained
    if keeps and not constant:
        lines.append(f"grad {_short(x.grad)}")
    kind = "op" if x.op is not None else "constant" if constant else "leaf"
    return Box(_printable(lines), "result" if is_result else kind)


def _printable(lines: Sequence[str]) -> tuple[str, ...]:
    """A name may hold anything; control characters and line breaks are written out."""
    return tuple("".join(c if c.isprintable() else repr(c)[1:-1] for c in line) for line in lines)


def _parameters(params: Mapping[str, Any]) -> str:
    """An op's parameters, but for flags that are off and the shape, which the result shows."""
    shown = {k: str(v) for k, v in params.items() if v is not False and k != "shape"}
    return " ".join(f"{k}={v}" for k, v in shown.items() if len(v) <= LONGEST_PARAMETER)


def _short(x: Any) -> str:
    return f"{x:.4g}" if isinstance(x, float) else str(x)


def _size(grad: np.ndarray[Any, Any]) -> str:
    """A gradient: the number itself, or the norm of many."""
    if grad.size == 1:
        return _short(grad.item())
    return f"(norm {_short(float(np.linalg.norm(grad)))})"
