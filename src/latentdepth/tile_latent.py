"""Joint denoising: windows over one large latent, blended at every step (MultiDiffusion, arXiv 2302.08113, eq. 5).

    1 windows of the photo encoded, blended        2 noise of the whole latent's size
    3 at every step each window's x0, blended      4 windows of the finished latent decoded, blended

Every window and every step finished is on disk. x0 is a line in what the network says and in x_t, and x_t is the same
for all windows that see it, so blending x0 is blending noise or velocity. Knows diffusion models by their public
stages; fits to a coarse map are not made here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from latentdepth.core.context import within
from latentdepth.core.modality import resize
from latentdepth.core.tiles import Layout, Window, blend_weights, grid
from latentdepth.core.types import Quantity
from latentdepth.models.diffusion import DiffusionModel
from latentdepth.options import PredictOptions, TileOptions
from latentdepth.predictor import DiffusionPredictor
from latentdepth.tile_fusion import blend, read
from latentdepth.tile_pixels import Pixels, crop, shrink, size_of
from latentdepth.tile_plan import Plan
from latentdepth.tile_store import PARTS, Extent, TileStore, discard, opened


@dataclass(frozen=True)
class Canvas:
    """The photo at the size at which its windows are seen, and the windows, in latent cells of ``stride`` pixels."""

    height: int
    width: int
    cells: Layout
    windows: tuple[Window, ...]
    stride: int

    def pixels(self) -> Plan:
        """The same windows in pixels. The canvas' last cells may reach beyond the photo's edge."""
        cells, stride = self.cells, self.stride
        seen = (cells.tile_height * stride, cells.tile_width * stride)
        layout = Layout(cells.height * stride, cells.width * stride, *seen, cells.wrap)
        windows = tuple(Window(w.top * stride, w.left * stride, *seen) for w in self.windows)
        return Plan(layout, windows, seen, fitted=False)


def make_canvas(plan: Plan, stride: int, tiles: TileOptions) -> Canvas:
    """The plan's tiles on the latent's cells. A photo that wraps gets whole cells, so that they meet at its edge."""
    layout = plan.layout
    scale = max(plan.seen) / max(layout.tile_height, layout.tile_width)
    cell = stride if tiles.wrap != "none" else 1
    height, width = (max(1, round(side * scale / cell)) * cell for side in (layout.height, layout.width))
    rows, columns = -(-height // stride), -(-width // stride)
    tile_rows, tile_columns = (-(-side // stride) for side in plan.seen)
    cells = Layout(rows, columns, min(rows, tile_rows), min(columns, tile_columns), tiles.wrap)
    return Canvas(height, width, cells, tuple(grid(cells, overlap=tiles.tile_overlap)), stride)


@torch.no_grad()
def denoise_jointly(
    predictor: DiffusionPredictor,
    image: Pixels,
    canvas: Canvas,
    options: PredictOptions,
    *,
    folder: Path | None,
    key: str,
    on_window: Callable[[int, int], None],
) -> Float[Tensor, "1 c h w"]:
    """The photo's values at its own size, and their uncertainty as the last channel where there are several members.

    ``folder`` and ``key`` as in ``TileStore``: a call that was killed goes on at the window where it was. Values in
    memory: a photo of the canvas' size where that isn't the photo's, and one map for every member.
    """
    plan = predictor.plan(options)
    model = predictor.behind(plan.vae)
    count, members = len(canvas.windows), plan.members
    total, cells = count * (plan.steps + 2), canvas.cells
    latents, values = (None, None) if folder is None else (folder / name for name in PARTS)
    channels = model.latent_channels
    most = max(members * channels, model.seen_channels)
    extent = Extent(count * (plan.steps + 1), most, cells.tile_height, cells.tile_width, cells.height, cells.width)
    with opened(latents, key, extent) as store:
        seen = _Seen(store, canvas, lambda done: on_window(done, total))
        image_latent = seen.blended(0, _encoder(model, image, canvas))[:, : model.seen_channels]  # 1
        noise = predictor.start(plan, list(range(members)), (channels, cells.height, cells.width))  # 2
        passes = iter(range(1, plan.steps + 1))

        def denoise(x: Float[Tensor, "e c hl wl"], t: Int[Tensor, " e"]) -> Float[Tensor, "e c hl wl"]:
            def look(window: Window) -> Float[Tensor, "1 ec ht wt"]:
                shown = within(image_latent, window).to(x)
                parts = zip(within(x, window).split(plan.batch or 1), t.split(plan.batch or 1), strict=True)
                found = [
                    model.x0(part, step, shown.expand(len(part), -1, -1, -1)).float().cpu() for part, step in parts
                ]
                return torch.cat(found).flatten(0, 1)[None]

            found = seen.blended(next(passes), look)[:, : members * channels]
            return found.view(members, channels, cells.height, cells.width).to(x)

        latent = predictor.sampler(plan, list(range(members)))(denoise, noise)  # 3
        value = _decoded(
            predictor, model, latent.cpu(), canvas, values, key, lambda done: on_window(total - count + done, total)
        )
    if folder is not None:
        discard(folder)
    size = size_of(image)
    one, uncertainty = predictor.modality.merge(value) if members > 1 else (value[:, 0], None)
    if (canvas.height, canvas.width) != size:
        one = predictor.modality.finish(resize(one, size, antialias=False))
        uncertainty = None if uncertainty is None else resize(uncertainty, size, antialias=False)
    return one if uncertainty is None else torch.cat((one, uncertainty), 1)


class _Seen:
    """Passes over the windows, one after the other, each window looked at once and then read from disk."""

    def __init__(self, store: TileStore, canvas: Canvas, on_done: Callable[[int], None]) -> None:
        self.store, self.canvas, self.on_done = store, canvas, on_done

    def blended(self, which: int, look: Callable[[Window], Tensor]) -> Float[Tensor, "1 c hl wl"]:
        """The weighted mean of pass ``which``'s windows."""
        cells, first = self.canvas.cells, which * len(self.canvas.windows)
        total = torch.zeros(1, self.store.extent.channels, cells.height, cells.width)
        weight = torch.zeros(cells.height, cells.width)
        for number, window in enumerate(self.canvas.windows, first):
            if number not in self.store.done:
                found = look(window)  # all that is stored has one shape
                rest = self.store.extent.channels - found.shape[1]
                self.store.put(number, F.pad(found, (0, 0, 0, 0, 0, rest)))
            self.on_done(number + 1)
            rows = (torch.arange(window.top, window.top + window.height) % cells.height)[:, None]
            columns = torch.arange(window.left, window.left + window.width) % cells.width
            counts = blend_weights(window, cells)[0, 0]
            total[..., rows, columns] += self.store.get(number) * counts
            weight[rows, columns] += counts
        return total / weight


def _encoder(model: DiffusionModel, image: Pixels, canvas: Canvas) -> Callable[[Window], Float[Tensor, "1 ci ht wt"]]:
    """What the network sees of one window."""
    size, stride = (canvas.height, canvas.width), canvas.stride
    picture = image if size == size_of(image) else shrink(image, size)

    def look(window: Window) -> Float[Tensor, "1 ci ht wt"]:
        top, left = window.top * stride, window.left * stride
        height, width = window.height * stride, window.width * stride
        inside = Window(top, left, height, width)
        if not canvas.cells.wraps_y:
            inside = Window(top, left, min(height, canvas.height - top), inside.width)
        if not canvas.cells.wraps_x:
            inside = Window(top, left, inside.height, min(width, canvas.width - left))
        part = F.pad(crop(picture, inside), (0, width - inside.width, 0, height - inside.height), mode="replicate")
        return model.condition(part * 2 - 1).float().cpu()

    return look


def _decoded(
    predictor: DiffusionPredictor,
    model: DiffusionModel,
    latent: Float[Tensor, "e c hl wl"],
    canvas: Canvas,
    folder: Path | None,
    key: str,
    on_done: Callable[[int], None],
) -> Float[Tensor, "1 e cv h w"]:
    """Every member's values at the canvas' size."""
    plan, members = canvas.pixels(), len(latent)
    channels = 3 if predictor.modality.kind.quantity is Quantity.NORMALS else 1
    extent = Extent(len(plan.windows), members * channels, *plan.seen, plan.layout.height, plan.layout.width)
    with opened(folder, key, extent) as store:
        for number, window in enumerate(canvas.windows):
            if number not in store.done:
                found = [model.decode(one) for one in within(latent, window).split(1)]
                value = predictor.modality.from_decoded(torch.cat(found)).float().cpu()
                store.put(number, value.flatten(0, 1)[None])
            on_done(number + 1)
        blend(store, plan, None, members * channels)
        joined = read(store, None)[..., : canvas.height, : canvas.width]
    return joined.reshape(1, members, channels, canvas.height, canvas.width)
