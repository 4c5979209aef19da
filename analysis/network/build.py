"""Networks to analyse: a dense one from its widths, or one of the user's by name."""

from __future__ import annotations

import importlib
import inspect
import itertools
import os
import sys
from collections.abc import Sequence
from typing import Any

from analysis.errors import InputError, UnknownActivation, no_such
from analysis.symbolic.custom import activation as custom
from analysis.symbolic.text import is_expression
from tinygrad_edu import nn
from tinygrad_edu.graph.creation import manual_seed

_FITTING_INIT = {"relu": "kaiming_normal", "leaky_relu": "kaiming_normal", "selu": "lecun_normal"}
"""What `--init` defaults to; for every other activation Glorot's."""


def parse_widths(text: str) -> list[int]:
    """``64,100,10`` as numbers; at least an input and an output, all positive."""
    try:
        widths = [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(
            f"widths {text!r}: give integers separated by commas, like 64,100,10."
        ) from None
    if len(widths) < 2 or min(widths) < 1:
        raise InputError(
            f"widths {text!r}: a network has at least an input and an output, each of at least 1 "
            "unit."
        )
    return widths


def parse_shape(text: str) -> tuple[int, ...]:
    """``3,32,32`` as the shape of one example."""
    try:
        return tuple(int(size) for size in text.split(","))
    except ValueError:
        raise InputError(
            f"shape {text!r}: give integers separated by commas, like 3,32,32."
        ) from None


def dense_network(
    widths: Sequence[int],
    activation: str,
    init: str | None = None,
    weight_std: float | None = None,
    seed: int = 0,
) -> nn.Sequential:
    """Linear layers with an activation between them, biases 0.

    `init` names an initialiser of `tinygrad_edu.nn.init` without its underscore; `weight_std`
    replaces it by normal weights of that standard deviation."""
    manual_seed(seed)
    kind = activation_module(activation)
    draw = _initialiser(init or _FITTING_INIT.get(activation, "xavier_normal"), weight_std)
    layers: list[nn.Module] = []
    for n_in, n_out in itertools.pairwise(widths):
        try:
            linear = nn.Linear(n_in, n_out)
        except MemoryError:
            raise InputError(
                f"a layer of {n_in} to {n_out} units does not fit into memory."
            ) from None
        draw(linear.weight)
        assert linear.bias is not None
        nn.init.zeros_(linear.bias)
        layers += [linear, kind()]
    return nn.Sequential(*layers[:-1])


def activation_module(name: str) -> type[nn.Module]:
    """The module class of an activation: of its name, whatever the case and underscores, or of
    text in x such as ``x*tanh(x)``, which is parsed and never evaluated."""
    if is_expression(name) and name.strip():
        return custom(name).Module
    known = {
        key.lower(): value
        for key, value in vars(nn).items()
        if inspect.isclass(value) and issubclass(value, nn.Module)
    }
    wanted = name.replace("_", "").lower()
    if wanted not in known or not _is_elementwise(known[wanted]):
        raise UnknownActivation(
            no_such("activation", name, (k for k, v in known.items() if _is_elementwise(v)))
        )
    return known[wanted]


def _is_elementwise(kind: type[nn.Module]) -> bool:
    return (
        issubclass(kind, nn.Activation)
        and kind is not nn.Activation
        and kind not in (nn.Softmax, nn.LogSoftmax)
    ) or kind is nn.Identity


def _initialiser(name: str, weight_std: float | None) -> Any:
    if weight_std is not None:
        return lambda weight: nn.init.normal_(weight, 0.0, weight_std)
    draw = getattr(nn.init, f"{name.removesuffix('_')}_", None)
    if draw is None:
        known = [key[:-1] for key in vars(nn.init) if key.endswith("_") and key[0] != "_"]
        raise InputError(no_such("initialiser", name, known))
    return draw


def import_model(path: str) -> nn.Module:
    """The model that ``module:attribute`` names, or what it returns if it is a function.

    The named module is imported, with the working directory on the path; nothing else runs."""
    model = _called(path, import_attribute(path))
    if not isinstance(model, nn.Module):
        raise InputError(f"{path}: is a {type(model).__name__}, not a model (nn.Module).")
    return model


def import_attribute(path: str) -> Any:
    """What ``module:attribute`` names. Raises `InputError` where there is no such thing, whatever
    importing the module raises."""
    module_name, _, attribute = path.partition(":")
    if not module_name or not attribute:
        raise InputError(f"{path!r}: write module:attribute, for example my_project.models:net.")
    if module_name.endswith(".py") or {"/", "\\"} & set(module_name):
        raise InputError(
            f"{path!r}: name the module as an import does, for example my_project.models:net for "
            "my_project/models.py."
        )
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise InputError(f"{path}: {error}; is the working directory right?") from None
    except (Exception, SystemExit) as error:
        raise InputError(f"{path}: importing {module_name} raised {_said(error)}.") from error
    try:
        return getattr(module, attribute)
    except AttributeError:
        raise InputError(f"{path}: module {module_name} has no {attribute!r}.") from None
    except Exception as error:
        raise InputError(f"{path}: reading it raised {_said(error)}.") from error


def _called(path: str, found: Any) -> Any:
    """A model as it is; of a function without arguments, what it returns."""
    if isinstance(found, nn.Module) or not callable(found):
        return found
    try:
        return found()
    except (Exception, SystemExit) as error:
        raise InputError(f"{path}: calling it without arguments raised {_said(error)}.") from error


def _said(error: BaseException) -> str:
    """An exception on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
