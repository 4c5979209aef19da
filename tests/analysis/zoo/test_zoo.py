"""The zoo: a fixed part of it holds, errors are noticed, and it runs on any executor."""

from __future__ import annotations

import json
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import pytest

import analysis
from analysis.errors import InputError
from analysis.zoo import __main__ as command
from analysis.zoo import examine as module
from analysis.zoo.architectures import SMALL, ZOO
from analysis.zoo.drawn import build, find
from analysis.zoo.examine import examine, planted
from analysis.zoo.run import Serial, run

FAST = "tanh, lecun_normal"


@pytest.fixture(scope="module")
def small() -> list[module.Outcome]:
    return run(SMALL, Serial(), most=400, progress=False)


def test_the_fixed_part_holds(small: list[module.Outcome]) -> None:
    assert [o.name for o in small] == list(SMALL)
    assert [o.name for o in small if not o.good] == []
    assert sum(o.count("unknown") for o in small) == 0


def test_planted_errors_are_noticed(small: list[module.Outcome]) -> None:
    found = [j.planted for o in small for j in o.judgements]
    assert found.count(True) > 60
    assert found.count(False) == 0


def test_a_wrong_analyzer_would_disagree(monkeypatch: pytest.MonkeyPatch) -> None:
    right = module.report_of
    monkeypatch.setattr(module, "report_of", lambda *a: planted(right(*a)))
    outcome = examine(FAST, 1e-9, most=2500)
    assert not outcome.good
    assert outcome.count("disagrees") > 0


def test_every_architecture_is_predicted() -> None:
    assert len(ZOO) >= 60
    for name, architecture in ZOO.items():
        given = architecture.shape if architecture.data is None else architecture.data()
        rows = analysis.analyze(build(name), given, batch=architecture.batch).layers
        unknown = [r.name for r in rows if r.forward is None or r.backward is None]
        assert not unknown, (name, unknown)


def test_random_architectures_hold() -> None:
    names = [f"drawn {i}" for i in (3, 9, 14, 21, 40, 57, 230, 246, 249)]
    outcomes = run(names, Serial(), most=200, progress=False)
    assert [o.name for o in outcomes if not o.good] == []


def test_a_number_draws_the_same_architecture() -> None:
    assert str(build("drawn 4")) == str(build("drawn 4"))
    assert str(build("drawn 4")) != str(build("drawn 5"))
    assert find("relu") is ZOO["relu"]


def test_outcomes_do_not_depend_on_the_executor() -> None:
    with ThreadPoolExecutor(1) as pool:
        (threaded,) = run([FAST], pool, most=60, progress=False)
        assert pool.submit(int, "3").result() == 3  # it was left open
    (serial,) = run([FAST], Serial(), most=60, progress=False)
    assert replace(threaded, seconds=0) == replace(serial, seconds=0)


def test_what_is_done_stays_if_it_is_stopped() -> None:
    class Stopping(Serial):
        started = 0

        def submit(self, fn, /, *args, **kwargs) -> Future:
            self.started += 1
            if self.started == 2:
                raise KeyboardInterrupt
            return super().submit(fn, *args, **kwargs)

    outcomes = run([FAST, "relu"], Stopping(), most=60, progress=False)
    assert [o.name for o in outcomes] == [FAST]
    assert "stopped: 1 of 2" in command.text(outcomes, 2)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(InputError, match="did you mean relu"):
        run(["relou"], Serial())


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([FAST, "--serial", "--networks", "60", "--format", "json"]) == 0
    (plain,) = json.loads(capsys.readouterr().out)
    assert plain["name"] == FAST
    assert {j["direction"] for j in plain["judgements"]} == {"forward", "backward"}
    assert command.main(["--list"]) == 0
    assert capsys.readouterr().out.split("\n")[:-1] == list(ZOO)
    assert command.main(["no such", "--serial"]) == 2
