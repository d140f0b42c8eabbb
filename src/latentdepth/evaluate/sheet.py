"""A picture of the best and the worst frames: photo, fitted prediction, truth and error, with what the colours mean.

The frames are predicted again for it, so that a run which was resumed gets the same sheet as one that was not, and no
pictures have to be kept in the meantime.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from latentdepth.core.colours import ember, normals_colours, quantile, spectral
from latentdepth.data.benchmarks.benchmark import Benchmark, Facts
from latentdepth.data.sample import Sample, filled_from_nearest
from latentdepth.evaluate.contender import Contender
from latentdepth.evaluate.figures import FIGURES
from latentdepth.evaluate.protocol import Rule
from latentdepth.evaluate.score import Scored, score
from latentdepth.evaluate.table import Entry, Row

_CELL_PX, _GAP_PX, _MARGIN_PX = (192, 256), 6, 12  # cell: height, width
_TITLE_PX, _HEAD_PX, _STRIP_PX, _FOOT_PX = 56, 20, 24, 40
_WORST_SHOWN = {"abs_rel": 0.5, "mean_deg": 60.0}  # the error map's bright end; the same on every sheet
Colours = Callable[[Float[Tensor, "n 1 h w"]], Float[Tensor, "n 3 h w"]]
_INK, _FAINT = (20, 20, 24), (105, 105, 112)


@dataclass(frozen=True)
class Panel:
    """One frame: words, four pictures, and the distances at the ends of the colours."""

    caption: str
    pictures: tuple[Float[Tensor, "3 _h _w"], ...]
    near_far: tuple[float, float] | None


def sheet_name(model: str, benchmark: str) -> str:
    """The file of a model's sheet on a benchmark: their names without what files can't be called."""
    return re.sub(r"[^\w.-]+", "-", f"{model}_{benchmark}").strip("-")[-200:] + ".png"


def write_sheet(
    contender: Contender, benchmark: Benchmark, rule: Rule, rows: Sequence[Row], path: Path, *, most: int = 3
) -> Path | None:
    """Up to ``most`` best and ``most`` worst frames of ``rows`` as PNG; None where no frame has a figure to order by.

    Frames are ordered by AbsRel, or by the mean angle for normals; of point pairs there is no map to draw.
    """
    figure = "mean_deg" if rule.key == "normals" else "abs_rel"
    ordered = _ordered(rows, rule.key, figure)
    if not ordered:
        return None
    number = {benchmark.frame(index): index for index in range(len(benchmark))}
    panels = []
    for words, row, entry in _picked(ordered, most):
        sample = benchmark[number[row.frame]]
        assert isinstance(sample, Sample)
        panels.append(_panel(contender, sample, benchmark.facts, rule, row.frame, _caption(words, row, entry)))
    label = FIGURES[figure].label
    head = f"{contender.name} on {benchmark.facts.title}"
    below = f"protocol {rule.key} ({rule.title}); best and worst of {len(ordered)} frames by {label}"
    unit = {"mean_deg": "", "abs_rel": "depth in metres, red is near"}[figure]
    unit = "depth in the unit of the truth, red is near" if benchmark.facts.truth == "scaled_depth" else unit
    picture = _drawn(panels, head, below, unit, figure)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    picture.save(part, format="PNG")
    part.replace(path)
    return path


def _ordered(rows: Sequence[Row], protocol: str, figure: str) -> list[tuple[Row, Entry]]:
    """Frames with the figure, best first; frames of equal figures by name, so that the sheet is always the same."""
    found = [
        (row, entry)
        for row in rows
        for entry in row.entries
        if entry.protocol == protocol and math.isfinite(entry.figures.get(figure, math.nan))
    ]
    return sorted(found, key=lambda pair: (pair[1].figures[figure], pair[0].frame))


def _picked(ordered: Sequence[tuple[Row, Entry]], most: int) -> list[tuple[str, Row, Entry]]:
    best = min(most, math.ceil(len(ordered) / 2))
    worst = min(most, len(ordered) - best)
    picked = [(f"best {k + 1}", *ordered[k]) for k in range(best)]
    return picked + [(f"worst {k}", *ordered[len(ordered) - k]) for k in range(worst, 0, -1)]


def _caption(words: str, row: Row, entry: Entry) -> str:
    names = ("abs_rel", "delta1", "mean_deg", "below_11.25")
    # the default font has no Greek letters
    said = [
        f"{FIGURES[name].label.replace('δ', 'delta')} {FIGURES[name].text(entry.figures[name])}"
        + (" %" if FIGURES[name].percent else "")
        for name in names
        if name in entry.figures
    ]
    return f"{words}:  {_short(row.frame)}   " + ",  ".join(said) + (f"   [{entry.fault}]" if entry.fault else "")


def _short(name: str, most: int = 44) -> str:
    return name if len(name) <= most else "…" + name[1 - most :]


def _panel(contender: Contender, sample: Sample, facts: Facts, rule: Rule, frame: str, caption: str) -> Panel:
    prediction = contender.predict(frame, sample.image[None])
    scored = score(prediction, sample, facts, rule)
    if rule.key == "normals":
        assert sample.normals is not None
        value, truth = prediction.value.detach().cpu().float(), sample.normals[None]
        valid = sample.valid[None] & (truth.norm(dim=1, keepdim=True) > 0.5)
        angle = torch.atan2(torch.linalg.cross(value, truth, dim=1).norm(dim=1), (value * truth).sum(1)).rad2deg()[
            :, None
        ]
        error = ember(torch.where(valid, angle / _WORST_SHOWN["mean_deg"], torch.nan))[0]
        known = normals_colours(torch.where(valid, truth, torch.nan))[0]
        return Panel(caption, (sample.image, normals_colours(value)[0], known, error), None)
    return _depth_panel(sample, scored, caption)


def _depth_panel(sample: Sample, scored: Scored, caption: str) -> Panel:
    assert scored.depth_m is not None  # only frames with figures are drawn
    truth, depth_m = sample.depth_m[None].float(), scored.depth_m
    valid = sample.valid[None] & truth.isfinite() & (truth > 0)
    near, far = (quantile(truth[valid], share) for share in (0.02, 0.98))

    def drawn(metres: Float[Tensor, "1 1 h w"]) -> Float[Tensor, "3 h w"]:
        return spectral((metres - near) / max(far - near, 1e-6))[0]

    relative = torch.where(valid, (depth_m - truth).abs() / truth, torch.nan)
    error = ember(relative / _WORST_SHOWN["abs_rel"])[0]
    known = drawn(torch.where(valid, truth, torch.nan))
    return Panel(
        caption, (sample.image, drawn(depth_m), *(_dotted(one, valid[0]) for one in (known, error))), (near, far)
    )


def _dotted(picture: Float[Tensor, "3 h w"], valid: Bool[Tensor, "1 h w"]) -> Float[Tensor, "3 h w"]:
    """Scattered points (LiDAR) as dots that are still seen when the picture is shrunk; dense truth as it is."""
    if float(valid.float().mean()) > 0.3:
        return picture
    radius = max(1, round(max(picture.shape[-2:]) / max(_CELL_PX)))
    near = F.max_pool2d(valid.float(), 2 * radius + 1, stride=1, padding=radius) > 0
    return torch.where(near, filled_from_nearest(picture, valid), torch.zeros(()))


def _drawn(panels: Sequence[Panel], head: str, below: str, unit: str, figure: str) -> Image.Image:
    width = _CELL_PX[1]
    rows = [[_fitted(picture) for picture in panel.pictures] for panel in panels]
    heights = [max(picture.height for picture in row) for row in rows]
    columns = max(map(len, rows))
    total_width = 2 * _MARGIN_PX + columns * width + (columns - 1) * _GAP_PX
    total_height = _TITLE_PX + _HEAD_PX + sum(heights) + len(rows) * (_STRIP_PX + _GAP_PX) + _FOOT_PX
    sheet = Image.new("RGB", (total_width, total_height), "white")
    draw = ImageDraw.Draw(sheet)
    large, small = ImageFont.load_default(17), ImageFont.load_default(13)
    right = total_width - _MARGIN_PX
    draw.text((_MARGIN_PX, 8), _short(head, 100), _INK, large)
    draw.text((_MARGIN_PX, 32), below, _FAINT, small)
    for j, word in enumerate(("photo", "prediction, fitted", "truth (black: unknown)", "error")):
        draw.text((_MARGIN_PX + j * (width + _GAP_PX), _TITLE_PX), word, _FAINT, small)
    top = _TITLE_PX + _HEAD_PX
    for panel, row, height in zip(panels, rows, heights, strict=True):
        draw.text((_MARGIN_PX, top + 4), panel.caption, _INK, small)
        if panel.near_far is not None:
            near, far = (f"{distance:.3g}" for distance in panel.near_far)
            _bar(sheet, draw, small, right=right, top=top + 6, texts=(near, far), colours=spectral)
        for j, picture in enumerate(row):
            sheet.paste(picture, (_MARGIN_PX + j * (width + _GAP_PX), top + _STRIP_PX))
        top += _STRIP_PX + height + _GAP_PX
    worst = _WORST_SHOWN[figure]
    name, end = "|error| / truth:  0", f"{worst * 100:.0f} % and more"
    if figure == "mean_deg":
        name, end = "angle:  0", f"{worst:.0f} degrees and more"
    top = total_height - _FOOT_PX + 12
    draw.text((_MARGIN_PX, top - 2), unit, _FAINT, small)
    _bar(sheet, draw, small, right=right, top=top, texts=(name, end), colours=ember)
    return sheet


def _bar(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, *,
    right: int, top: int, texts: tuple[str, str], colours: Colours,
) -> None:  # fmt: skip
    """A colour bar with a word at either end, its right end at ``right``."""
    wide, high = 90, 12
    ramp = colours(torch.linspace(0, 1, wide).expand(1, 1, high, wide))[0]
    after = round(draw.textlength(texts[1], font))
    left = right - after - 6 - wide
    sheet.paste(_image(ramp), (left, top))
    draw.text((left + wide + 6, top - 2), texts[1], _INK, font)
    draw.text((left - 6 - round(draw.textlength(texts[0], font)), top - 2), texts[0], _INK, font)


def _fitted(picture: Float[Tensor, "3 h w"]) -> Image.Image:
    """Shrunk or enlarged into a cell, its shape kept."""
    h, w = picture.shape[-2:]
    scale = min(_CELL_PX[0] / h, _CELL_PX[1] / w)
    size = max(1, round(h * scale)), max(1, round(w * scale))
    return _image(F.interpolate(picture[None].float(), size, mode="bilinear", antialias=True)[0])


def _image(picture: Float[Tensor, "3 h w"]) -> Image.Image:
    return Image.fromarray((picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy())
