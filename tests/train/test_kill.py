"""A kill at any moment leaves a checkpoint that loads, and a run that goes on."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import textwrap

KILLS = 200
PROGRAM = textwrap.dedent("""
    import json, os, random, signal, sys, time
    import numpy as np
    import tinygrad_edu as tg
    from tinygrad_edu import nn, optim
    from tinygrad_edu.optim.lr_scheduler import LambdaLR
    from tinygrad_edu.train import fit

    path, kills = sys.argv[1], int(sys.argv[2])
    folder = os.path.dirname(path)
    x = np.random.default_rng(0).normal(size=(64, 16)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64)

    def train(epochs, **options):
        tg.manual_seed(0)
        model = nn.Sequential(nn.Linear(16, 64), nn.Tanh(), nn.Linear(64, 2))
        sgd = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        schedule = LambdaLR(sgd, lambda epoch: 1 / (1 + epoch))
        history = fit(model, (x, y), optimizer=sgd, schedule=schedule, epochs=epochs, **options)
        rows = [{k: v for k, v in row.items() if k != "seconds"} for row in history.rows]
        return rows, {key: tensor.tolist() for key, tensor in model.state_dict().items()}

    def kill_one(moment):
        child = os.fork()
        if child == 0:
            try:
                train(10**9, checkpoint=path, resume="auto")
            finally:  # only an error comes here; say so and never return to the parent's code
                sys.excepthook(*sys.exc_info())
                os._exit(1)
        time.sleep(moment)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), "the child ended by itself"

    started = time.monotonic()
    train(8, checkpoint=path)
    longest = time.monotonic() - started  # so that slower machines wait longer
    moments, done, midway = random.Random(0), 8, 0
    for kill in range(kills):
        kill_one(moments.uniform(0, longest))
        midway += any(name.endswith(".part") for name in os.listdir(folder))
        stored = tg.load(path)
        assert len(stored["history"]) >= done, "an older checkpoint is back"
        done = len(stored["history"])
    left = [name for name in os.listdir(folder) if name != os.path.basename(path)]
    rows, state = train(done, checkpoint=path, resume=True)
    print(json.dumps({
        "epochs": done, "midway": midway, "left": len(left), "after": os.listdir(folder),
        "same": [rows, state] == [*train(done)],
    }))
""")


def test_killed_200_times_at_random_moments(tmp_path: pathlib.Path) -> None:
    """After each kill the last checkpoint loads, and after all of them the run is the one that was
    never killed. The parent forks, so that a child need not import anything."""
    program = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path / "run", str(KILLS)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert program.returncode == 0, program.stderr
    result = json.loads(program.stdout)
    assert result["same"]
    assert result["epochs"] > KILLS / 10
    assert result["midway"] > 0, "no kill hit a checkpoint being written"
    assert result["left"] <= 1  # each run removes what the one before it left
    assert result["after"] == ["run"]
