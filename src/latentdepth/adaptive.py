"""Loops that give each photo the steps and members it needs, and account for what was spent.

The tests that say when to stop are ``core.controllers``, what is asked for is ``auto``; here they are run over the
stages of a model (``stages``). Knows neither networks nor files.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from latentdepth.auto import Auto
from latentdepth.core.complexity import Complexity
from latentdepth.core.controllers import buckets, change, doubling, until_certain, until_converged
from latentdepth.stages import Stages


@dataclass(frozen=True)
class Spent:
    """What one photo took, and how settled its map is."""

    steps: int
    """Of one member; the most of any, where they differ."""
    members: int
    calls: int
    """Network evaluations of all members together."""
    change: float | None = None
    """Last change while steps were added, as a share of the map's range (convergence: of the latent); None where
    there was nothing to compare, infinite never."""
    error: float | None = None
    """Standard error of the members' median, as a share of the map's range."""
    met: bool = True
    """Whether every target was reached before the limit."""


@dataclass(frozen=True)
class Answer:
    """One photo's members and what they took."""

    members: Float[Tensor, "1 e cv h w"]
    spent: Spent


def answers(
    stages: Stages, auto: Auto, *, steps: int, members: int, measured: Complexity | None = None
) -> list[Answer]:
    """Every photo with the work it needs. ``steps`` and ``members`` hold where they are not left to the photo.

    Steps are decided on member 0 and hold for the others, save that with convergence each member stops by itself.
    ``measured``: the photos' complexity, which the rule needs. No photo's answer depends on the others.
    """
    if auto.steps == "convergence":
        firsts = _converged(stages, auto, torch.arange(stages.photos), [0] * stages.photos)
    elif auto.steps == "doubling":
        firsts = [_doubled(stages, auto, photo) for photo in range(stages.photos)]
    elif auto.steps == "rule":
        assert auto.settings.rule is not None  # ``asked`` refuses it
        assert measured is not None
        firsts = _together(stages, auto.settings.rule.steps(measured))
    else:
        firsts = _together(stages, [steps] * stages.photos)
    return [_with_members(stages, auto, photo, first, members) for photo, first in enumerate(firsts)]


def _together(stages: Stages, counts: Sequence[int]) -> list[Answer]:
    """Member 0 of every photo with the steps of ``counts``; photos that share a number share batches."""
    found: dict[int, Answer] = {}
    for steps, photos in buckets(counts).items():
        for photo, value in zip(photos, stages.draw_together(photos, 0, steps), strict=True):
            found[photo] = Answer(value[None, None], Spent(steps, 1, steps))
    return [found[photo] for photo in range(len(counts))]


def _doubled(stages: Stages, auto: Auto, photo: int) -> Answer:
    """Member 0 of one photo, steps doubled until its map holds still."""
    value, spent = None, Spent(0, 1, 0)
    for found, spent in doubled(stages, photo, auto.settings.most_steps):
        value, spent = found, replace(spent, met=spent.change is not None and spent.change < auto.stillness)
        if spent.met:
            break
    assert value is not None  # there is always a first rung
    return Answer(value[None], spent)


def doubled(stages: Stages, photo: int, most: int) -> Iterator[tuple[Float[Tensor, "1 cv h w"], Spent]]:
    """The map of one photo with 1, 2, 4, ... steps from the same noise, each as soon as it is asked for.

    The change from the one before is the error that the finer one has left (``core.controllers.doubling``).
    """
    row = torch.tensor([photo])

    def denoise(x: Float[Tensor, "1 c hl wl"], t: Int[Tensor, " 1"]) -> Float[Tensor, "1 c hl wl"]:
        return stages.denoise(x, t, row)

    value = None
    for rung in doubling(denoise, stages.start([0]), stages.schedule, most):
        before, value = value, stages.values(rung.latent)
        moved = None if before is None else float(change(before, value, stages.merge))
        yield value, Spent(rung.steps, 1, rung.calls, moved)


def _converged(stages: Stages, auto: Auto, photos: Int[Tensor, " n"], members: list[int]) -> list[Answer]:
    """One member of each of ``photos``, left as soon as its x0 holds still."""
    found = []
    for first in range(0, len(photos), stages.at_once):
        part = slice(first, first + stages.at_once)
        of_photos = photos[part]

        def denoise(
            x: Float[Tensor, "a c hl wl"], t: Int[Tensor, " a"], rows: Int[Tensor, " a"], of: Tensor = of_photos
        ) -> Float[Tensor, "a c hl wl"]:
            return stages.denoise(x, t, of[rows.cpu()])

        ended = until_converged(
            denoise, stages.start(members[part]), stages.schedule, auto.settings.most_steps, tolerance=auto.stillness
        )
        for value, calls, moved in zip(
            stages.values(ended.latent), ended.calls.tolist(), ended.change.tolist(), strict=True
        ):
            last = moved if math.isfinite(moved) else None
            spent = Spent(calls, 1, calls, last, met=last is not None and last < auto.stillness)
            found.append(Answer(value[None, None], spent))
    return found


def _with_members(stages: Stages, auto: Auto, photo: int, first: Answer, members: int) -> Answer:
    """The other members of a photo whose member 0 is there."""
    others: list[Spent] = []

    def draw(wanted: list[int]) -> Float[Tensor, "1 e cv h w"]:
        later = [k for k in wanted if k != 0]
        drawn = [first.members] if 0 in wanted else []
        if later and auto.steps == "convergence":
            made = _converged(stages, auto, torch.full((len(later),), photo), later)
            others.extend(one.spent for one in made)
            drawn += [one.members for one in made]
        elif later:
            others.extend([Spent(first.spent.steps, 1, first.spent.steps)] * len(later))
            drawn.append(stages.draw(photo, later, first.spent.steps))
        return torch.cat(drawn, 1)

    if auto.members:
        limits = auto.settings
        ended = until_certain(
            draw, stages.merge, tolerance=auto.certainty, least=limits.least_members, most=limits.most_members
        )
        drawn, error = ended.members, ended.error
    else:
        drawn, error = draw(list(range(members))), None
    spent = [first.spent, *others]
    return Answer(
        drawn,
        Spent(
            steps=max(one.steps for one in spent),
            members=len(spent),
            calls=sum(one.calls for one in spent),
            change=first.spent.change,
            error=error,
            met=all(one.met for one in spent) and (error is None or error < auto.certainty),
        ),
    )


def account(spent: Sequence[Spent], auto: Auto) -> dict[str, str | int | float | bool | None]:
    """Entries for ``Prediction.made_with``: what was asked for and what was spent; several photos: "1,4,2"."""
    table: dict[str, str | int | float | bool | None] = {
        "steps": _one_or_list([one.steps for one in spent]),
        "members": _one_or_list([one.members for one in spent]),
        "network_calls": _one_or_list([one.calls for one in spent]),
    }
    if auto.steps is not None:
        table["controller"] = auto.steps
    if auto.steps == "rule" and not auto.members:
        return table
    table["target"] = auto.target
    if auto.steps in ("doubling", "convergence"):
        table |= {"target_change": auto.stillness, "change": _largest([one.change for one in spent])}
    if auto.members:
        table |= {
            "target_standard_error": auto.certainty,
            "standard_error": _largest([one.error for one in spent]),
        }
    return table | {"target_met": all(one.met for one in spent)}


def shortfall(made_with: Mapping[str, str | int | float | bool | None]) -> str:
    """A line for the user where a prediction's target was not met, with what was reached; else empty."""
    if made_with.get("target_met", True):
        return ""
    parts = []
    for key, words in (("change", "the last change of the map is"), ("standard_error", "the standard error is")):
        reached, wanted = made_with.get(key), made_with.get(f"target_{key}")
        if isinstance(reached, float) and isinstance(wanted, float) and reached >= wanted:
            parts.append(f"{words} {reached:.2%}, not below {wanted:.2%}")
    spent = f"{made_with['steps']} steps and {made_with['members']} members"
    return f"target {made_with['target']} is not met with {spent}: {' and '.join(parts) or 'nothing to compare with'}"


def _one_or_list(numbers: Sequence[int]) -> int | str:
    return numbers[0] if len(set(numbers)) == 1 else ",".join(map(str, numbers))


def _largest(numbers: Sequence[float | None]) -> float | None:
    return max((one for one in numbers if one is not None), default=None)
