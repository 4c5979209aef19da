"""The command `python -m analysis.check`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from analysis import check

ROOT = Path(__file__).parents[2]
MODELS = """
import numpy as np
import tinygrad_edu as tg
from tinygrad_edu import nn

def layers(depth):
    return [m for _ in range(depth) for m in (nn.Linear(32, 32), nn.ReLU())]

sick = nn.Sequential(*layers(8), nn.Linear(32, 4))
def healthy():
    net = nn.Sequential(*layers(3), nn.Linear(32, 4))
    for p in net.parameters():
        nn.init.zeros_(p) if p.ndim == 1 else nn.init.kaiming_normal_(p)
    return net
silent = nn.Sequential(nn.ReLU(), nn.Tanh())
images = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 4))
nans = healthy()
nans[0].weight.data = tg.tensor(np.full((32, 32), np.nan, np.float32))
late = healthy()
late[2].weight.node.data = np.full((32, 32), np.nan, np.float32)  # the law is still known
raising = lambda: 1 / 0
leaving = lambda: __import__("sys").exit(7)
class Broken(nn.Module):
    def __init__(self):
        self.inner = nn.Linear(4, 4)
    def forward(self, x):
        return x.no_such_method()
broken = Broken()
class Pair(Broken):
    def forward(self, x):
        return x, x
pair = Pair()
class Narrow(Broken):
    def forward(self, x):
        return self.inner(x.reshape(-1, 2))
narrow = Narrow()
positive = np.random.default_rng(0).random((50, 32)) + 1
words = ["a", "b"]
holes = np.full((4, 32), np.nan)
def __getattr__(name):
    if name == "cursed":
        raise RuntimeError("do not touch")
    raise AttributeError(name)
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(MODELS)
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit(3)\n")
    (tmp_path / "fails.py").write_text("import no_such_package\n")
    (tmp_path / "garbled.py").write_text("def (:\n")
    return tmp_path


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "analysis.check", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=120,
        check=False,
    )


def test_findings_are_lines_and_status_1(here: Path) -> None:
    done = run("mine:sick", cwd=here)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert {line.split(": ")[1].split()[0] for line in lines} == {"NI103", "NI201"}
    assert all(line.endswith(")") and " (" in line for line in lines)
    assert done.stderr == "analysis.check: 2 findings\n"


def test_nothing_found_is_status_0(here: Path) -> None:
    done = run("mine:healthy", cwd=here)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "analysis.check: no findings\n"


def test_json(here: Path) -> None:
    done = run("mine:sick", "--format", "json", "--prescribe", cwd=here)
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert set(document) == {"model", "input", "findings", "changes"}
    for finding in document["findings"]:
        assert set(finding) == {"code", "severity", "layer", "message", "evidence", "fix"}
        assert all(isinstance(value, float) for value in finding["evidence"].values())
    assert document["changes"][0]["resolves"] == ["NI103", "NI201"]
    healthy = json.loads(run("mine:healthy", "--format", "json", cwd=here).stdout)
    assert healthy["findings"] == []
    assert "changes" not in healthy


@pytest.mark.parametrize(
    ("arguments", "codes", "status"),
    [
        (["--select", "NI1"], {"NI103"}, 1),
        (["--select", "NI103,NI201"], {"NI103", "NI201"}, 1),
        (["--select", "NI1", "--select", "NI2"], {"NI103", "NI201"}, 1),
        (["--select", "NI", "--ignore", "NI2"], {"NI103"}, 1),
        (["--select", "ni201"], {"NI201"}, 1),
        (["--select", "NI6"], set(), 0),
        (["--select", "NI7"], {"NI704"}, 1),
        (["--ignore", "NI1,NI2,NI7"], set(), 0),
        (["--ignore", "NI103,NI704", "--threshold", "drift=1e9"], set(), 0),
        (["--threshold", "gain=7", "--select", "NI103"], set(), 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_selection(
    arguments: list[str],
    codes: set[str],
    status: int,
    here: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(here)
    monkeypatch.setattr(sys, "path", [str(here), *sys.path])
    assert check.main(["mine:sick", "--format", "json", *arguments]) == status
    assert {f["code"] for f in json.loads(capsys.readouterr().out)["findings"]} == codes


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "module:attribute"),
        ([":net"], "module:attribute"),
        (["mine:"], "module:attribute"),
        (["no_such_module:net"], "No module named 'no_such_module'"),
        (["mine:no_such_attribute"], "has no 'no_such_attribute'"),
        (["mine:cursed"], "RuntimeError: do not touch"),
        (["mine:raising"], "ZeroDivisionError"),
        (["mine:leaving"], "SystemExit"),
        (["mine:positive"], "not a model"),
        (["fails:net"], "no_such_package"),
        (["leaves:net"], "SystemExit"),
        (["garbled:net"], "SyntaxError"),
        (["mine:nans"], "parameter 0.weight holds nan or inf"),
        (["mine:late"], "parameter 2.weight holds nan or inf"),
        (["mine:silent"], "no parameters"),
        (["mine:images"], "input shape"),
        (["mine:broken"], "AttributeError"),
        (["mine:pair"], "returned a tuple"),
        (["mine:narrow"], "Linear"),
        (["mine:sick", "--select", "NI999"], "NI999"),
        (["mine:sick", "--select", "E501"], "E501"),
        (["mine:sick", "--ignore", "XX"], "XX"),
        (["mine:sick", "--threshold", "drift"], "drift=NUMBER"),
        (["mine:sick", "--threshold", "drfit=3"], "did you mean drift"),
        (["mine:sick", "--threshold", "drift=-1"], "not negative"),
        (["mine:sick", "--threshold", "drift=nan"], "finite"),
        (["mine:sick", "--shape", "3,x"], "integers"),
        (["mine:sick", "--shape", "0"], "positive"),
        (["mine:sick", "--shape", "7"], "7"),
        (["mine:sick", "--shape", "32", "--data", "mine:positive"], "one of the two"),
        (["mine:sick", "--data", "mine:words"], "no array of numbers"),
        (["mine:sick", "--data", "mine:holes"], "nan or inf"),
        (["mine:sick", "--data", "mine:nowhere"], "has no 'nowhere'"),
        (["--explain", "NI999"], "NI999"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_use_is_status_2_with_one_message(
    arguments: list[str],
    said: str,
    here: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(here)
    monkeypatch.setattr(sys, "path", [str(here), *sys.path])
    assert check.main(arguments) == 2
    streams = capsys.readouterr()
    assert not streams.out
    assert streams.err.startswith("analysis.check: ")
    assert said in streams.err
    assert "Traceback" not in streams.err


def test_wrong_use_as_a_process(here: Path) -> None:
    for arguments in (["mine:nans"], ["leaves:net"], ["mine:sick", "--select", "Q"], []):
        done = run(*arguments, cwd=here)
        assert done.returncode == 2, arguments
        assert "Traceback" not in done.stderr


def test_a_shape_and_data(here: Path) -> None:
    done = run("mine:images", "--shape", "3,8,8", "--select", "NI6", cwd=here)
    assert done.returncode == 0, done.stderr
    done = run("mine:healthy", "--data", "mine:positive", "--select", "NI5", cwd=here)
    assert done.returncode == 1
    assert done.stdout.startswith("input: NI501 ")


def test_explain(capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main(["--explain", "NI601"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("NI601 batchnorm-explosion (error)\n")
    assert "1.467" in out
    assert "batchnorm-depth" in out


def test_help_imports_neither_sympy_nor_numpy() -> None:
    code = (
        "import sys\nfrom analysis import check\n"
        "try:\n    check.main(['--help'])\nexcept SystemExit:\n    pass\n"
        "assert not {'numpy', 'sympy', 'numba', 'scipy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


def test_checking_does_not_load_a_compiler_or_a_plotter(here: Path) -> None:
    code = (
        "import sys\nsys.path.insert(0, '.')\nfrom analysis import check\n"
        "check.main(['mine:sick'])\n"
        "assert not {'numba', 'llvmlite', 'matplotlib'} & set(sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, cwd=here, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_model_is_left_as_it_was(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here)
    monkeypatch.setattr(sys, "path", [str(here), *sys.path])
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    assert check.main(["mine:sick", "--prescribe"]) == 1
    model = sys.modules["mine"].sick
    assert all(p.law is not None for p in model.parameters())
    assert model[0].weight.law.variance == pytest.approx(1 / 96)
