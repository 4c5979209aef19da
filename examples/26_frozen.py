"""26 Frozen is not inference: three ways to keep a base as it is, only one of which does.

python examples/26_frozen.py --plot frozen.png
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from common import BLUE, COLOURS, Result, digits, mlp, pairs, panels, tell

import tinygrad_edu as tg
from tinygrad_edu import nn, optim
from tinygrad_edu.errors import FrozenStatisticsWarning
from tinygrad_edu.train import evaluate, fit

LECTURE = """Batch norm's statistics are weights that are not trained. `trainable = False` on a
batch norm layer was decided to mean inference mode, even while the rest of the model trains,
since that is what one wants of a pre-trained base."""

EXACTLY = """It is Keras's decision, and `freeze()` here. Two other things can be meant. In
eval() the statistics rest but an optimizer moves the base's weights. With requires_grad_(False),
torch's idiom, the weights rest but the statistics follow the new data, so that the base becomes
another function. All three fine-tune a new head here, on digits whose background is brighter;
then the old head is put back, and only behind the frozen base does it work as before."""

STEPS, BATCH = 150, 32
CASES = ("eval()", "freeze()", "requires_grad_(False)")


def pretrained(data: Any) -> tuple[Any, Any]:
    """A base with batch norm and its head, trained on the digits."""
    model = mlp((64, 64, 32, 10), nn.ReLU, nn.init.kaiming_normal_, nn.BatchNorm1d)
    fit(model, data, epochs=8, optimizer=lambda p: optim.SGD(p, lr=0.1))
    return model[:-1], model[-1:]


def fine_tune(base: Any, case: str, data: Any, steps: int) -> list[float]:
    """Train a new head on shifted digits; how far the first running means have moved, by step."""
    tg.manual_seed(1)
    model, rng = nn.Sequential(base, nn.Linear(32, 10)), np.random.default_rng(0)
    model.train()
    if case == "eval()":
        base.eval()  # after train(), which would undo it
    elif case == "freeze()":
        base.freeze()
    else:
        base.requires_grad_(False)
    optimizer = optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    images, labels = data
    start, moved = base[1].running_mean.numpy().copy(), []
    for _ in range(steps):
        rows = rng.integers(len(images), size=BATCH)
        optimizer.zero_grad()
        nn.CrossEntropyLoss()(model(tg.tensor(images[rows])), tg.tensor(labels[rows])).backward()
        optimizer.step()
        moved.append(float(np.abs(base[1].running_mean.numpy() - start).mean()))
    return moved


def experiment(quick: bool) -> Result:
    """Fine-tune in three ways; what moved, and what the old head says afterwards."""
    train, test = digits()
    images, labels = pairs(train)
    brighter = (images * 0.5 + 1).astype(np.float32)
    result: Result = {"moved": {}}
    changes: Result = {}
    for case in CASES:
        base, head = pretrained((images, labels))
        weight, mean = base[0].weight.detach().numpy().copy(), base[1].running_mean.numpy().copy()
        if case == CASES[0]:
            before = evaluate(nn.Sequential(base, head), pairs(test))["accuracy"]
            result["before: accuracy on the old task"] = before
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FrozenStatisticsWarning)  # one case is about it
            steps = 40 if quick else STEPS
            result["moved"][case] = fine_tune(base, case, (brighter, labels), steps)
        base.eval()
        moved = np.abs(base[0].weight.detach().numpy() - weight).max()
        shifted = np.abs(base[1].running_mean.numpy() - mean).max()
        old = evaluate(nn.Sequential(base, head), pairs(test))["accuracy"]
        result[f"{case}: accuracy of the old head on the old task afterwards"] = old
        changes[f"{case}: largest change of a weight of the base"] = float(moved)
        changes[f"{case}: largest change of a running mean"] = float(shifted)
    return {**result, **changes}


def figure(result: Result) -> object:
    """The running mean while the head trains; the old task before and after."""
    drawn, (left, right) = panels(2, "fine-tuning a new head on brighter digits", 5)
    for colour, (case, moved) in zip(COLOURS, result["moved"].items(), strict=False):
        style = ":" if case == "eval()" else "-"
        left.plot(moved, style, color=colour, label=case, lw=2)
    left.set(title="change of the running means, first batch norm", xlabel="step")
    left.legend(frameon=False)
    old = [result[f"{case}: accuracy of the old head on the old task afterwards"] for case in CASES]
    right.bar(["before", *CASES], [result["before: accuracy on the old task"], *old], color=BLUE)
    right.set(title="accuracy on the old task, old head", ylim=(0, 1))
    right.tick_params(axis="x", labelsize="small")
    return drawn


if __name__ == "__main__":
    tell(__doc__, LECTURE, EXACTLY, experiment, figure)
