"""What adaptive effort would have cost and gained on frames with truth, and the thresholds that follow.

Each frame is measured once: every rung of step doubling, every x0 of one long run, every prefix of one ensemble. A
controller only ever picks one of these answers, so every threshold is replayed on the same numbers without another
network call. Knows no files beyond what a benchmark reads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Float
from torch import Tensor

from latentdepth.adaptive import doubled
from latentdepth.auto import Settings, Thresholds
from latentdepth.core.complexity import Complexity, calibrate, complexity
from latentdepth.core.controllers import AT_A_TIME, StepRule, standard_error
from latentdepth.core.modality import resize, to_float
from latentdepth.core.samplers import ddim_step
from latentdepth.core.types import Prediction
from latentdepth.data.benchmarks.benchmark import Benchmark, OrdinalSample
from latentdepth.evaluate.protocol import Rule
from latentdepth.evaluate.score import score
from latentdepth.options import PredictOptions
from latentdepth.predictor import DiffusionPredictor
from latentdepth.stages import Stages

REGRETS: Mapping[str, float] = {"rough": 0.05, "good": 0.02, "fine": 0.005}
"""What the words of ``--target`` mean once calibrated: how much worse than the longest run, on average."""


@dataclass(frozen=True)
class Ladder:
    """Answers of growing cost of one frame, by one controller."""

    calls: tuple[int, ...]
    """Network evaluations up to each answer."""
    errors: tuple[float, ...]
    """Error of each answer."""
    signal: tuple[float, ...]
    """What the controller looks at after each answer; infinite where it knows nothing yet."""

    def stop(self, tolerance: float) -> int:
        """The answer that the controller stops at: the first with a signal below ``tolerance``, else the last."""
        return next((k for k, one in enumerate(self.signal) if one < tolerance), len(self.calls) - 1)


@dataclass(frozen=True)
class FrameEffort:
    """One frame under every controller."""

    frame: str
    group: str
    complexity: Mapping[str, float]
    doubling: Ladder
    convergence: Ladder
    members: Ladder


@torch.inference_mode()
def measure(
    predictor: DiffusionPredictor, benchmark: Benchmark, index: int, rule: Rule, options: PredictOptions
) -> FrameEffort | None:
    """Run everything on one frame. ``options`` say resolution, seed and batch; None: the frame can't be scored.

    Raises ValueError for point pairs, which have no dense error.
    """
    sample = benchmark[index]
    if isinstance(sample, OrdinalSample):
        raise ValueError(f"{benchmark.facts.key} holds point pairs; calibrate on depth or normals")
    settings = predictor.adaptive
    image = to_float(sample.image[None])
    plan = predictor.plan(replace(options, steps=settings.most_steps, members=settings.most_members))
    stages = predictor.stages(image, plan)

    def error(value: Float[Tensor, "1 c h w"]) -> float:
        size = (image.shape[-2], image.shape[-1])
        whole = predictor.modality.finish(resize(value, size, antialias=False))
        figures = score(Prediction(whole, predictor.modality.kind), sample, benchmark.facts, rule).figures
        return next((figures[name] for name in ("abs_rel", "mean_deg") if name in figures), math.nan)

    found = FrameEffort(
        benchmark.frame(index),
        sample.group,
        {name: float(value) for name, value in complexity(image).named().items()},
        _doubling(stages, settings.most_steps, error),
        _convergence(stages, settings.most_steps, error),
        _members(stages, settings, predictor.model.facts.steps, error),
    )
    every = (*found.doubling.errors, *found.convergence.errors, *found.members.errors)
    return found if all(math.isfinite(one) for one in every) else None


_Error = Callable[[Tensor], float]


def _doubling(stages: Stages, most: int, error: _Error) -> Ladder:
    rows = [(spent, error(value)) for value, spent in doubled(stages, 0, most)]
    changes = (math.inf if spent.change is None else spent.change for spent, _ in rows)
    return Ladder(tuple(spent.calls for spent, _ in rows), tuple(one for _, one in rows), tuple(changes))


def _convergence(stages: Stages, most: int, error: _Error) -> Ladder:
    """Every x0 of a run of ``most`` steps: what ``until_converged`` would stop at, and what it would see."""
    timesteps = stages.schedule.timesteps(most)
    x, row, before = stages.start([0]), torch.tensor([0]), None
    errors, changes = [], []
    for i, timestep in enumerate(timesteps):
        t = torch.full((1,), timestep, device=x.device)
        x0 = stages.denoise(x, t, row)
        errors.append(error(stages.values(x0)))
        changes.append(math.inf if before is None else float((x0 - before).abs().sum() / x0.abs().sum()))
        x, before = ddim_step(x, x0, t, stages.schedule, stages.schedule.after(timesteps, i)), x0
    return Ladder(tuple(range(1, most + 1)), tuple(errors), tuple(changes))


def _members(stages: Stages, settings: Settings, steps: int, error: _Error) -> Ladder:
    """Every prefix of an ensemble; those at which nobody asks have an infinite standard error."""
    drawn = stages.draw(0, range(settings.most_members), steps)
    errors, signal = [error(drawn[:, 0])], [math.inf]
    for count in range(2, settings.most_members + 1):
        errors.append(error(stages.merge(drawn[:, :count])[0]))
        past = count - settings.least_members
        known = count == settings.most_members or (past >= 0 and past % AT_A_TIME == 0)
        signal.append(float(standard_error(drawn[:, :count], stages.merge)) if known else math.inf)
    return Ladder(tuple(steps * k for k in range(1, len(errors) + 1)), tuple(errors), tuple(signal))


@dataclass(frozen=True)
class Replayed:
    """A controller at one threshold over all frames."""

    tolerance: float
    calls: float
    """Mean network evaluations a frame."""
    error: float
    """Mean error."""
    stops: tuple[int, ...]
    """Which answer each frame stopped at."""


def replay(ladders: Sequence[Ladder], tolerance: float) -> Replayed:
    """What the controller would have done."""
    stops = tuple(one.stop(tolerance) for one in ladders)
    pairs = list(zip(ladders, stops, strict=True))
    calls = sum(one.calls[k] for one, k in pairs) / len(pairs)
    return Replayed(tolerance, calls, sum(one.errors[k] for one, k in pairs) / len(pairs), stops)


def threshold(ladders: Sequence[Ladder], regret: float) -> Replayed:
    """The loosest tolerance up to which the mean error never exceeds (1 + ``regret``) that of the longest run.

    "Up to which": a looser one that happens to be good again doesn't count, because that is luck.
    """
    if not ladders:
        raise ValueError("no frame could be scored, so nothing can be calibrated")
    limit = (1 + regret) * sum(one.errors[-1] for one in ladders) / len(ladders)
    seen = sorted({signal for one in ladders for signal in one.signal if math.isfinite(signal)})
    best = replay(ladders, 0.0)
    for value in (math.nextafter(one, math.inf) for one in _thinned(seen, 400)):
        tried = replay(ladders, value)
        if tried.error > limit:
            break
        best = tried
    return best


def _thinned(values: list[float], most: int) -> list[float]:
    """At most about ``most`` of sorted values, the last included."""
    step = max(1, len(values) // most)
    return values[::-1][::step][::-1]


def fitted(frames: Sequence[FrameEffort], settings: Settings, on: str) -> Settings:
    """Thresholds for every word, bounds of the rule, and the cheaper of the two step controllers at "good"."""
    ladders = {name: [getattr(frame, name) for frame in frames] for name in ("members", "doubling", "convergence")}
    found = {
        name: Thresholds(**{word: threshold(rows, regret).tolerance for word, regret in REGRETS.items()})
        for name, rows in ladders.items()
    }
    cost = {name: threshold(ladders[name], REGRETS["good"]).calls for name in ("doubling", "convergence")}
    rule = StepRule(calibrate(measures(frames)), least=1, most=settings.most_steps)
    return replace(
        settings,
        controller="doubling" if cost["doubling"] <= cost["convergence"] else "convergence",
        members=found["members"],
        doubling=found["doubling"],
        convergence=found["convergence"],
        rule=rule,
        calibrated_on=on,
    )


def measures(frames: Sequence[FrameEffort]) -> Complexity:
    """The complexity of all frames as one batch."""
    return Complexity(
        **{
            field.name: torch.tensor([frame.complexity[field.name] for frame in frames], dtype=torch.float64)
            for field in fields(Complexity)
        }
    )
