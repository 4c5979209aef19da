"""`python -m tinygrad_edu.train`."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tinygrad_edu.train import digits
from tinygrad_edu.train.__main__ import main, sparkline
from tinygrad_edu.train.history import History


def test_as_a_command() -> None:
    command = [sys.executable, "-m", "tinygrad_edu.train", "--epochs", "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "test accuracy 9" in done.stdout
    assert "epoch" in done.stdout
    assert done.stderr == ""


def test_json_of_several_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--epochs", "1", "--seeds", "4,0-1", "--format", "json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [run["seed"] for run in data["runs"]] == [4, 0, 1]
    accuracies = sorted(run["test_accuracy"] for run in data["runs"])
    assert data["median_test_accuracy"] == accuracies[1]
    assert len(data["runs"][0]["history"]["loss"]) == data["runs"][0]["epochs"] == 1


def test_text_of_several_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--epochs", "1", "--seeds", "0-1"]) == 0
    assert "median test accuracy of 2 runs" in capsys.readouterr().out


def test_ctrl_c_prints_what_there_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(seed: int, recipe: Any) -> digits.Run:
        history = History()
        history.interrupted = True
        return digits.Run(seed, history, 2.5, 0.1)

    monkeypatch.setattr(digits, "run", interrupted)
    assert main([]) == 130
    assert "test accuracy 10.00%" in capsys.readouterr().out
    assert main(["--seeds", "0-9", "--format", "json"]) == 130
    assert len(json.loads(capsys.readouterr().out)["runs"]) == 1


@pytest.mark.parametrize(
    "arguments",
    [["--seed", "-1"], ["--seeds", "a"], ["--seeds", "3-1"], ["--epochs", "0"], ["--format", "xml"],
     ["--seed", "1", "--seeds", "1-2"]],
)  # fmt: skip
def test_wrong_use(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_sparkline() -> None:
    assert sparkline([0, 1, 2, 7], 10) == "▁▂▃█"
    assert sparkline([1, 1], 10) == "▁▁"
    assert len(sparkline(list(range(100)), 60)) == 60
    assert sparkline([], 10) == ""
