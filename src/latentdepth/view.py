"""Still pictures of a result: a plot with a colour bar, and the relief seen from the side.

Needs Matplotlib (the ``view`` extra).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from latentdepth.core.colours import preview, uncertainty_colours
from latentdepth.core.geometry import render_view
from latentdepth.core.relief import DEFAULT_FOV_DEG, DEFAULT_RELIEF, relief_depth
from latentdepth.core.types import Camera, Invariance, Prediction, Quantity
from latentdepth.images import Photo


def plot(prediction: Prediction, photo: Photo | None, path: Path) -> Path:
    """Photo, values with a colour bar that names the unit, and uncertainty where there is one, side by side (PNG)."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ValueError('plots need Matplotlib: pip install "latentdepth[view]"') from None

    value = prediction.value[0].permute(1, 2, 0).cpu().numpy()
    panels: list[tuple[str, np.ndarray, str | None]] = []
    if photo is not None:
        panels.append(("photo", photo.pixels[0].permute(1, 2, 0).numpy(), None))
    if prediction.kind.quantity is Quantity.NORMALS:
        panels.append(("normals", preview(prediction.value, prediction.kind)[0].permute(1, 2, 0).numpy(), None))
    else:
        colours = "Spectral_r" if prediction.kind.near_is == "high" else "Spectral"
        panels.append((f"{prediction.kind} [{prediction.kind.unit}]", value[..., 0], colours))
    if prediction.uncertainty is not None:
        panels.append(("uncertainty", prediction.uncertainty[0, 0].cpu().numpy(), "inferno"))
    h, w = value.shape[:2]
    figure = Figure(figsize=(4.6 * len(panels), 4.2 * min(2.0, h / w) + 0.7), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    for k, (title, picture, colours) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), k + 1)
        drawn = axes.imshow(picture, cmap=colours)
        axes.set_title(title, fontsize=11)
        axes.set_axis_off()
        if colours is not None:
            figure.colorbar(drawn, ax=axes, shrink=0.85)
    canvas.print_figure(path, dpi=110, format="png")
    return path


def relief_picture(
    prediction: Prediction,
    photo: Photo | None,
    path: Path,
    *,
    yaw_deg: float = 16.0,
    pitch_deg: float = 7.0,
    near_far: tuple[float, float] = DEFAULT_RELIEF,
) -> Path:
    """The relief, turned by ``yaw_deg`` and ``pitch_deg``, as PNG. Relative values are spread over ``near_far``."""
    depth = relief_depth(prediction, None if prediction.kind.invariance is Invariance.METRIC else near_far)
    h, w = depth.shape[-2:]
    camera = prediction.camera.resized(w, h) if prediction.camera else Camera.from_fov(DEFAULT_FOV_DEG, w, h)
    colours = preview(prediction.value, prediction.kind) if photo is None else photo.pixels
    if tuple(colours.shape[-2:]) != (h, w):
        raise ValueError(
            f"the photo is {colours.shape[-1]} x {colours.shape[-2]}, the result {w} x {h}; give the photo it is of"
        )
    turned = render_view(colours[0], depth[0], camera, yaw_deg=yaw_deg, pitch_deg=pitch_deg)
    Image.fromarray((turned.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()).save(path, format="PNG")
    return path


def strip(rows: Sequence[tuple[Prediction, Photo]], path: Path, *, height_px: int = 240) -> Path:
    """One row a photo: photo, values, uncertainty (where there is one), 3-D view; each ``height_px`` high (PNG)."""
    if not rows:
        raise ValueError("a strip needs at least one photo with its prediction")
    pictures = []
    for prediction, photo in rows:
        h, w = prediction.value.shape[-2:]
        size = (height_px, max(1, round(w * height_px / h)))
        cells = [photo.pixels, preview(prediction.value, prediction.kind)]
        if prediction.uncertainty is not None:
            cells.append(uncertainty_colours(prediction.uncertainty))
        small = [F.interpolate(cell, size, mode="bilinear", antialias=True).clamp(0, 1) for cell in cells]
        if prediction.kind.quantity is not Quantity.NORMALS:
            relief = prediction.kind.invariance is not Invariance.METRIC
            depth = F.interpolate(relief_depth(prediction, DEFAULT_RELIEF if relief else None), size, mode="bilinear")
            camera = prediction.camera or Camera.from_fov(DEFAULT_FOV_DEG, w, h)
            camera = camera.resized(size[1], size[0])
            small.append(render_view(small[0][0], depth[0], camera, yaw_deg=8, pitch_deg=4)[None])
        pictures.append(torch.cat(small, -1)[0])
    width = max(picture.shape[-1] for picture in pictures)
    padded = [F.pad(picture, (0, width - picture.shape[-1], 0, 4), value=1.0) for picture in pictures]
    sheet = torch.cat(padded, -2)[:, :-4]
    Image.fromarray((sheet * 255).round().byte().permute(1, 2, 0).numpy()).save(path, format="PNG")
    return path
