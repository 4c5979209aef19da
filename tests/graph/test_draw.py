"""`draw`: what is in the boxes, where the arrows go, and that the source is well formed."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn
from tinygrad_edu.errors import ArgumentError, DTypeError
from tinygrad_edu.graph.draw import Drawing
from tinygrad_edu.graph.tensor import abstract

STRING = r'"(?:[^"\\\n]|\\.)*"'
NODE = re.compile(rf"  (\d+) \[label=({STRING}), fillcolor=({STRING})\]")
ARROW = re.compile(r"  (\d+) -> (\d+)")


def read(drawing: Drawing) -> tuple[dict[int, list[str]], list[tuple[int, int]]]:
    """Labels and arrows, read from the source as Graphviz reads it."""
    first, style, *body, last = drawing.source.split("\n")
    assert (first, last) == ("digraph {", "}")
    assert re.fullmatch(rf"  node \[(?:\w+=(?:\w+|{STRING})(?:, )?)+\]", style)
    labels, arrows = {}, []
    for line in body:
        node, arrow = NODE.fullmatch(line), ARROW.fullmatch(line)
        assert node or arrow, line
        if node:
            text = re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], node[2][1:-1])
            labels[int(node[1])] = text.split("\n")
        elif arrow:
            arrows.append((int(arrow[1]), int(arrow[2])))
    return labels, arrows


# ------------------------------------------------------------------------------ tensors


def test_a_tensor_graph() -> None:
    x = tg.tensor([[1.0, 2.0, 3.0]], requires_grad=True)
    y = (x.tanh() * 2).sum()
    y.backward()
    labels, arrows = read(tg.draw(y, names={"x": x}))
    grad = f"grad (norm {np.linalg.norm(x.grad):.4g})"  # type: ignore[arg-type]
    assert labels == {
        0: ["x", "(1, 3) float32", grad],
        1: ["tanh", "(1, 3) float32"],
        2: ["constant", "() float32", "= 2"],
        3: ["mul", "(1, 3) float32"],
        4: ["sum axes=(0, 1)", "() float32", f"= {y.item():.4g}"],
    }
    assert arrows == [(0, 1), (1, 3), (2, 3), (3, 4)]


def test_kinds_have_colours() -> None:
    x = tg.ones(2, requires_grad=True)
    colours = [match[3] for match in NODE.finditer(tg.draw((x * 2).exp()).source)]
    assert len(set(colours)) == 4


def test_gradients_that_were_kept() -> None:
    x = tg.tensor(3.0, requires_grad=True)
    y = x * x
    y.retain_grad()
    (y * 2).backward()
    labels, _ = read(tg.draw(y * 2))
    assert "grad 12" in labels[0]
    assert "grad 2" in labels[1]


def test_what_is_used_twice_is_drawn_once() -> None:
    x = tg.ones(2, requires_grad=True)
    labels, arrows = read(tg.draw(x * x + x))
    assert [label[0] for label in labels.values()] == ["leaf", "mul", "add"]
    assert arrows == [(0, 1), (0, 1), (1, 2), (0, 2)]


def test_a_model_with_its_names() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    drawing = tg.draw(model(tg.ones(4, 2)), names=dict(model.named_parameters()))
    first = [label[0] for label in read(drawing)[0].values()]
    assert {"0.weight", "0.bias", "2.weight", "2.bias"} <= set(first)
    assert "leaf" not in first


def test_traced_shapes() -> None:
    labels, _ = read(tg.draw(abstract((2, 3)).exp()))
    assert labels[1] == ["exp", "(2, 3) float32"]


def test_a_leaf_alone() -> None:
    assert read(tg.draw(tg.tensor([1, 2]))) == ({0: ["constant", "(2,) int64"]}, [])


def test_long_parameters_are_left_out() -> None:
    x = tg.ones(2, 3, 1, 1, 1, 1, 1, 1, 1, requires_grad=True)
    labels, _ = read(tg.draw(x.sum(keepdim=True)))
    assert labels[1][0] == "sum keepdims=True"


def test_long_chains_need_no_recursion() -> None:
    x = tg.tensor(0.0, requires_grad=True)
    for _ in range(5000):
        x = x + 1
    assert len(tg.draw(x).boxes) == 10_001


# ------------------------------------------------------------------------------ Values


def test_a_value_graph() -> None:
    x, w = tg.Value(3.0), tg.Value(-2.0)
    y = (w * x + 1).tanh()
    y.backward()
    labels, arrows = read(tg.draw(y, names={"x": x, "y": y}))
    assert sorted(labels.values()) == sorted(
        [
            ["leaf", "= -2", f"grad {w.grad:.4g}"],
            ["x", "= 3", f"grad {x.grad:.4g}"],
            ["mul", "= -6"],
            ["constant", "= 1"],
            ["add", "= -5"],
            ["y", "tanh", "= -0.9999"],
        ]
    )
    named = [(labels[a][0], labels[b][0]) for a, b in arrows]
    assert named == [
        ("leaf", "mul"),
        ("x", "mul"),
        ("mul", "add"),
        ("constant", "add"),
        ("add", "y"),
    ]


def test_values_used_twice_and_kept_gradients() -> None:
    x = tg.Value(3.0)
    y = x * x
    y.retain_grad()
    z = y + y
    z.backward()
    labels, arrows = read(tg.draw(z))
    assert list(labels.values()) == [
        ["leaf", "= 3", "grad 12"],
        ["mul", "= 9", "grad 2"],
        ["add", "= 18"],
    ]
    assert arrows == [(0, 1), (0, 1), (1, 2), (1, 2)]


def test_a_value_alone() -> None:
    assert read(tg.draw(tg.Value(1))) == ({0: ["leaf", "= 1", "grad 0"]}, [])


# ------------------------------------------------------------------------------ text and files


@pytest.mark.parametrize(
    "name", ['say "x"', "back\\slash", "\\", 'a\\"b', "{x|y}<z>", "$x_1$", "größe", "π²", "%s {0}"]
)
def test_any_name_can_be_drawn(name: str, tmp_path: Path) -> None:
    x = tg.ones(2, requires_grad=True)
    drawing = tg.draw(x.exp(), names={name: x})
    assert read(drawing)[0][0][0] == name
    drawing.save(tmp_path / "graph.svg")


def test_control_characters_are_written_out() -> None:
    x = tg.ones(2)
    assert read(tg.draw(x, names={"a\nb\x00\t": x}))[0][0][0] == "a\\nb\\x00\\t"


def test_source_and_pictures_are_saved(tmp_path: Path) -> None:
    drawing = tg.draw(tg.ones(2, requires_grad=True).exp())
    beginnings = {".dot": b"digraph", ".gv": b"digraph", "": b"digraph", ".svg": b"<?xml",
                  ".png": b"\x89PNG", ".pdf": b"%PDF"}  # fmt: skip
    for suffix, beginning in beginnings.items():
        drawing.save(str(tmp_path / f"graph{suffix}"))
        assert (tmp_path / f"graph{suffix}").read_bytes().startswith(beginning)
    assert (tmp_path / "graph.dot").read_text() == str(drawing) + "\n"


def test_notebooks_show_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    drawing = tg.draw(tg.ones(2, requires_grad=True).exp())
    svg = drawing._repr_svg_()
    assert svg is not None
    assert "</svg>" in svg
    assert repr(drawing).startswith("<Drawing of 2 values")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert drawing._repr_svg_() is None


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    drawing = tg.draw(tg.ones(2))
    drawing.save(tmp_path / "graph.dot")
    with pytest.raises(ImportError, match=r"tinygrad-edu\[plots\]"):
        drawing.plot()


def test_too_much_for_a_picture() -> None:
    x: Any = tg.tensor(0.0, requires_grad=True)
    for _ in range(300):
        x = x + 1
    drawing = tg.draw(x)
    with pytest.raises(ArgumentError, match=r"601 boxes.*\.dot"):
        drawing.plot()
    assert drawing._repr_svg_() is None


def test_only_graphs_can_be_drawn() -> None:
    with pytest.raises(DTypeError, match="not ndarray"):
        tg.draw(np.ones(2))  # type: ignore[arg-type]
