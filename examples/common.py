"""What every example shares: its command line, small networks, the digits, panels to draw on.

An example is a file with four parts, in the order in which they are told:

    LECTURE       the claim as it is stated
    EXACTLY       what is true, and why the two differ
    experiment    (quick) -> numbers, which are printed, and curves, which are drawn
    figure        of those curves
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

import analysis
import tinygrad_edu as tg
from tinygrad_edu import nn
from tinygrad_edu.data import Digits, Standardize, load_digits
from tinygrad_edu.train.history import figure_class

Result = dict[str, Any]
"""Numbers under the sentences that they complete, and arrays for the figure."""
Drawing = Callable[[Result], Any]

WIDTH = 96
BLUE, ORANGE, GREEN, GREY, RED = "#2171b5", "#d94801", "#238b45", "#888888", "#cb181d"
COLOURS = (BLUE, ORANGE, GREEN, "#6a51a3", GREY)


# ------------------------------------------------------------------------------ telling


def tell(
    title: str | None,
    lecture: str,
    exactly: str,
    experiment: Callable[[bool], Result],
    draw: Drawing,
) -> None:
    """The command line of an example: `--quick` for a short run, `--plot FILE` for the figure."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--quick", action="store_true", help="a smaller experiment, for tests")
    parser.add_argument("--plot", metavar="FILE", help="save the figure there (png, svg, pdf)")
    options = parser.parse_args()
    print((title or "").strip().splitlines()[0])
    for heading, text in (("The lecture", lecture), ("Exactly", exactly)):
        print(
            f"\n{heading}:\n{textwrap.indent(textwrap.fill(' '.join(text.split()), WIDTH), '  ')}"
        )
    print("\nMeasured:")
    result = experiment(options.quick)
    for name, value in numbers(result).items():
        print(f"  {name:<76} {shown(value):>14}")
    if options.plot:
        draw(result).savefig(options.plot, dpi=130)
        print(f"\nfigure: {options.plot}")


def numbers(result: Result) -> dict[str, float]:
    """What of a result is printed."""
    return {name: value for name, value in result.items() if isinstance(value, int | float)}


def shown(value: float) -> str:
    """A whole number as it is, another to four digits."""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def panels(count: int, title: str, width: float = 4.2, height: float = 3.6, rows: int = 1) -> Any:
    """A figure and a flat list of `count` axes to draw on, in `rows` rows."""
    columns = -(-count // rows)
    figure = figure_class()(figsize=(width * columns, height * rows), layout="constrained")
    figure.suptitle(title)
    axes = list(np.ravel(figure.subplots(rows, columns)))
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
    for unused in axes[count:]:
        unused.set_visible(False)
    return figure, axes[:count]


def derived(name: str, **values: float) -> float:
    """The number that a derivation's result becomes with these values for its symbols and
    moments, which are named as they are printed: ``**{"Var(W)": 0.02}``."""
    return float(analysis.derive(name).evaluate(values))


# ------------------------------------------------------------------------------ networks and data


def mlp(
    widths: Sequence[int],
    activation: Callable[[], nn.Module],
    init: Callable[[nn.Parameter], object] | None = None,
    norm: Callable[[int], nn.Module] | None = None,
    seed: int = 0,
) -> Any:
    """A Sequential of linear layers with activations between them. With an `init`, weights are
    drawn by it and biases are 0, else both by torch's default; a `norm` stands before each
    activation. (Any, since a type checker cannot know which layer a position holds.)"""
    tg.manual_seed(seed)
    model = nn.Sequential()
    for layer, (fan_in, fan_out) in enumerate(pairwise(widths), start=1):
        linear: Any = nn.Linear(fan_in, fan_out)
        if init is not None:
            init(linear.weight)
            nn.init.zeros_(linear.bias)
        model.append(linear)
        if layer < len(widths) - 1:
            if norm is not None:
                model.append(norm(fan_out))
            model.append(activation())
    return model


def digits(seed: int = 0) -> tuple[Digits, Digits]:
    """Training and test part of the handwritten digits, each pixel of mean 0 and variance 1."""
    train, test = load_digits().split(seed=seed)
    scale = Standardize.fit(train.images)
    return Digits(scale(train.images), train.labels), Digits(scale(test.images), test.labels)


def pairs(data: Digits) -> tuple[Any, Any]:
    """Digits as `fit` and `evaluate` take them."""
    return data.images, data.labels
