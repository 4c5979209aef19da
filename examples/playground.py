"""29 A playground for initialisation: choose a network, see its signal predicted and measured.

marimo edit examples/playground.py                              to play, in a browser
marimo export html examples/playground.py -o playground.html    a page of the first choice
python examples/playground.py                                   once, without a browser

Needs the extra "notebook": pip install 'tinygrad-edu[notebook]'.
"""

import marimo

app = marimo.App(width="medium", app_title="A playground for initialisation")


@app.cell
def _():
    from itertools import pairwise

    import marimo as mo
    import numpy as np
    from matplotlib.figure import Figure

    import analysis
    import tinygrad_edu as tg
    from analysis.palette import INK, MEASURED
    from tinygrad_edu import nn

    return Figure, INK, MEASURED, analysis, mo, nn, np, pairwise, tg


@app.cell
def _(mo):
    mo.md("""
    # A playground for initialisation

    Weights too large saturate a deep network or make it explode, weights too small let signal and
    gradient vanish. Choose a network below. Everything in blue is **derived**, for all networks of
    this kind, without running one; everything in orange is **measured** on some of them.
    """)
    return


@app.cell
def _():
    activations = ["Tanh", "ReLU", "Sigmoid", "GELU", "SiLU", "SELU", "LeakyReLU", "Identity"]
    initialisers = {
        "LeCun normal": ("lecun_normal_", {}),
        "Glorot normal": ("xavier_normal_", {}),
        "Glorot uniform": ("xavier_uniform_", {}),
        "He normal": ("kaiming_normal_", {"nonlinearity": "relu"}),
        "orthogonal": ("orthogonal_", {}),
        "too large: 4 x LeCun": ("lecun_normal_", {"gain": 4.0}),
        "too small: LeCun / 4": ("lecun_normal_", {"gain": 0.25}),
        "all equal": ("constant_", {"val": 0.1}),
    }
    return activations, initialisers


@app.cell
def _(activations, initialisers, mo):
    depth = mo.ui.slider(1, 30, value=8, label="hidden layers", show_value=True)
    width = mo.ui.slider(4, 256, value=64, step=4, label="units in each", show_value=True)
    activation = mo.ui.dropdown(activations, value="Tanh", label="activation")
    initialiser = mo.ui.dropdown(list(initialisers), value="Glorot normal", label="weights")
    networks = mo.ui.slider(5, 200, value=30, step=5, label="networks measured", show_value=True)
    mo.vstack([mo.hstack([depth, width]), mo.hstack([activation, initialiser]), networks])
    return activation, depth, initialiser, networks, width


@app.cell
def _(activation, depth, initialiser, initialisers, nn, pairwise, tg, width):
    tg.manual_seed(0)
    draw, options = initialisers[initialiser.value]
    sizes = [32, *[width.value] * depth.value]
    model = nn.Sequential()
    for n_in, n_out in pairwise(sizes):
        model.append(nn.Linear(n_in, n_out))
        model.append(getattr(nn, activation.value)())
    model.append(nn.Linear(sizes[-1], 10))
    for linear in model[::2]:
        getattr(nn.init, draw)(linear.weight, **options)
        nn.init.zeros_(linear.bias)
    return (model,)


@app.cell
def _(analysis, mo, model, networks):
    report = analysis.analyze(model)
    measured = analysis.measure(model, networks.value, progress=False)
    verdicts = analysis.verify(report, measured)
    agree = sum(v.agrees for v in verdicts)
    said = [f"- **{f.code}** layer {f.layer}: {f.message}. {f.fix or ''}" for f in report.findings]
    mo.md(
        f"**{agree} of {len(verdicts)}** predictions agree with {measured.networks} networks.\n\n"
        + ("\n".join(said) or "Nothing to complain about.")
    )
    return measured, report


@app.cell
def _(measured, mo, report):
    mo.vstack([mo.md("## Signal and gradient by depth"), report.with_measurement(measured).plot()])
    return


@app.cell
def _(analysis, mo, model, networks):
    found = analysis.distributions(model, networks=min(networks.value, 20))
    mo.vstack([mo.md("## Outputs and gradients, layer by layer"), found.plot()])
    return (found,)


@app.cell
def _(Figure, INK, MEASURED, mo, model, nn, np):
    layers = [(name, m) for name, m in model.named_modules() if isinstance(m, nn.Linear)]
    shown = [layers[i] for i in np.unique(np.linspace(0, len(layers) - 1, 5).astype(int))]
    weights = Figure(figsize=(8.2, 1.9), layout="constrained")
    for axes, (name, layer) in zip(
        np.atleast_1d(weights.subplots(1, len(shown))), shown, strict=True
    ):
        axes.hist(layer.weight.detach().numpy().ravel(), 40, color=MEASURED, alpha=0.5)
        axes.set_title(f"{name} Linear", loc="left", fontsize="small", color=INK)
        axes.set_yticks([])
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right", "left"]].set_visible(False)
    mo.vstack([mo.md("## Weights of one network"), weights])
    return


@app.cell
def _(activation, analysis, mo):
    phase = None
    if activation.value != "Identity":
        phase = analysis.maps(activation.value.lower().replace("leakyrelu", "leaky_relu")).plot()
    mo.vstack([mo.md("## Order and chaos: where this activation lets a deep signal live"), phase])
    return


if __name__ == "__main__":
    app.run()
