"""The bar shows on a terminal, or when asked for."""

from __future__ import annotations

import sys

import pytest

from tinygrad_edu.train.progress import NoBar, RichBar, progress_bar


@pytest.mark.parametrize(
    ("wanted", "terminal", "shown"),
    [(None, True, True), (None, False, False), (True, False, True), (False, True, False)],
)
def test_shown_on_terminals_unless_told_otherwise(
    wanted: bool | None, terminal: bool, shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    with progress_bar(wanted, 2, 3) as bar:
        assert isinstance(bar, RichBar if shown else NoBar)


def test_writes_to_standard_error_only(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(True, 2, 3) as bar:
        for step in range(6):
            bar.advance(step // 3 + 1, {"loss": 0.25})
    out, err = capsys.readouterr()
    assert out == ""
    assert "epoch 2/2" in err
    assert "loss 0.25" in err


def test_the_quiet_bar_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(False, 1, 1) as bar:
        bar.advance(1, {})
    assert capsys.readouterr() == ("", "")
