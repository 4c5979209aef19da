"""`tg.func`, `gradcheck` and `Function` held against torch's.

Random programs of smooth functions, in float64. Both sides do the same arithmetic in another order
at most, so results differ by roundings of the largest number that was added up.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_edu as tg

pytestmark = pytest.mark.peer

EXAMPLES = settings(max_examples=15)

EPS = float(np.finfo(np.float64).eps)

ULPS = 4096
"""A third derivative of a program of four steps adds up some hundred terms of both signs, each the
product of up to a dozen roundings."""


def same(found: Any, wanted: Any) -> None:
    """Equality of trees, up to roundings of their largest number."""
    if isinstance(wanted, tuple | list):
        assert type(found) is type(wanted)
        assert len(found) == len(wanted)
        for a, b in zip(found, wanted, strict=True):
            same(a, b)
    elif isinstance(wanted, dict):
        assert list(found) == list(wanted)
        for key in wanted:
            same(found[key], wanted[key])
    else:
        a, b = found.detach().numpy(), wanted.numpy(force=True)
        scale = max(1.0, float(np.max(np.abs(b), initial=0.0)))
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=0, atol=ULPS * EPS * scale)


# ------------------------------------------------------------------------------ random programs

STEPS: list[Callable[[Any, Any, Any], Any]] = [
    lambda m, a, b: m.tanh(a) * b,
    lambda m, a, b: a + m.sin(b),
    lambda m, a, b: a / (1 + b * b),
    lambda m, a, b: m.exp(-a * a) - b,
    lambda m, a, b: m.softmax(a, 0) * b,
    lambda m, a, b: a @ b * a,
    lambda m, a, b: m.logsumexp(a, 0) * b,
    lambda m, a, b: m.where(a > b, a * b, a - b),
    lambda m, a, b: m.amax(a) * b,
    lambda m, a, b: m.cat([a, b])[1:4] * a,
]

programs = st.lists(st.integers(0, len(STEPS) - 1), min_size=1, max_size=4)
points = st.integers(0, 2**32 - 1).map(lambda s: np.random.default_rng(s).uniform(-1, 1, (4, 3)))


def run(m: Any, steps: list[int], a: Any, b: Any) -> Any:
    """The program on two vectors of three elements."""
    for step in steps:
        a, b = STEPS[step](m, a, b), a
    return a


TRANSFORMS: dict[str, Callable[[Any, Any], Any]] = {
    "grad": lambda func, f: func.grad(lambda *xs: f(*xs).sum(), (0, 1)),
    "jacrev": lambda func, f: func.jacrev(f, (0, 1)),
    "jacfwd": lambda func, f: func.jacfwd(f, (1, 0)),
    "jacrev of jacfwd": lambda func, f: func.jacrev(func.jacfwd(f, 0), (0, 1)),
    "jacfwd of jacfwd": lambda func, f: func.jacfwd(func.jacfwd(f, 0), 1),
    "hessian": lambda func, f: func.hessian(lambda *xs: f(*xs).sum(), (0, 1)),
    "grad of hessian": lambda func, f: func.grad(
        lambda *xs: (func.hessian(lambda *ys: f(*ys).sum())(*xs) ** 2).sum()
    ),
}


@pytest.mark.parametrize("name", TRANSFORMS)
@EXAMPLES
@given(steps=programs, point=points)
def test_transforms(torch: ModuleType, name: str, steps: list[int], point: np.ndarray) -> None:
    transform = TRANSFORMS[name]
    ours = transform(tg.func, lambda a, b: run(tg, steps, a, b))
    theirs = transform(torch.func, lambda a, b: run(torch, steps, a, b))
    same(ours(*map(tg.tensor, point[:2])), theirs(*map(torch.tensor, point[:2])))


@EXAMPLES
@given(steps=programs, point=points)
def test_products(torch: ModuleType, steps: list[int], point: np.ndarray) -> None:
    def program(m: Any) -> Callable[..., Any]:
        return lambda a, b: {"program": run(m, steps, a, b), "sum": (a.sum(), b)}

    ours, theirs = list(map(tg.tensor, point)), list(map(torch.tensor, point))
    same(
        tg.func.jvp(program(tg), tuple(ours[:2]), tuple(ours[2:])),
        torch.func.jvp(program(torch), tuple(theirs[:2]), tuple(theirs[2:])),
    )
    found, pull = tg.func.vjp(program(tg), *ours[:2])
    wanted, their_pull = torch.func.vjp(program(torch), *theirs[:2])
    same(found, wanted)
    cotangent = {"program": ours[2], "sum": (ours[3][0], ours[3])}
    their_cotangent = {"program": theirs[2], "sum": (theirs[3][0], theirs[3])}
    same(pull(cotangent), their_pull(their_cotangent))


@EXAMPLES
@given(steps=programs, point=points)
def test_hvp(torch: ModuleType, steps: list[int], point: np.ndarray) -> None:
    found = tg.func.hvp(
        lambda a, b: run(tg, steps, a, b).sum(),
        tuple(map(tg.tensor, point[:2])),
        tuple(map(tg.tensor, point[2:])),
    )
    _, wanted = torch.autograd.functional.hvp(
        lambda a, b: run(torch, steps, a, b).sum(),
        tuple(map(torch.tensor, point[:2])),
        tuple(map(torch.tensor, point[2:])),
    )
    same(found, wanted)


VMAPS: dict[str, Callable[[Any, Any], Any]] = {
    "of a program": lambda func, f: func.vmap(f, (0, None)),
    "along another axis": lambda func, f: func.vmap(f, (None, 0), out_dims=1),
    "nested": lambda func, f: lambda a, b: func.vmap(func.vmap(f, (0, None)), (None, 0))(a, b),
    "of a gradient": lambda func, f: func.vmap(func.grad(lambda *xs: f(*xs).sum(), (0, 1))),
    "of a Hessian": lambda func, f: func.vmap(func.hessian(lambda *xs: f(*xs).sum())),
    "of a Jacobian": lambda func, f: func.vmap(func.jacfwd(f, (1, 0)), chunk_size=3),
}


@pytest.mark.parametrize("name", VMAPS)
@EXAMPLES
@given(steps=programs, point=points)
def test_vmap(torch: ModuleType, name: str, steps: list[int], point: np.ndarray) -> None:
    transform = VMAPS[name]
    ours = transform(tg.func, lambda a, b: run(tg, steps, a, b))
    theirs = transform(torch.func, lambda a, b: run(torch, steps, a, b))
    rows = {"of a program": (point, point[0]), "along another axis": (point[0], point)}
    args = rows.get(name, (point, point[::-1].copy()))
    same(ours(*map(tg.tensor, args)), theirs(*map(torch.tensor, args)))


# ------------------------------------------------------------------------------ details


@pytest.mark.parametrize("has_aux", [False, True])
def test_what_is_returned(torch: ModuleType, has_aux: bool) -> None:
    """Trees, aux, zeros for what is not used: the same structure as torch's (for `value_and_grad`
    JAX's, which is torch's `grad_and_value` the other way round)."""

    def function(tree: Any, y: Any) -> Any:
        result = (tree["a"] * tree["b"][0]).sum()
        return (result, {"aux": tree["a"] * 2}) if has_aux else result

    def arguments(tensor: Any) -> Any:
        a = tensor([1.0, 2.0])
        return {"a": a, "b": [a * 3, a]}, tensor([5.0])

    for argnums in (0, 1, (0,), (1, 0), -1):
        found = tg.func.grad(function, argnums, has_aux)(*arguments(tg.tensor))
        same(found, torch.func.grad(function, argnums, has_aux)(*arguments(torch.tensor)))
        found = tg.func.value_and_grad(function, argnums, has_aux)(*arguments(tg.tensor))
        wanted = torch.func.grad_and_value(function, argnums, has_aux)(*arguments(torch.tensor))
        same(found, wanted[::-1])
        found = tg.func.jacrev(function, argnums, has_aux=has_aux)(*arguments(tg.tensor))
        wanted = torch.func.jacrev(function, argnums, has_aux=has_aux)(*arguments(torch.tensor))
        same(found, wanted)
        found = tg.func.jacfwd(function, argnums, has_aux=has_aux)(*arguments(tg.tensor))
        wanted = torch.func.jacfwd(function, argnums, has_aux=has_aux)(*arguments(torch.tensor))
        same(found, wanted)


def test_functional_call(torch: ModuleType) -> None:
    weights = {"0.weight": (4, 3), "0.bias": (4,), "2.weight": (2, 4), "2.bias": (2,)}
    rng = np.random.default_rng(0)
    values = {name: rng.standard_normal(shape) for name, shape in weights.items()}
    x = rng.standard_normal((5, 3))

    def gradients(m: Any) -> Any:
        model = m.nn.Sequential(m.nn.Linear(3, 4), m.nn.Tanh(), m.nn.Linear(4, 2)).double()

        def loss(parameters: Any, x: Any) -> Any:
            return (m.func.functional_call(model, parameters, (x,)) ** 2).sum()

        parameters = {name: m.tensor(value) for name, value in values.items()}
        return m.func.grad(loss)(parameters, m.tensor(x))

    same(gradients(tg), gradients(torch))


def test_function(torch: ModuleType) -> None:
    """One class, two engines: forward, backward, gradients of gradients, several results."""

    def gradients(m: Any) -> Any:
        class Powers(m.autograd.Function):  # type: ignore[name-defined,misc]
            @staticmethod
            def forward(ctx: Any, x: Any, n: int, y: Any) -> Any:
                ctx.save_for_backward(x, y)
                ctx.n = n
                assert ctx.needs_input_grad == (True, False, True)
                return x**n, x * y

            @staticmethod
            def backward(ctx: Any, power: Any, product: Any) -> Any:
                x, y = ctx.saved_tensors
                by_x = power * ctx.n * x ** (ctx.n - 1) + product * y
                return by_x, None, product * x

        x = m.tensor([0.5, -1.0, 2.0], dtype=m.float64, requires_grad=True)
        y = m.tensor([1.5, 3.0, -2.0], dtype=m.float64, requires_grad=True)
        power, product = Powers.apply(x, 3, y)
        first = m.autograd.grad((power * product).sum(), (x, y), create_graph=True)
        second = m.autograd.grad((first[0] * first[1]).sum(), (x, y))
        inputs = (x, 3, y)
        assert m.autograd.gradcheck(Powers.apply, inputs)
        assert m.autograd.gradgradcheck(Powers.apply, inputs)
        return power, product, first, second

    same(gradients(tg), gradients(torch))


@pytest.mark.parametrize("wrong", [False, True])
def test_verdicts_of_gradcheck(torch: ModuleType, wrong: bool) -> None:
    def verdict(m: Any) -> bool:
        class Square(m.autograd.Function):  # type: ignore[name-defined,misc]
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                ctx.save_for_backward(x)
                return x * x

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                (x,) = ctx.saved_tensors
                return g * x * (2.01 if wrong else 2)

        x = m.tensor([0.5, -1.0], dtype=m.float64, requires_grad=True)
        return bool(m.autograd.gradcheck(Square.apply, (x,), raise_exception=False))

    assert verdict(tg) == verdict(torch) == (not wrong)
