"""The loop: it learns, it resumes to the same numbers after any kill, and it never loses a checkpoint."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from latentdepth.train import ema
from latentdepth.train.checkpoint import DiskFullError, checkpoints
from latentdepth.train.divergence import DivergedError
from latentdepth.train.fit import Record, Validated, Validation, fit
from latentdepth.train.loop_config import EmaConfig, FitConfig, LogConfig, LoopConfig, OptimConfig
from latentdepth.train.task import Task


class Line(Task[Tensor]):
    """Fit y = 3x - 1: the smallest real task. Dropout, a moving average and batch statistics make resuming hard."""

    def __init__(self, *, hard: bool = False) -> None:
        self.network: nn.Module = nn.Linear(1, 1)
        nn.init.zeros_(self.network.weight)  # pyright: ignore[reportArgumentType]
        nn.init.zeros_(self.network.bias)  # pyright: ignore[reportArgumentType]
        self.hard, self.follower = hard, torch.zeros(1)
        if hard:
            with torch.random.fork_rng():
                torch.manual_seed(0)
                self.network = nn.Sequential(nn.Linear(1, 4), nn.BatchNorm1d(4), nn.Dropout(0.3), nn.Linear(4, 1))

    def loss(self, batch: Tensor, draw: torch.Generator) -> dict[str, Tensor]:
        noise = 0.01 * torch.randn(batch.shape, generator=draw)
        loss = (self.network(batch) - (3 * batch - 1 + noise)).square().mean()
        return {"loss": loss + self.follower.mean() * loss if self.hard else loss, "size": batch.abs().mean()}

    def after_step(self) -> None:
        if not self.hard:
            return
        bias = next(p for n, p in self.network.named_parameters() if n.endswith("bias"))
        self.follower.lerp_(bias.detach()[:1], 0.1)

    def state(self) -> dict[str, Tensor]:
        return {"follower": self.follower}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.follower.copy_(state["follower"])

    def save(self, folder: Path) -> None:
        save_file({k: v.clone() for k, v in self.network.state_dict().items()}, folder / "line.safetensors")


def batch(index: int, size: int = 8) -> Tensor:
    return torch.randn(size, 1, generator=torch.Generator().manual_seed(index))


def config(*, steps: int = 60, portions: int = 1, **loop: object) -> FitConfig:
    table = {"save_every": 20, "precision": "float32", "device": "cpu", "seed": 1} | loop
    return FitConfig(
        LoopConfig(steps=steps, batch=8 * portions, micro_batch=8, **table),  # pyright: ignore[reportArgumentType]
        OptimConfig(lr=0.2, schedule="cosine", warmup=5, betas=(0.9, 0.9)),
        EmaConfig(decay=0.9),
        LogConfig(every=20, tensorboard=False),
    )


def train(settings: FitConfig, out: Path, task: Line | None = None, source: object = None, **more: object):
    return fit(settings, task or Line(), source or partial(map, batch), out, quiet=True, **more)  # pyright: ignore[reportArgumentType]


def model(out: Path, name: str = "model") -> dict[str, Tensor]:
    return load_file(out / name / "line.safetensors")


def state(out: Path) -> dict[str, Tensor]:
    folder = checkpoints(out)[-1].folder / "state"
    return {f"{p.stem}/{k}": v for p in sorted(folder.glob("*")) for k, v in load_file(p).items()}


def assert_same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    for name, value in a.items():
        torch.testing.assert_close(b[name], value, atol=0, rtol=0, msg=name)


def test_it_learns_and_logs(tmp_path: Path):
    fitted = train(config(steps=120), tmp_path)
    assert (fitted.model, fitted.step, fitted.ended) == (tmp_path / "model", 120, "done")
    # the noise on the targets is 0.01 and lr ends at 1 %: what is left is far below
    assert float(model(tmp_path)["weight"]) == pytest.approx(3, abs=0.05)
    assert float(model(tmp_path)["bias"]) == pytest.approx(-1, abs=0.05)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [20, 40, 60, 80, 100, 120]
    assert lines[-1]["loss"] < lines[0]["loss"] / 100
    assert {"kind", "size", "gradient_norm", "lr", "seconds_per_step", "waiting_share"} < lines[0].keys()


def test_the_saved_model_is_the_average_and_the_state_holds_the_live_weights(tmp_path: Path):
    train(config(), tmp_path)
    assert_same(model(tmp_path), {k[8:]: v for k, v in state(tmp_path).items() if k.startswith("average/")})
    assert float(model(tmp_path)["weight"]) != float(state(tmp_path)["weights/weight"])


def test_ctrl_c_finishes_the_step_saves_and_the_resumed_run_ends_the_same(tmp_path: Path):
    def interrupting(indices: Sequence[int]):
        for index in indices:
            if index == 2 * 33:
                os.kill(os.getpid(), signal.SIGINT)
            yield batch(index)

    settings = config(portions=2)
    train(settings, tmp_path / "whole", Line(hard=True))
    before = signal.getsignal(signal.SIGINT)
    stopped = train(settings, tmp_path / "cut", Line(hard=True), interrupting)
    assert (stopped.ended, stopped.step) == ("interrupted", 34)
    assert signal.getsignal(signal.SIGINT) is before
    assert train(settings, tmp_path / "cut", Line(hard=True)).ended == "done"
    assert_same(state(tmp_path / "whole"), state(tmp_path / "cut"))
    assert_same(model(tmp_path / "whole"), model(tmp_path / "cut"))
    steps = [json.loads(line)["step"] for line in (tmp_path / "cut" / "log.jsonl").read_text().splitlines()]
    assert steps == [20, 34, 40, 60]


_CHILD = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_fit import Line, batch, config, train

def slow(indices):
    for index in indices:
        time.sleep(0.002)
        yield batch(index)

print("ready", flush=True)
train(config(steps=400, save_every=3), Path(sys.argv[1]), Line(hard=True), slow)
"""


@pytest.mark.slow
def test_kill_9_at_random_moments_changes_nothing(tmp_path: Path):
    settings = config(steps=400, save_every=3)
    train(settings, tmp_path / "whole", Line(hard=True))
    out, draw, kills = tmp_path / "cut", random.Random(7), 0
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(out), str(Path(__file__).parent)], stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        child.stdout.readline()
        began, before = time.monotonic(), _steps(out)
        while _steps(out) < before + 6 and child.poll() is None and time.monotonic() - began < 60:
            time.sleep(0.005)
        time.sleep(draw.uniform(0, 0.1))  # in the middle of a step or of a checkpoint
        kills += child.poll() is None
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    assert kills == 3
    assert 0 < _steps(out) < 400
    train(settings, out, Line(hard=True))
    assert_same(state(tmp_path / "whole"), state(out))
    assert_same(model(tmp_path / "whole"), model(out))


def _steps(out: Path) -> int:
    return max((one.step for one in checkpoints(out)), default=0)


def test_the_newest_checkpoints_are_kept_and_the_best_besides(tmp_path: Path):
    def measure(task: Line) -> Validated:
        assert not task.network.training
        weight = float(task.network.weight.detach())  # pyright: ignore[reportArgumentType, reportCallIssue]
        return Validated({"weight": weight}, abs(weight - 1.0), torch.rand(3, 4, 4))

    train(config(steps=100, save_every=10, keep=2), tmp_path, validation=Validation(10, measure))
    assert [one.step for one in checkpoints(tmp_path)] == [90, 100]
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    found = {line["step"]: abs(line["weight"] - 1) for line in lines if line["kind"] == "validation"}
    assert sorted(found) == list(range(0, 101, 10))  # from what was started with
    best = json.loads((tmp_path / "best" / "validation.json").read_text())
    assert 0 < best["step"] == min(found, key=lambda step: found[step]) < 90
    assert float(model(tmp_path, "best")["weight"]) == best["metrics"]["weight"]
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 11


def test_a_validation_that_a_kill_prevented_is_made_up_for(tmp_path: Path):
    seen: list[float] = []

    def measure(task: Line) -> Validated:
        if len(seen) == 2:
            seen.append(-1)
            raise RuntimeError("killed")
        seen.append(float(task.network.weight.detach()))  # pyright: ignore[reportArgumentType, reportCallIssue]
        return Validated({}, -float(len(seen)))

    with pytest.raises(RuntimeError, match="killed"):
        train(config(), tmp_path, validation=Validation(20, measure))
    train(config(), tmp_path, validation=Validation(20, measure))
    notes = {one.step: (one.folder / "validation.json").exists() for one in checkpoints(tmp_path)}
    assert notes == {40: True, 60: True}
    assert len(seen) == 5  # steps 0, 20, the kill at 40, then 40 and 60


def test_validation_leaves_the_training_alone(tmp_path: Path):
    train(config(), tmp_path / "a", Line(hard=True))
    once = Validation(7, lambda task: Validated({"x": float(task.network(torch.rand(2, 1)).sum())}, 0.0))
    train(config(), tmp_path / "b", Line(hard=True), validation=once)
    assert_same(state(tmp_path / "a"), state(tmp_path / "b"))


def test_a_loss_that_is_not_finite_stops_with_the_batch_saved(tmp_path: Path):
    def broken(indices: Sequence[int]):
        return (batch(i) * (float("nan") if i == 2 * 50 + 1 else 1.0) for i in indices)

    with pytest.raises(DivergedError, match=r"loss is nan.*at step 50; the checkpoint of step 40.*optim\.lr"):
        train(config(portions=2), tmp_path, source=broken)
    assert checkpoints(tmp_path)[-1].step == 40
    assert torch.isfinite(model(tmp_path)["weight"]).all()
    folder = tmp_path / "diverged" / "step-0000050-process-0"
    assert [p.name for p in folder.glob("*.safetensors")] == ["portion-1.safetensors"]
    assert load_file(folder / "portion-1.safetensors")["batch"].isnan().all()


def test_a_full_disk_stops_with_the_last_checkpoint_whole(tmp_path: Path):
    class Filling(Line):
        saves = 0

        def save(self, folder: Path) -> None:
            self.saves += 1
            if self.saves > 1:
                (folder / "half").write_bytes(b"...")
                raise OSError(errno.ENOSPC, "No space left on device")
            super().save(folder)

    with pytest.raises(DiskFullError, match=r"disk of .* is full; the checkpoint of step 20 is whole\. Free some"):
        train(config(), tmp_path, Filling())
    assert [one.step for one in checkpoints(tmp_path)] == [20]
    assert not list((tmp_path / "checkpoints").glob("*.new"))
    train(config(), tmp_path / "whole")
    train(config(), tmp_path)
    assert_same(state(tmp_path / "whole"), state(tmp_path))


def test_running_a_finished_run_again_changes_nothing(tmp_path: Path):
    train(config(), tmp_path)
    before, log = state(tmp_path), (tmp_path / "log.jsonl").read_text()
    assert train(config(), tmp_path).step == 60
    assert_same(before, state(tmp_path))
    assert (tmp_path / "log.jsonl").read_text() == log


def test_other_settings_than_the_checkpoints_are_named_and_fresh_moves_them_aside(tmp_path: Path):
    train(config(steps=20), tmp_path)
    other = FitConfig(config().loop, OptimConfig(lr=0.1, schedule="cosine", warmup=5, betas=(0.9, 0.9)), EmaConfig(0.9))
    with pytest.raises(ValueError, match=r"optim\.lr: 0\.2 in the checkpoint, 0\.1 now.*--fresh"):
        train(other, tmp_path)
    with pytest.raises(ValueError, match=r'task: not set in the checkpoint, "other" now'):
        train(config(), tmp_path, record=Record(config(), {"task": "other"}))
    assert train(config(steps=30), tmp_path).step == 30  # steps may change
    with pytest.raises(ValueError, match=r"holds another network: 0\.weight is missing"):
        train(config(), tmp_path, Line(hard=True))
    train(config(steps=20), tmp_path, Line(hard=True), fresh=True)
    assert checkpoints(tmp_path / "before-1")[-1].step == 30
    assert checkpoints(tmp_path)[-1].step == 20


def test_a_damaged_checkpoint_is_named_with_what_to_do(tmp_path: Path):
    train(config(steps=40), tmp_path)
    newest = checkpoints(tmp_path)[-1].folder
    (newest / "state" / "optimiser.safetensors").write_bytes(b"half")
    with pytest.raises(ValueError, match=r"step-0000040/state/optimiser.*Delete .*step-0000040"):
        train(config(), tmp_path)


def test_the_minutes_are_kept_and_the_run_goes_on_afterwards(tmp_path: Path):
    stopped = train(config(minutes=1e-9), tmp_path)
    assert (stopped.ended, stopped.step) == ("out of time", 1)
    train(config(), tmp_path)
    train(config(), tmp_path / "whole")
    assert_same(state(tmp_path / "whole"), state(tmp_path))


def test_snapshots_of_power_averages_are_kept(tmp_path: Path):
    settings = config()
    settings = FitConfig(settings.loop, settings.optim, EmaConfig(widths=(0.05, 0.1), snapshot_every=20), settings.log)
    train(settings, tmp_path)
    kept = ema.snapshots(tmp_path / "ema")
    assert [(s.step, s.sigma_rel) for s in kept] == [(n, w) for n in (20, 40, 60) for w in (0.05, 0.1)]
    # a width that was tracked comes back as itself: the least squares have an exact solution
    torch.testing.assert_close(ema.posthoc_ema(kept, 0.1)["weight"], load_file(kept[-1].path)["weight"])


_RANK = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_fit import Line, config, train
train(config(portions=2, shard=sys.argv[3] == "shard", device=sys.argv[4]), Path(sys.argv[1]))
"""
_DEVICE = "cpu" if torch.accelerator.is_available() else "auto"  # what a machine without an accelerator is left to find


def _two_processes(out: Path, kind: str) -> None:
    script = out.with_suffix(".py")
    script.write_text(_RANK)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run(
        [*command, str(out), str(Path(__file__).parent), kind, _DEVICE], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["copies", "shard"])
def test_two_processes_equal_one_with_twice_the_portions(tmp_path: Path, kind: str):
    train(config(portions=2), tmp_path / "one")
    _two_processes(tmp_path / "two", kind)
    # the same sums in another order: float32 rounding, 60 steps of it
    for name, value in state(tmp_path / "one").items():
        torch.testing.assert_close(state(tmp_path / "two")[name], value, atol=1e-5, rtol=1e-5, msg=name)
    # and either goes on from the other's checkpoint
    assert train(config(portions=2, steps=62), tmp_path / "two").step == 62
