"""Every activation function has a module, which computes it and shows its options."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn
from tinygrad_edu.errors import ArgumentError

# Module, function, options other than the defaults, how it prints by default.
ACTIVATIONS: list[tuple[type[nn.Activation], Any, dict[str, Any], str]] = [
    (nn.ReLU, tg.relu, {}, "ReLU()"),
    (nn.ReLU6, tg.relu6, {}, "ReLU6()"),
    (nn.LeakyReLU, tg.leaky_relu, {"negative_slope": 0.3}, "LeakyReLU(negative_slope=0.01)"),
    (
        nn.Hardtanh,
        tg.hardtanh,
        {"min_val": -0.5, "max_val": 2.0},
        "Hardtanh(min_val=-1.0, max_val=1.0)",
    ),
    (nn.Tanh, tg.tanh, {}, "Tanh()"),
    (nn.Sigmoid, tg.sigmoid, {}, "Sigmoid()"),
    (nn.Softsign, tg.softsign, {}, "Softsign()"),
    (nn.Softplus, tg.softplus, {"beta": 2.0}, "Softplus(beta=1.0)"),
    (nn.ELU, tg.elu, {"alpha": 0.5}, "ELU(alpha=1.0)"),
    (nn.CELU, tg.celu, {"alpha": 0.5}, "CELU(alpha=1.0)"),
    (nn.LogSigmoid, nn.functional.logsigmoid, {}, "LogSigmoid()"),
    (nn.SELU, tg.selu, {}, "SELU()"),
    (nn.GELU, tg.gelu, {"approximate": "tanh"}, "GELU(approximate='none')"),
    (nn.SiLU, tg.silu, {}, "SiLU()"),
    (nn.Mish, tg.mish, {}, "Mish()"),
    (nn.Hardswish, tg.hardswish, {}, "Hardswish()"),
    (nn.Softmax, tg.softmax, {"dim": 0}, "Softmax(dim=-1)"),
    (nn.LogSoftmax, tg.log_softmax, {"dim": 0}, "LogSoftmax(dim=-1)"),
]
# Every function of the package that squashes or rectifies.
NAMES = {
    "celu", "elu", "gelu", "hardswish", "hardtanh", "leaky_relu", "log_softmax", "logsigmoid",
    "mish", "relu", "relu6", "selu", "sigmoid", "silu", "softmax", "softplus", "softsign", "tanh",
}  # fmt: skip

X = tg.tensor(np.linspace(-4, 7, 24).reshape(4, 6))


def test_every_activation_function_has_a_module() -> None:
    assert {function.__name__ for _, function, _, _ in ACTIVATIONS} == NAMES
    modules = {c for c in vars(nn).values() if isinstance(c, type) and issubclass(c, nn.Activation)}
    assert modules - {nn.Activation} == {module for module, _, _, _ in ACTIVATIONS}


@pytest.mark.parametrize(("module", "function", "options", "printed"), ACTIVATIONS)
def test_computes_its_function(
    module: type[nn.Activation], function: Any, options: dict[str, Any], printed: str
) -> None:
    defaults = {"dim": -1} if "dim" in options else {}
    assert module()(X).tolist() == function(X, **defaults).tolist()
    assert repr(module()) == printed
    changed = module(**options)
    assert changed(X).tolist() == function(X, **options).tolist()
    assert changed.options == options
    assert {name: getattr(changed, name) for name in options} == options
    assert not list(changed.parameters())
    assert repr(copy.deepcopy(changed)) == repr(changed)
    if options:
        assert module(*options.values()).options == options  # by position, as in torch
        assert changed(X).tolist() != module()(X).tolist()


def test_an_option_can_be_assigned() -> None:
    leaky = nn.LeakyReLU(0.1)
    leaky.negative_slope = 0.5
    assert leaky(tg.tensor([-2.0])).item() == -1
    assert repr(leaky) == "LeakyReLU(negative_slope=0.5)"


def test_refuses_an_unknown_approximation() -> None:
    with pytest.raises(ArgumentError):
        nn.GELU("fast")(X)


def test_a_new_activation_is_its_function_and_its_options() -> None:
    @dataclass(eq=False, repr=False)
    class Power(nn.Activation):
        """|x| ** n"""

        function = staticmethod(lambda x, n: tg.abs(x) ** n)
        n: float = 2.0

    assert Power(3.0)(tg.tensor([-2.0])).item() == 8
    assert repr(Power()) == "Power(n=2.0)"
    assert len({Power(), Power()}) == 2  # compared by identity
