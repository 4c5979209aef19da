"""The arithmetic of an optimizer's step, on values of any kind: tensors while it is traced, arrays
otherwise, and those of all parameters together in compiled kernels, where that is possible."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_edu.graph.reader import graph_reader
from tinygrad_edu.ops import native
from tinygrad_edu.ops.table import Reader, array_reader

Values = Any
"""An array, or a tensor where the step is being recorded."""


@dataclass(slots=True)
class Arithmetic:
    """``formula(m, *values, *numbers, **options)``: the new value of a parameter and what else is
    kept, a list.

    Attributes:
        formula: Written in arithmetic and the functions of the reader `m`.
        values: The parameter's value, its gradient, its state: of one shape.
        numbers: What may be another number at each step.
        options: What kernels are made for.
    """

    formula: Callable[..., list[Values]]
    values: Sequence[Values]
    numbers: Sequence[Any]
    options: Mapping[str, Any] = field(default_factory=dict)

    def compute(self) -> list[Values]:
        """The results for one parameter."""
        dtype = self.values[0].dtype
        is_array = self.values[0].__class__ is np.ndarray
        reader = array_reader(dtype) if is_array else graph_reader(dtype)
        return self.formula(reader, *self.values, *self.numbers, **self.options)


def downhill(g: Values, group: Mapping[str, Any]) -> Values:
    """The gradient of what is to become small: its negative, where `maximize` is set."""
    return -g if group.get("maximize") else g


def number(function: Callable[..., Any], *numbers: Any) -> Any:
    """A function of numbers that more than arithmetic goes into. While a step is traced some of
    them are read anew at each call, and the function is called anew with them (of many steps at
    once, with arrays)."""
    for each in numbers:
        host = getattr(each, "host", None)
        if host is not None:
            return host.compute(function, *numbers)
    return function(*numbers)


def compute(steps: Sequence[Arithmetic]) -> list[list[Values]]:
    """The results of each: by one pass of compiled kernels over all arrays if they are large enough
    and differ in their values alone."""
    together = _together(steps) if steps else None
    if together is None:
        return [step.compute() for step in steps]
    count = len(together) // len(steps)
    return [together[i : i + count] for i in range(0, len(together), count)]


def _together(steps: Sequence[Arithmetic]) -> list[Values] | None:
    first = steps[0]
    dtype, each = first.values[0].dtype, len(first.values)
    arrays: list[Values] = []
    for step in steps:
        if step.numbers != first.numbers or step.options != first.options:
            return None
        if step.values[0].dtype != dtype or len(step.values) != each:
            return None
        arrays += step.values
    for i, x in enumerate(arrays):
        if x.__class__ is not np.ndarray:
            if not isinstance(x, np.generic):
                return None  # state that is still the number 0
            arrays[i] = np.asarray(x)  # what NumPy makes of zero-dimensional arrays
    arrays += [np.array(number, dtype) for number in first.numbers]
    options = tuple(first.options.items())
    return native.run(_of_all, arrays, formula=first.formula, each=each, options=options)


def _of_all(
    m: Reader, *terms: Any, formula: Callable[..., list[Any]], each: int, options: Any
) -> list[Any]:
    """The formula of each `each` terms, and of the numbers that follow them all."""
    whole = len(terms) - len(terms) % each
    numbers = terms[whole:]
    found: list[Any] = []
    for i in range(0, whole, each):
        found += formula(m, *terms[i : i + each], *numbers, **dict(options))
    return found
