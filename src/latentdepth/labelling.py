"""Photos labelled by a network, as shards that training reads: depth up to what the network leaves open, and how sure.

Each photo is predicted several times: every other time mirrored, with new noise where the network draws any, else at
other sizes. The members' spread is the uncertainty, and the correlation of the straight ones with the mirrored ones
the agreement. One bad photo costs one line; shards are whole or not there; the same call goes on after a kill.
Paper: Depth Anything V2 (arXiv 2406.09414), section 4. Knows no format and no network by name.
"""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from latentdepth.config import to_dict
from latentdepth.core.modality import resize
from latentdepth.core.sky import sky_mask
from latentdepth.core.types import Invariance, Prediction, Quantity
from latentdepth.data.labels import Label, add_label
from latentdepth.data.options import LabelChoice
from latentdepth.data.sample import Sample
from latentdepth.data.shards import ShardWriter, shard_path
from latentdepth.images import MAX_PIXELS, ImageError, read
from latentdepth.models.others.one_pass import OnePassPredictor
from latentdepth.options import PredictOptions
from latentdepth.predictor import LoadedPredictor
from latentdepth.whole import write_whole

_SIZES = (1.0, 0.8, 1.25, 0.65, 1.5)
"""Of a network without noise: what each pair of members sees, relative to the first pair."""
_SPAN = 65534
"""Farthest over nearest that a shard's code holds."""
_SETTINGS = "labels.json"

Fate = Literal["labelled", "left out", "failed"]
OnPhoto = Callable[[Path, Fate, str], None]
"""Called in the order of the photos with what became of each, and why."""


@dataclass(frozen=True)
class Labelling:
    """What a label is to be. Whatever changes labels is part of it, so that a run goes on only where it is the same."""

    options: PredictOptions = field(default_factory=PredictOptions)
    """``members``: predictions of each photo, 2 by default."""
    choice: LabelChoice = field(default_factory=LabelChoice)
    """What is left out while writing."""
    sky: bool = True
    """Mark sky (``core.sky``): infinitely far, disparity 0."""
    longest_px: int = 768
    """Photos are shrunk to this longer side first; 0 keeps their size."""
    per_shard: int = 64
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        count(self.options)
        if self.longest_px < 0 or 0 < self.longest_px < 64:
            raise ValueError(f"the longer side is {self.longest_px}; allowed is 64 or more, or 0 for the photo's own")


@dataclass
class LabelReport:
    """Number of photos by what became of them."""

    labelled: int = 0
    left_out: int = 0
    failed: int = 0
    before: int = 0
    """Done by an earlier call."""
    stopped: Literal["interrupted", "disk full"] | None = None


def label_files(
    load_model: Callable[[], LoadedPredictor],
    photos: Sequence[Path],
    labelling: Labelling,
    out: Path,
    *,
    model: str,
    on_photo: OnPhoto = lambda path, fate, text: None,
) -> LabelReport:
    """Label ``photos`` into ``out``, ``per_shard`` to a shard; ``labels-K.json`` says what became of those of shard K.

    ``model`` is the name that ``load_model`` loads; it is only called if there is something to do. Ctrl-C and a full
    disk end the run early, finished shards stay. Raises ValueError where ``out`` holds labels of other photos, another
    model or other settings, and for a model whose values are no depth.
    """
    _begin(out, {"model": model, "labelling": to_dict(labelling), **_digest(photos)})
    report, predictor, size = LabelReport(), None, labelling.per_shard
    for number, first in enumerate(range(0, len(photos), size)):
        some, note = photos[first : first + size], out / f"labels-{number:06d}.json"
        if note.exists():
            report.before += len(some)
            for path in some:
                on_photo(path, "labelled", "")
            continue
        predictor = predictor or load_model()
        check_labels(predictor)
        shard_path(out, number).unlink(missing_ok=True)  # killed between the shard and its note
        try:
            fates = _one_shard(predictor, some, first, labelling, out, number, model, on_photo)
            write_whole(note, json.dumps(fates, indent=1).encode())
        except KeyboardInterrupt:
            report.stopped = "interrupted"
            break
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            report.stopped = "disk full"
            break
        for fate in fates:
            report.labelled += fate["fate"] == "labelled"
            report.left_out += fate["fate"] == "left out"
            report.failed += fate["fate"] == "failed"
    return report


def _begin(out: Path, settings: dict[str, Any]) -> None:
    path = out / _SETTINGS
    if not path.exists():
        write_whole(path, json.dumps(settings, indent=1).encode())
        return
    there = json.loads(path.read_bytes())
    differing = [key for key in settings if there.get(key) != settings[key]]
    if differing:
        raise ValueError(
            f"{out} holds labels of other {', '.join(differing)} (see {path}); give the same again, or another --out"
        )


def _digest(photos: Sequence[Path]) -> dict[str, Any]:
    names = "\n".join(map(str, photos))
    return {"photos": len(photos), "names": hashlib.blake2b(names.encode(), digest_size=16).hexdigest()}


def _one_shard(
    predictor: LoadedPredictor,
    photos: Sequence[Path],
    first: int,
    labelling: Labelling,
    out: Path,
    number: int,
    model: str,
    on_photo: OnPhoto,
) -> list[dict[str, str]]:
    fates = []
    with ShardWriter(out, first=number, samples_per_shard=labelling.per_shard) as writer:
        for index, path in enumerate(photos, first):
            text, fate = "", "labelled"
            try:
                sample, label, uncertainty = labelled(predictor, path, labelling, model)
                text = label.refusal(labelling.choice) or ""
                if text:
                    fate = "left out"
                else:
                    name = f"{index:07d}-{path.stem.replace('.', '_')}"
                    add_label(writer, name, sample, label, uncertainty)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise
                fate, text = "failed", str(error)
            except (ValueError, RuntimeError, MemoryError) as error:  # torch says RuntimeError when memory runs out
                reason = str(error) if isinstance(error, ImageError) else str(error).partition("\n")[0]
                fate, text = "failed", reason.removeprefix(f"{path}: ")
            fates.append({"photo": str(path), "fate": fate, "why": text})
            on_photo(path, fate, text)
    return fates


def check_labels(predictor: LoadedPredictor) -> None:
    """ValueError for a model whose values can't become depth labels."""
    kind = predictor.modality.kind
    if kind.quantity not in (Quantity.DEPTH, Quantity.DISPARITY):
        raise ValueError(f"{predictor.name} predicts {kind}; labels are depth or disparity")


def labelled(
    predictor: LoadedPredictor, path: Path, labelling: Labelling, model: str
) -> tuple[Sample, Label, Float[Tensor, "1 h w"]]:
    """One photo's sample, what is known of its label, and the uncertainty as a share of the label's range.

    Raises ImageError for a photo that can't be read, ValueError for one of which the model says nothing.
    """
    photo = read(path, max_pixels=labelling.max_pixels).pixels
    longest = max(photo.shape[-2:])
    if 0 < labelling.longest_px < longest:
        scale = labelling.longest_px / longest
        photo = resize(photo, (max(1, round(photo.shape[-2] * scale)), max(1, round(photo.shape[-1] * scale))))
        photo = photo.clamp(0, 1)
    told, agreement = told_several_times(predictor, photo, labelling.options)
    value, spread = told.value[0], told.uncertainty
    assert spread is not None
    extent = value.max() - value.min()
    if not bool(extent > 0):
        raise ValueError("the model says the same of every pixel; there is nothing to learn from")
    uncertainty = (spread[0] / extent).clamp(0, 1)
    disparity = told.kind.quantity is Quantity.DISPARITY
    # affine-invariant values reach 0: one step of the code above it changes their unknown shift and no more
    positive = value.clamp(min=float(value.max()) / _SPAN)
    depth_m = 1 / positive if disparity else positive
    metric_depth = told.kind.invariance is Invariance.METRIC and not disparity
    nearness = value if disparity else 1 / positive if metric_depth else -value
    sky = sky_mask(photo[0], nearness) if labelling.sky else torch.zeros_like(nearness, dtype=torch.bool)
    valid = torch.ones_like(sky)
    if labelling.choice.mask_uncertainty is not None:
        valid = uncertainty <= labelling.choice.mask_uncertainty
    sample = Sample(photo[0], torch.where(sky, torch.inf, depth_m), valid, path.parent.name)
    label = Label(
        quantity="disparity" if disparity else "depth",
        invariance=told.kind.invariance.value,
        agreement=round(agreement, 4),
        uncertainty=round(float(uncertainty.mean()), 5),
        sky=round(float(sky.float().mean()), 4),
        model=model,
        members=count(labelling.options),
        photo=str(path),
    )
    return sample, label, uncertainty


def told_several_times(
    predictor: LoadedPredictor, image: Float[Tensor, "1 3 h w"], options: PredictOptions
) -> tuple[Prediction, float]:
    """``options.members`` predictions of a photo (2 by default) merged, and how well its mirror image agrees.

    Raises ValueError for more than two of a network that neither draws noise nor says at which size it works.
    """
    members = []
    for k, one in enumerate(_views(predictor, options)):
        mirrored = k % 2 == 1
        said = predictor(image.flip(-1) if mirrored else image, one)
        members.append(said.value.flip(-1) if mirrored else said.value)
    value, spread = predictor.modality.merge(torch.stack(members, 1))
    straight, mirrored = (_standardised(members[start::2]) for start in (0, 1))
    told = Prediction(value, predictor.modality.kind, spread)
    return told, float((straight * mirrored).mean())


def _standardised(members: Sequence[Float[Tensor, "1 1 h w"]]) -> Float[Tensor, "1 1 h w"]:
    """The mean of maps, each less its mean and over its deviation; then once more."""

    def standard(x: Tensor) -> Tensor:
        return (x - x.mean()) / x.std(correction=0).clamp(min=1e-6)

    return standard(torch.stack([standard(one) for one in members]).mean(0))


def count(options: PredictOptions) -> int:
    """Predictions of each photo. ValueError for one, which says nothing of its uncertainty, and for auto."""
    if options.members is None:
        return 2
    if options.members == "auto" or options.members < 2:
        raise ValueError(
            f"members is {options.members}; labels need a number of 2 or more, the photo and its mirror image at least"
        )
    return options.members


def _views(predictor: LoadedPredictor, options: PredictOptions) -> list[PredictOptions]:
    """The options of each member, every other one of the mirrored photo."""
    number, facts = count(options), predictor.describe()
    noisy = "default steps" in facts or not ("default resolution" in facts or isinstance(predictor, OnePassPredictor))
    known = options.resolution or facts.get("default resolution")
    if not noisy and number > 2 and not known:
        raise ValueError(
            f"members is {number}; this network draws no noise, and the sizes that would replace it start from "
            "--resolution: give one, or 2 members"
        )
    if not noisy and number > 2 * len(_SIZES):
        raise ValueError(f"members is {number}; a network without noise has {2 * len(_SIZES)} at most")
    views = []
    for k in range(number):
        # seeds by member: those of another count of members begin alike
        view = replace(options, members=1, seed=options.seed + k, match_input=True)
        if not noisy and k >= 2:
            view = replace(view, resolution=round(int(known or 0) * _SIZES[k // 2]))
        views.append(view)
    return views


def summary(report: LabelReport, out: Path) -> str:
    """One line of what became of the photos."""
    words = {name.replace("_", " "): number for name, number in asdict(report).items() if isinstance(number, int)}
    line = ", ".join(f"{number} {word}" for word, number in words.items() if number) or "nothing to do"
    line += f"; shards are in {out}"
    if report.stopped == "disk full":
        line += f". The disk of {out} is full: free some space, then the same command goes on from here"
    elif report.stopped == "interrupted":
        line += ". Stopped by Ctrl-C; the same command goes on from here"
    return line
