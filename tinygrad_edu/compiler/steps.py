"""What a plan is made of besides groups: matrix products, moves between layouts, kernels
of single terms, calls of NumPy."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tinygrad_edu.compiler.called import Call, Shared
from tinygrad_edu.compiler.group import Group
from tinygrad_edu.compiler.looped import call_of
from tinygrad_edu.compiler.lower import base
from tinygrad_edu.compiler.moves import moves_of
from tinygrad_edu.compiler.term import Term
from tinygrad_edu.kernels import native, tiles
from tinygrad_edu.ops.table import TABLE


@dataclass(eq=False)
class Product:
    """``out = op(a) op(b) + beta init``, one matrix or a batch. Without `beta`, `init` is a term
    whose place the product takes over; with it, a state that the product updates. Instead of an
    initial matrix there may be a `row` with which each row of a product in tiles starts."""

    out: Term
    a: Term
    b: Term
    ta: bool
    tb: bool
    init: Term | None = None
    beta: Term | None = None
    row: Term | None = None
    in_tiles: bool = False
    """Whether the processor's own kernels compute it, not BLAS."""

    @property
    def outputs(self) -> list[Term]:
        """The terms it computes."""
        return [self.out]

    @property
    def reads(self) -> list[Term]:
        """Terms whose memory is read."""
        terms = (self.a, self.b, self.init, self.beta, self.row)
        return [base(x) for x in terms if x is not None]

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Rows and columns of the result, and the depth of the sum."""
        m, n = self.out.shape[-2:]
        return m, n, self.a.shape[-2] if self.ta else self.a.shape[-1]

    @property
    def batch(self) -> int:
        """The number of products."""
        return math.prod(self.out.shape[:-2])

    @property
    def work_bytes(self) -> int:
        """Memory for a transposed second operand, or as much of it as is needed at a time."""
        _, n, k = self.sizes
        size = self.out.dtype.itemsize
        if not self.tb:
            return 0
        return tiles.work_bytes(n, k, size) if self.in_tiles else n * k * size

    @staticmethod
    def distance(t: Term) -> int:
        """Bytes from one matrix of an operand or result to the next; 0 if there is only one."""
        one = math.prod(t.shape[-2:]) * t.dtype.itemsize
        return one if math.prod(t.shape[:-2]) > 1 else 0

    @property
    def paces(self) -> tuple[int, int, int]:
        """Distances in bytes of a, b and the result from one product of the batch to the next, or,
        if there is only one, from one row of the result to the next."""
        if self.batch > 1:
            return self.distance(self.a), self.distance(self.b), self.distance(self.out)
        size = self.out.dtype.itemsize
        return size if self.ta else self.a.shape[-1] * size, 0, self.out.shape[-1] * size


@dataclass(eq=False)
class Single:
    """One term that no group computes: moved between layouts, by `call`, or else by NumPy."""

    out: Term
    native: bool
    call: Call | None = None

    @property
    def reports(self) -> bool:
        """Whether it may stop the program with an error."""
        return self.call is not None and self.call.error is not None

    @property
    def shared(self) -> Shared | None:
        """How threads share it, if they can."""
        return self.call.shared if self.call is not None else None

    @property
    def flop(self) -> int:
        """What it computes."""
        counted = self.shared.flop if self.shared is not None else 0
        return counted or (0 if self.native and self.call is None else self.out.size)

    @property
    def outputs(self) -> list[Term]:
        """The terms it computes."""
        return [self.out]

    @property
    def reads(self) -> list[Term]:
        """Terms whose memory is read."""
        return [base(x) for x in self.out.inputs]


Step = Group | Product | Single


def product_of(t: Term, most: float = math.inf) -> Product | None:
    """The product that computes t, if BLAS can; from `most` FLOP on BLAS does."""
    if t.name != "matmul" or t.op is not TABLE["matmul"] or t.size == 0:
        return None
    if native.gemm(t.dtype) is None:
        return None
    (a, ta), (b, tb) = (_untransposed(x) for x in t.inputs)
    product = Product(t, a, b, ta, tb)
    batches = [math.prod(x.shape[:-2]) for x in (a, b)]
    if product.sizes[2] == 0 or any(count not in (1, product.batch) for count in batches):
        return None
    m, n, k = product.sizes
    product.in_tiles = 2 * m * n * k < most and tiles.suits(m, n, k, t.dtype)
    return product


def _untransposed(x: Term) -> tuple[Term, bool]:
    n = len(x.shape)
    if x.name == "permute" and x.params["axes"] == (*range(n - 2), n - 1, n - 2):
        return x.inputs[0], True
    return x, False


def single_of(t: Term) -> Single:
    """The step for a term on its own."""
    if moves_of(t) is not None:
        return Single(t, True)
    call = call_of(t)
    return Single(t, call is not None, call)
