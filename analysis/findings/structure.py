"""The shape of a traced network: which ops hold weights, what stands before and after each.

Only *live* nodes matter here, those that depend on the input; parameters and constants do not.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter

from analysis.network.trace import Trace
from tinygrad_edu.graph.node import Node
from tinygrad_edu.nn import Parameter
from tinygrad_edu.ops.kinds import Elementwise

PRODUCTS = {"matmul", "convolution", "convolution_bias", "convolution_input"}
"""Ops that multiply a signal by a matrix of weights; the last is the transposed convolution."""
NORMS = {"standardize", "unit_rms"}
_PASSING = {"reshape", "permute", "cast", "neg", "max_pool", "avg_pool", "dropout"}
"""Ops that neither mix branches nor bend the signal."""
_AFFINE = {"add", "sub", "mul", "div"}


@dataclass(frozen=True)
class Layer:
    """One product of a signal with weights.

    node       the op; `output` is the signal after bias and other constants
    name       that of the module
    parameter  the weights, under `parameter_name`
    fans       as the op uses them
    before     the op that made its input: the last that is not a mere reordering, pool or mask
    after      what becomes of its output: "activation", "batch norm", "norm", "join", "layer",
               "output", or "several" where the ops that use it are of different kinds
    """

    node: Node
    output: Node
    name: str
    parameter: Parameter
    parameter_name: str
    fans: tuple[int, int]
    before: Node
    after: str


class Structure:
    """Layers, joins and bottlenecks of a traced network."""

    def __init__(self, graph: Trace) -> None:
        self.graph = graph
        self.position = {node: i for i, node in enumerate(graph.nodes)}
        places = [(self.position[p.node], p.name) for p in graph.places if p.node in self.position]
        self._places = sorted(places, key=lambda place: place[0])
        self.live = self._live()
        self.users: dict[Node, list[Node]] = {node: [] for node in self.live}
        for node in self.live:
            for x in dict.fromkeys(node.inputs):
                if x in self.users:
                    self.users[x].append(node)
        self.layers = tuple(self._layers())
        self.cuts = tuple(self._cuts())

    def _live(self) -> dict[Node, None]:
        live = {self.graph.input: None}
        for node in self.graph.nodes:
            if any(x in live for x in node.inputs):
                live[node] = None
        return live

    def operands(self, node: Node) -> list[Node]:
        """The signals that an op takes."""
        return [x for x in node.inputs if x in self.live]

    def name_of(self, node: Node) -> str:
        """The module that a node is computed in: the first whose output comes at or after it."""
        i = bisect_left(self._places, self.position[node], key=itemgetter(0))
        return self._places[i][1] if i < len(self._places) else "output"

    def name_before(self, node: Node) -> str:
        """The module whose output came last before a node."""
        i = bisect_left(self._places, self.position[node], key=itemgetter(0))
        return self._places[i - 1][1] if i else "input"

    # ---------------------------------------------------------------------- layers

    def _layers(self) -> Iterator[Layer]:
        for node in self.live:
            if node.op is None or node.op.name not in PRODUCTS or len(self.operands(node)) != 1:
                continue
            found = self._weights(node)
            if found is None:
                continue
            name, parameter = found
            output, after = self._followed(node)
            yield Layer(
                node=node,
                output=output,
                name=name.rpartition(".")[0] or self.name_of(node),
                parameter=parameter,
                parameter_name=name,
                fans=_fans(node, parameter),
                before=self.origin(self.operands(node)[0]),
                after=after,
            )

    def _weights(self, node: Node) -> tuple[str, Parameter] | None:
        """The parameter that a product takes, through whatever transposes it."""
        for x in node.inputs:
            while x.op is not None and len(x.inputs) == 1 and x not in self.live:
                x = x.inputs[0]
            if x in self.graph.parameters and self.graph.parameters[x][1].ndim > 1:
                return self.graph.parameters[x]
        return None

    def bias(self, layer: Layer) -> tuple[str, Parameter] | None:
        """What is added to a product, if it is a parameter."""
        if layer.node.op is not None and layer.node.op.name == "convolution_bias":
            return self.graph.parameters.get(layer.node.inputs[-1])
        node = layer.node
        while node is not layer.output:
            (node,) = self.users[node]
            added = [self._leaf(x) for x in node.inputs if x not in self.live]
            if node.op is not None and node.op.name == "add" and added:
                return self.graph.parameters.get(added[0])
        return None

    def _leaf(self, node: Node) -> Node:
        while node.op is not None and len(node.inputs) == 1:
            node = node.inputs[0]
        return node

    def _followed(self, node: Node) -> tuple[Node, str]:
        """The signal after a product's bias and scale, and what takes it."""
        while len(self.users[node]) == 1:
            (user,) = self.users[node]
            assert user.op is not None
            plain = user.op.name in ("reshape", "permute", "cast")
            affine = user.op.name in _AFFINE and len(self.operands(user)) == 1
            if not (plain or affine):
                break
            node = user
        kinds = {self._kind(user) for user in self.users[node]}
        if not kinds:
            return node, "output"
        return node, kinds.pop() if len(kinds) == 1 else "several"

    def _kind(self, user: Node) -> str:
        """What an op does with a signal, looking through pools and dropout."""
        assert user.op is not None
        name = user.op.name
        if name in NORMS:
            return "batch norm" if over_batch(user) else "norm"
        if len(self.operands(user)) > 1 and name in ("add", "sub", "concat"):
            return "join"
        if name in PRODUCTS:
            return "layer"
        if name in _PASSING or (name in _AFFINE and len(self.operands(user)) == 1):
            kinds = {self._kind(later) for later in self.users[user]}
            return kinds.pop() if len(kinds) == 1 else ("several" if kinds else "output")
        return "activation" if isinstance(user.op, Elementwise) else "several"

    def origin(self, node: Node) -> Node:
        """The op that made a signal, looking back through what only reorders, pools or drops."""
        while node.op is not None and node.op.name in _PASSING and self.operands(node):
            node = self.operands(node)[0]
        return node

    def between(self, start: Node, end: Node) -> Iterator[Node]:
        """The live nodes on the single way back from `end` to `start` (both left out)."""
        node = end
        while node is not start:
            operands = self.operands(node)
            if len(operands) != 1:
                return
            (node,) = operands
            if node is not start:
                yield node

    # ---------------------------------------------------------------------- bottlenecks

    def _cuts(self) -> Iterator[Node]:
        """Nodes through which every way from the input to the output leads, in order: a residual
        stream between blocks, every op of a plain network."""
        useful = self._useful()
        order = [node for node in self.live if node in useful]
        index = {node: i for i, node in enumerate(order)}
        reach = 0
        for i, node in enumerate(order):
            if reach <= i:
                yield node
            ahead = [index[user] for user in self.users[node] if user in index]
            reach = max([reach, *ahead])

    def _useful(self) -> set[Node]:
        """Live nodes that the output depends on."""
        useful, stack = set(), [self.graph.output]
        while stack:
            node = stack.pop()
            if node not in useful:
                useful.add(node)
                stack += self.operands(node)
        return useful

    @cached_property
    def hidden(self) -> tuple[Node, ...]:
        """The bottlenecks from the output of the first layer to the input of the last."""
        if len(self.layers) < 2:
            return ()
        first = self.position[self.layers[0].node]
        last = self.position[self.layers[-1].node]
        return tuple(c for c in self.cuts if first <= self.position[c] < last)

    @cached_property
    def joins(self) -> tuple[Node, ...]:
        """Hidden bottlenecks that add up branches: where residual blocks end."""
        names = ("add", "sub")
        return tuple(
            c
            for c in self.hidden
            if c.op is not None and c.op.name in names and len(self.operands(c)) > 1
        )

    def is_activation(self, node: Node) -> bool:
        """Whether a node bends one signal, element by element."""
        return (
            isinstance(node.op, Elementwise)
            and node.op.name not in _AFFINE
            and node.op.name not in _PASSING
        ) or self._gate(node)

    def _gate(self, node: Node) -> bool:
        """A product of functions of one pre-activation, such as x * sigmoid(x)."""
        return node.op is not None and node.op.name == "mul" and len(self.operands(node)) > 1


def over_batch(node: Node) -> bool:
    """Whether a norm averages over examples."""
    return 0 in axes_of(node)


def axes_of(node: Node) -> tuple[int, ...]:
    """The axes that a norm averages over."""
    axes = node.params["axes"]
    return tuple(a % len(node.shape) for a in (axes if isinstance(axes, tuple) else (axes,)))


def _fans(node: Node, parameter: Parameter) -> tuple[int, int]:
    """How many inputs a unit adds up, and how many units an input reaches, as the op has it."""
    assert node.op is not None
    if node.op.name == "matmul":
        return node.inputs[0].shape[-1], node.shape[-1]
    first, second, *kernel = parameter.shape
    field, groups = math.prod(kernel), int(node.params.get("groups", 1))
    ahead, behind = first // groups * field, second * field
    return (ahead, behind) if node.op.name == "convolution_input" else (behind, ahead)
