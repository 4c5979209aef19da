"""The command `python -m analysis.variance`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from analysis import variance

ROOT = Path(__file__).parents[2]


def run(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "analysis.variance", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=120,
        check=False,
    )


def test_without_arguments_everything_agrees(capsys: pytest.CaptureFixture[str]) -> None:
    assert variance.main(["--verify", "60"]) == 0
    out = capsys.readouterr().out
    for name in variance.CORE:
        assert f"{name}:" in out
    assert out.count("38 of 38 predictions agree") == 2
    assert "standardised digits" in out
    assert "\x1b[" not in out  # no colours where nobody looks


def test_json_has_the_promised_form(capsys: pytest.CaptureFixture[str]) -> None:
    assert variance.main(["--format", "json", "--verify", "20"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [d["name"] for d in document["derivations"]] == list(variance.CORE)
    assert all(set(d) == {"name", "grade", "result"} for d in document["derivations"])
    for report in document["networks"]:
        assert {"input", "layers", "findings", "assumptions"} <= set(report)
        assert len(report["layers"]) == 19
        for layer in report["layers"]:
            assert {"mean", "second", "variance"} <= set(layer["forward"])
            assert "second" in layer["backward"]
            assert layer["measured"]["networks"] == 20


def test_one_derivation(capsys: pytest.CaptureFixture[str]) -> None:
    assert variance.main(["--derivation", "he"]) == 0
    assert "Var(W) = 2/n_in" in capsys.readouterr().out
    assert variance.main(["--derivation", "he", "--format", "latex"]) == 0
    assert r"\frac{2}{n_{in}}" in capsys.readouterr().out


def test_all_derivations(capsys: pytest.CaptureFixture[str]) -> None:
    import analysis

    assert variance.main(["--derivation", "all", "--format", "json"]) == 0
    printed = json.loads(capsys.readouterr().out)["derivations"]
    assert [d["name"] for d in printed] == list(analysis.derivations())


@pytest.mark.parametrize("form", ["text", "json", "latex", "html"])
def test_a_dense_network(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--widths", "20,30,10", "--activation", "gelu", "--init", "xavier_uniform"]
    assert variance.main([*arguments, "--verify", "30", "--format", form]) == 0
    out = capsys.readouterr().out
    assert "GELU" in out
    if form == "latex":
        assert out.count(r"\begin") == out.count(r"\end") == 1


def test_weight_std(capsys: pytest.CaptureFixture[str]) -> None:
    assert variance.main(["--widths", "100,10", "--weight-std", "0.5", "--format", "json"]) == 0
    (report,) = json.loads(capsys.readouterr().out)["networks"]
    assert report["layers"][0]["forward"]["second"] == pytest.approx(100 * 0.25)


def test_a_shape(capsys: pytest.CaptureFixture[str]) -> None:
    assert variance.main(["--widths", "8,10", "--shape", "8", "--format", "json"]) == 0
    (report,) = json.loads(capsys.readouterr().out)["networks"]
    assert report["input"]["shape"] == [8]


def test_a_failed_prediction_is_status_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from analysis.network import forward

    right = forward.RULES["matmul"]

    def wrong(*args: object) -> object:
        from dataclasses import replace

        signal = right(*args)
        element = signal.element.affine(1.05, 0.0)
        return replace(signal, second=signal.second * 1.1025, element=element)

    monkeypatch.setitem(forward.RULES, "matmul", wrong)
    assert variance.main(["--widths", "50,100,100", "--verify", "300"]) == 1
    assert "NOT:" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["--widths", "64"],
        ["--widths", "64,0,10"],
        ["--widths", "64,10", "--shape", "8,x"],
        ["--widths", "64,10", "--shape", "63"],
        ["--widths", "64,ten"],
        ["--widths", "64,10", "--activation", "reluu"],
        ["--widths", "64,10", "--init", "glorott"],
        ["--widths", "64,10", "--weight-std", "-1"],
        ["--widths", "64,10", "--weight-std", "1e200"],
        ["--widths", "64,10", "--activation", "__import__('os')"],
        ["--widths", "64,10", "--activation", ""],
        ["--widths", "64,10", "--verify", "1"],
        ["--widths", "100000000,100000000"],
        ["--widths", ""],
        ["--activation", "tanh"],
        ["--weight-std", "0.1"],
        ["--shape", "8"],
        ["--derivation", "he", "--widths", "64,10"],
        ["math:pi", "--widths", "64,10"],
        ["--derivation", "hee"],
        ["no_such_module:net"],
        ["json:no_such_attribute"],
        ["json:dumps"],
        ["math:pi"],
        ["just_a_name"],
        ["models.py:net"],
        ["../models:net"],
    ],
    ids=" ".join,
)
def test_wrong_use_is_status_2_with_a_message(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert variance.main(arguments) == 2
    streams = capsys.readouterr()
    assert not streams.out
    assert streams.err.startswith("analysis.variance: ")
    assert streams.err.count("\n") == 1


def test_a_model_of_the_users(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from tinygrad_edu import nn\n"
        "net = nn.Sequential(nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 3))\n"
        "def make():\n    return net\n"
        "raise_on_call = lambda: 1 / 0\n"
    )
    for name in ("net", "make"):
        done = run(f"mine:{name}", "--format", "json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        (report,) = json.loads(done.stdout)["networks"]
        assert [layer["op"] for layer in report["layers"]] == ["Linear", "ReLU", "Linear"]
    done = run("mine:raise_on_call", cwd=tmp_path)
    assert done.returncode == 2
    assert "ZeroDivisionError" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_imports_neither_sympy_nor_numpy() -> None:
    code = (
        "import sys\nfrom analysis import variance\n"
        "try:\n    variance.main(['--help'])\nexcept SystemExit:\n    pass\n"
        "assert not {'numpy', 'sympy', 'numba', 'scipy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


def test_an_activation_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--widths", "50,60,10", "--activation", "x*tanh(x)", "--verify", "40"]
    assert variance.main(arguments) == 0
    assert "6 of 6 predictions agree" in capsys.readouterr().out


def test_a_vanishing_signal_is_followed_as_far_as_float32_goes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each tanh layer of 50 units takes the second moment times 50 * 0.001^2: after 8 it is
    4e-35, and no floor is met."""
    arguments = ["--widths", ",".join(["50"] * 9), "--activation", "tanh", "--weight-std", "0.001"]
    assert variance.main([*arguments, "--verify", "60", "--format", "json"]) == 0
    (report,) = json.loads(capsys.readouterr().out)["networks"]
    assert report["layers"][-1]["forward"]["second"] == pytest.approx((50e-6) ** 8, rel=1e-3)


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
def test_weights_of_0_let_nothing_through(
    activation: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--widths", "8,10,5", "--activation", activation, "--init", "zeros"]
    assert variance.main([*arguments, "--verify", "5", "--format", "json"]) == 0
    (report,) = json.loads(capsys.readouterr().out)["networks"]
    assert [layer["forward"]["second"] for layer in report["layers"]] == [0, 0, 0]


def test_what_a_model_prints_is_not_in_the_json(tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(
        "from tinygrad_edu import nn\n"
        "class Loud(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        self.l = nn.Linear(4, 4)\n"
        "    def forward(self, x):\n        print('forward')\n        return self.l(x)\n"
        "print('import')\n"
    )
    done = run("loud:Loud", "--format", "json", cwd=tmp_path)
    assert json.loads(done.stdout)["networks"]
    assert done.stderr.splitlines() == ["import", "forward"]


def test_a_reader_that_leaves_is_no_error() -> None:
    command = [sys.executable, "-m", "analysis.variance", "--derivation", "all"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, cwd=ROOT) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == b""
    assert running.returncode == 0
