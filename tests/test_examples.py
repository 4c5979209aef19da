"""Every example shows its claim: what it prints is held to what it says.

Each runs once, in its quick form. Bounds are wide where training decides (who is ahead, and
clearly), and of the size of the sampling error where a law is measured.
"""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "examples"
NAMES = sorted(path.stem for path in FOLDER.glob("[0-9]*.py"))


@pytest.fixture(autouse=True)
def beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples import `common` from their own folder, as scripts do."""
    monkeypatch.syspath_prepend(str(FOLDER))


@cache
def example(number: str) -> tuple[ModuleType, dict[str, Any]]:
    """The module and its quick result."""
    import table  # type: ignore[import-not-found, unused-ignore]

    (path,) = FOLDER.glob(f"{number}_*.py")
    module = table.load(path)
    return module, module.experiment(True)


def result(number: str) -> dict[str, Any]:
    return example(number)[1]


def close(value: float, expected: float, rel: float) -> bool:
    return value == pytest.approx(expected, rel=rel)


# ------------------------------------------------------------------------------ all of them


def test_there_is_one_for_every_claim() -> None:
    claims = {"01", "02", "03", "04", "05", "06", "07", "09", "11", "14", "15", "16", "17", "19"}
    claims |= {"20", "21", "22", "23", "24", "25", "26", "27", "28", "28b"}
    assert {name.partition("_")[0] for name in NAMES} == claims


@pytest.mark.parametrize("name", NAMES)
def test_it_tells_and_draws_and_is_listed(name: str, tmp_path: Path) -> None:
    number = name.partition("_")[0]
    module, found = example(number)
    assert (module.__doc__ or "").startswith(f"{number} ")
    assert f"examples/{name}.py --plot" in (module.__doc__ or "")
    assert min(len(module.LECTURE), len(module.EXACTLY)) > 50
    picture = tmp_path / "figure.png"
    module.figure(found).savefig(picture, dpi=40)
    assert picture.stat().st_size > 2000
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    (row,) = [line for line in page.splitlines() if line.startswith(f"| [{name}]({name}.py)")]
    assert row.count("**") >= 4, "run python examples/table.py"
    assert f"`{name}.py`" in (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")


def test_the_command_line(tmp_path: Path) -> None:
    picture = tmp_path / "rates.svg"
    run = subprocess.run(
        [sys.executable, "examples/03_unequal_variances.py", "--quick", "--plot", str(picture)],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert [f"{part}:" in run.stdout for part in ("The lecture", "Exactly", "Measured")] == [
        True
    ] * 3
    assert "steps to half the error" in run.stdout
    assert picture.read_text().lstrip().startswith("<?xml")


# ------------------------------------------------------------------------------ inputs, units


def test_01_activations_saturate_and_are_linear() -> None:
    found = result("01")
    assert found["tanh: part of its output a line explains at z ~ N(0, 0.01)"] > 0.999
    assert found["tanh: saturated share at z ~ N(0, 9)"] > 0.4
    assert found["relu: share that is off at z ~ N(0, q), any q"] == 0.5


def test_02_inputs_of_one_sign_zigzag() -> None:
    found = result("02")
    assert found["shifted inputs, one example a step: steps of one sign"] == 1.0
    assert found["centred inputs, one example a step: steps of one sign"] < 0.75
    steps = "{} inputs, whole batches: steps until 0.001 from the optimum"
    assert found[steps.format("shifted")] > 20 * found[steps.format("centred")]
    assert close(
        found["shifted inputs: condition number of E[x x^T]"],
        found["predicted for shifted inputs, 1 + n m^2/v"],
        0.05,
    )
    gradient = [
        found[f"counterexample: gradient by the {which} weight"] for which in ("first", "second")
    ]
    assert gradient == [-1, 1]


def test_03_rates_are_those_of_the_variances() -> None:
    found = result("03")
    for deviation in (0.3, 1.0):
        steps = found[f"deviation {deviation}: steps to half the error"]
        predicted = found[f"deviation {deviation}: predicted ln 2/(-ln(1 - eta Var x))"]
        assert 0 <= steps - predicted <= 1
    assert close(found["first update, largest feature over smallest"], 900, 1e-6)
    assert found["standardised: steps to half the error, slowest weight"] <= 2


def test_04_scales() -> None:
    found = result("04")
    assert found["tanh, too large: saturated in layer 30"] > 0.3
    assert found["tanh, too small: standard deviation in layer 30"] < 1e-10
    assert found["tanh, too small: nearly linear units in layer 1"] > 0.8
    assert 0.3 < found["relu, He: standard deviation in layer 30"] < 3
    predicted = found["predicted for tanh, too large: chi^(29/2)"]
    assert 0.3 < found["tanh, too large: gradient in layer 1 over layer 30"] / predicted < 3


def test_05_dead_units_stay_dead() -> None:
    found = result("05")
    assert found["share of relus that are dead on all digits at bias 0"] == 0
    assert found["share of relus that are dead on all digits at bias -32"] > 0.95
    assert found["relu, a dead layer: unchanged to the bit after training (1: yes)"] == 1
    assert found["leaky relu, a dead layer: unchanged to the bit after training (1: yes)"] == 0
    assert (
        found["leaky relu, a dead layer: training accuracy"]
        > found["relu, a dead layer: training accuracy"] + 0.2
    )
    p = found["predicted, 1 - prod(1 - 2^-n)"]
    (measured,) = [v for k, v in found.items() if k.startswith("networks of widths")]
    assert abs(measured - p) < 4 * (p * (1 - p) / 500) ** 0.5


def test_06_identical_units() -> None:
    found = result("06")
    assert found["two equal units of a scalar network after 100 steps: difference"] == 0
    assert found["derived difference of their gradients"] == 0
    assert found["outgoing weights differ: after 1 step"] > 1e-3
    for name in ("tanh", "relu"):
        assert found[f"all zeros, {name}: after 4"] < 0.15
        assert found[f"all zeros, {name}: largest difference of its units then"] == 0
    assert found["random weights, tanh: training accuracy after 4 epochs"] > 0.9


# ------------------------------------------------------------------------------ variance


def test_07_products_and_sums() -> None:
    found = result("07")
    for name in ("uniform * exponential", "Poisson * coin", "normal * normal"):
        assert close(found[f"Var of {name}: measured"], found[f"Var of {name}: derived"], 0.1)
    assert close(found["behind a relu: measured variance of a pre-activation"], 1.0, 0.05)
    assert close(found["behind a relu: n Var(W) Var(Y), as in the lecture"], 0.681690, 1e-5)


def test_09_depth() -> None:
    found = result("09")
    assert not any(value for name, value in found.items() if "that fail" in name)
    assert found["linear, n Var(W) = 2: E[z^2] in layer 12, predicted"] == pytest.approx(2**12)
    assert found["tanh, n Var(W) = 1: the same, measured"] < 0.1


def test_11_glorot() -> None:
    found = result("11")
    assert close(found["E[tanh(z)^2] at unit input, derived and certified"], 0.394294, 2e-6)
    assert close(found["E[tanh(z)^2], measured behind Glorot's weights"], 0.394294, 0.03)
    assert found["fans 1 and 4: Glorot's variance"] == 0.4
    assert found["fans 1 and 4: average of 1/sqrt(n_in) and 1/sqrt(n_out), squared"] == 9 / 16


def test_14_he() -> None:
    found = result("14")
    for law in ("normal", "uniform", "two points", "Laplace"):
        assert found[f"E[relu(z)^2]/E[z^2], {law}"] == pytest.approx(0.5, abs=0.04)
    assert found["width 8: the middle network, layer 30"] < 0.05
    assert found["width 100: the middle network, layer 30"] > 0.3


def test_15_residual() -> None:
    found = result("15")
    kinds = ("plain", "branches scaled by L^-1/2", "branches normalised")
    for kind in kinds:
        derived = found[f"{kind}: second moment after 16 blocks, derived"]
        assert close(found[f"{kind}: measured, mean over networks"], derived, 0.3)
    assert found["plain: second moment after 16 blocks, derived"] == 2**16


def test_16_pretraining() -> None:
    found = result("16")
    loss = "{} weights: training loss after 4 epochs"
    assert found[loss.format("pre-trained")] < found[loss.format("random")] - 0.3
    assert found["linear autoencoder: angle of the decoder to PCA's subspace, degrees"] < 10
    assert found["linear autoencoder: angle of the encoder to it, degrees"] > 15


# ------------------------------------------------------------------------------ normalisation


def test_17_batchnorm() -> None:
    found = result("17")
    assert found["largest difference from the four equations"] < 1e-12
    assert found["gradient agrees with differences, both orders (1: yes)"] == 1
    assert close(found["variance behind it of a feature of variance eps"], 0.5, 0.05)
    measured = found["decaying average, alpha = 0.1: its variance, in units of a batch's"]
    assert close(measured, found["derived, alpha/(2 - alpha)"], 0.4)
    assert close(found["cumulative average of 200 batches: the same"], 1 / 200, 0.4)
    assert found["evaluation: an example's output alone and in a batch, difference"] < 1e-6


def test_19_batchnorm_rescues() -> None:
    found = result("19")
    accuracy = "{} batch norm: test accuracy"
    assert found[accuracy.format("with")] > found[accuracy.format("without")] + 0.5
    assert found["third batch norm: variance of its output at the first step"] == pytest.approx(
        1, abs=0.01
    )


def test_20_learning_rates() -> None:
    found = result("20")
    largest = "relu {} batch norm: largest rate that trains (0: none)"
    assert found[largest.format("with")] > found[largest.format("without")]


def test_21_batch_noise() -> None:
    found = result("21")
    measured, derived = (
        found[f"batches of 32: {w}"] for w in ("variance of the mean, measured", "derived")
    )
    assert close(measured, derived, 0.3)
    half = found["half the data: variance of the mean over Var(y)/m, measured"]
    assert close(half, found["half the data: (N - m)/(N - 1)"], 0.15)


def test_22_weight_decay() -> None:
    found = result("22")
    assert found["outputs after 10 w for w: largest change"] < 1e-5
    assert found["largest |cos| of w and its gradient"] < 1e-4
    measured, derived = (
        found[f"|w| at rest, mean over units: {w}"] for w in ("measured", "derived")
    )
    assert close(measured, derived, 0.1)
    assert found["without decay: |w| at the end over |w| at the start"] > 1


def test_23_the_gradient_grows_under_batchnorm() -> None:
    found = result("23")
    assert close(found["relu: growth a layer, derived for large batches"], 1.466942, 1e-6)
    assert close(found["relu: measured at width 100, batch 128"], 1.466942, 0.06)
    measured = found["identity, batch 8: measured"]
    assert close(measured, found["identity, batch 8: derived (m - 2)/(m - 3)"], 0.06)


def test_24_other_norms() -> None:
    found = result("24")
    for name in ("layer norm", "group norm", "RMS norm"):
        assert close(
            found[f"{name}: measured"], found[f"{name}: gradient's second moment, derived"], 0.04
        )
    change = "{}: change of an output if half of the batch is left out"
    assert found[change.format("layer norm")] < 1e-6 < found[change.format("batch norm")]


def test_25_variance_shift() -> None:
    found = result("25")
    measured = found["dropout, batch norm, p = 0.5: variance in evaluation over training"]
    assert close(measured, found["dropout, batch norm, p = 0.5: derived"], 0.03)
    before = found["digits, dropout 0.7 in front of each norm: test loss"]
    assert (
        before > found["digits, dropout 0.7 in front of each norm: with statistics collected anew"]
    )


def test_26_frozen() -> None:
    found = result("26")
    weight, mean = (
        "{}: largest change of a weight of the base",
        "{}: largest change of a running mean",
    )
    moved = {
        case: (found[weight.format(case)] > 0, found[mean.format(case)] > 0)
        for case in ("eval()", "freeze()", "requires_grad_(False)")
    }
    assert moved == {
        "eval()": (True, False),
        "freeze()": (False, False),
        "requires_grad_(False)": (False, True),
    }
    after = "{}: accuracy of the old head on the old task afterwards"
    assert found[after.format("freeze()")] == found["before: accuracy on the old task"]
    assert found[after.format("requires_grad_(False)")] < found[after.format("freeze()")] - 0.05


def test_27_transfer_helps_only_where_the_source_teaches_something() -> None:
    found = result("27")
    assert found["plain digits: mean advantage of the frozen base"] < -0.05
    assert found["at random places of 12 x 12: mean advantage of the frozen base"] > 0.02


def test_28_spacing() -> None:
    found = result("28")
    loss, cost = "norm {}: training loss after 3 epochs", "norm {}: milliseconds a pass"
    assert found[loss.format("every 3 layers")] < found[loss.format("nowhere")] - 0.3
    assert found[cost.format("nowhere")] < found[cost.format("in every layer")]


def test_28b_covariate_shift() -> None:
    found = result("28b")
    shift = "{} batch norm: shift of an input's mean an epoch, in deviations"
    assert found[shift.format("with")] < found[shift.format("without")] / 3
    assert (
        found["a line explains with the learned gamma and beta"]
        < found["a line explains of the standardised values"]
    )
