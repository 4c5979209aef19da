"""19 Batch norm rescues a deep sigmoid network.

python examples/19_batchnorm_rescues.py --plot rescue.png
"""

from __future__ import annotations

from common import BLUE, GREY, ORANGE, Result, digits, mlp, pairs, panels, tell

from tinygrad_edu import nn, optim
from tinygrad_edu.train import Probe, fit

LECTURE = """Batch norm in a network of sigmoids improves loss and accuracy significantly, and
its outputs keep about mean 0 and variance 1 over the epochs."""

EXACTLY = """So it is, on the digits with six hidden layers. What keeps mean 0 and variance 1 is
the standardised value; the layer puts out mean beta and variance gamma^2, which are learned and
drift from 0 and 1 as training goes on."""

WIDTHS = (64, 64, 64, 64, 64, 64, 64, 10)


def experiment(quick: bool) -> Result:
    """Train with and without, and watch the output of the third batch norm."""
    train, test = digits()
    epochs = 4 if quick else 25
    result: Result = {}
    for name, norm in (("without", None), ("with", nn.BatchNorm1d)):
        model = mlp(WIDTHS, nn.Sigmoid, nn.init.xavier_normal_, norm)
        with Probe(model, every=20) as probe:
            history = fit(
                model,
                pairs(train),
                optimizer=lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
                epochs=epochs,
                validation=pairs(test),
                compiled=False,  # a probe looks at eager steps
            )
        result[f"{name} batch norm: training loss"] = history.loss[-1]
        result[f"{name} batch norm: test accuracy"] = history.val_accuracy[-1]
        result[f"loss {name}"], result[f"accuracy {name}"] = history.loss, history.val_accuracy
        watched = probe.layer("7" if norm else "4")
        result[f"mean {name}"] = [r.activation.mean for r in watched]
        result[f"variance {name}"] = [r.activation.variance for r in watched]
        result[f"steps {name}"] = [r.step for r in watched]
    result["third batch norm: mean of its output at the end"] = result["mean with"][-1]
    result["third batch norm: variance of its output at the first step"] = result["variance with"][
        0
    ]
    result["third batch norm: variance of its output at the end"] = result["variance with"][-1]
    return result


def figure(result: Result) -> object:
    """Loss, accuracy, and the moments of the third layer's pre-activation over training."""
    drawn, (loss, accuracy, moments) = panels(3, "six hidden layers of 64 sigmoids on the digits")
    for name, colour in (("without", ORANGE), ("with", BLUE)):
        epochs = range(1, len(result[f"loss {name}"]) + 1)
        loss.semilogy(epochs, result[f"loss {name}"], color=colour, label=f"{name} batch norm")
        accuracy.plot(epochs, result[f"accuracy {name}"], color=colour)
    moments.plot(result["steps with"], result["mean with"], color=BLUE, ls=":", label="mean")
    moments.plot(result["steps with"], result["variance with"], color=BLUE, label="variance")
    for level in (0, 1):
        moments.axhline(level, color=GREY, lw=0.5)
    loss.set(title="training loss", xlabel="epoch")
    accuracy.set(title="test accuracy", xlabel="epoch", ylim=(0, 1))
    moments.set(title="output of the third batch norm", xlabel="step", ylim=(-0.5, None))
    loss.legend(frameon=False)
    moments.legend(frameon=False)
    return drawn


if __name__ == "__main__":
    tell(__doc__, LECTURE, EXACTLY, experiment, figure)
