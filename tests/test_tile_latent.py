"""Joint denoising against a plain sum over windows, against the whole, over kills, members, edges and wrapping."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from latentdepth.core.samplers import ddim
from latentdepth.core.tiles import Layout, blend_weights
from latentdepth.loading import load
from latentdepth.models.feedforward import DepthPyramid
from latentdepth.options import PredictOptions, TileOptions, Wrap
from latentdepth.predictor import DiffusionPredictor, LoadedPredictor
from latentdepth.tile_latent import Canvas, denoise_jointly, make_canvas
from latentdepth.tile_plan import Plan, make_plan
from latentdepth.tiling import predict_tiled

LATENT = TileOptions(tiles="latent", tile_overlap=0.25)


@pytest.fixture(scope="module")
def predictor(tiny_folder: Path) -> DiffusionPredictor:
    found = load(f"dir:{tiny_folder}", device="cpu", dtype="float32")
    assert isinstance(found, DiffusionPredictor)
    return found


def photo(height: int, width: int) -> torch.Tensor:
    rough = torch.rand(1, 3, 4, 5, generator=torch.Generator().manual_seed(height))
    return torch.nn.functional.interpolate(rough, (height, width), mode="bilinear")


def jointly(
    predictor: DiffusionPredictor, image: torch.Tensor, canvas: Canvas, options: PredictOptions
) -> torch.Tensor:
    return denoise_jointly(predictor, image, canvas, options, folder=None, key="k", on_window=lambda done, total: None)


def canvas_of(predictor: DiffusionPredictor, image: torch.Tensor, tiles: TileOptions, native: int = 16) -> Canvas:
    plan = make_plan(image, native, tiles, predictor(image, PredictOptions(resolution=native)))
    return make_canvas(plan, predictor.model.stride, tiles)


def test_one_window_is_the_plain_prediction(predictor: DiffusionPredictor):
    image, options = photo(22, 31), PredictOptions(resolution=0, members=2, steps=2)
    canvas = canvas_of(predictor, image, TileOptions(tiles="latent", tile_size=64), native=64)
    assert len(canvas.windows) == 1
    whole = predictor(image, options)
    assert whole.uncertainty is not None
    found = jointly(predictor, image, canvas, options)
    # members go through the networks one by one, which may round otherwise
    torch.testing.assert_close(found[:, :1], whole.value, atol=1e-5, rtol=0)
    torch.testing.assert_close(found[:, 1:], whole.uncertainty, atol=1e-5, rtol=0)


@torch.no_grad()
def reference(predictor: DiffusionPredictor, image: torch.Tensor, canvas: Canvas, steps: int) -> torch.Tensor:
    """Every window pasted into a latent of its own, then the weighted mean of those; no stores, no wrapping."""
    model, cells, stride = predictor.model, canvas.cells, canvas.stride
    shape = (model.latent_channels, cells.height, cells.width)
    slices = [(..., slice(w.top, w.top + w.height), slice(w.left, w.left + w.width)) for w in canvas.windows]
    weights = torch.zeros(len(slices), 1, cells.height, cells.width)
    for number, window in enumerate(canvas.windows):
        weights[number][slices[number]] = blend_weights(window, cells)[0]
    weights /= weights.sum(0)

    def mean(of: list[torch.Tensor]) -> torch.Tensor:
        pasted = torch.zeros(len(of), *shape)
        for number, part in enumerate(of):
            pasted[number][slices[number]] = part[0]
        return (pasted * weights).sum(0, keepdim=True)

    padded = torch.nn.functional.pad(
        image * 2 - 1,
        (0, cells.width * stride - image.shape[-1], 0, cells.height * stride - image.shape[-2]),
        mode="replicate",
    )
    large = [
        (..., slice(w.top * stride, (w.top + w.height) * stride), slice(w.left * stride, (w.left + w.width) * stride))
        for w in canvas.windows
    ]
    seen = mean([model.encode(padded[one]) for one in large])
    noise = predictor.start(predictor.plan(PredictOptions()), [0], shape)
    latent = ddim(lambda x, t: mean([model.x0(x[one], t, seen[one]) for one in slices]), noise, model.schedule, steps)
    values = [predictor.modality.from_decoded(model.decode(latent[one])) for one in slices]
    tile_height, tile_width = values[0].shape[-2:]
    layout = Layout(cells.height * stride, cells.width * stride, tile_height, tile_width)
    total, weight = torch.zeros(1, 1, layout.height, layout.width), torch.zeros(layout.height, layout.width)
    for window, value, one in zip(canvas.pixels().windows, values, large, strict=True):
        counts = blend_weights(window, layout)[0, 0]
        total[one] += value * counts
        weight[one[1:]] += counts
    return (total / weight)[..., : image.shape[-2], : image.shape[-1]]


def test_windows_meet_at_every_step_as_in_a_plain_sum(predictor: DiffusionPredictor):
    image, options = photo(21, 37), PredictOptions(resolution=0, steps=3)
    canvas = canvas_of(predictor, image, LATENT)
    assert len(canvas.windows) >= 6
    found = jointly(predictor, image, canvas, options)
    # the same numbers added in another order, through three steps of a network
    torch.testing.assert_close(found, reference(predictor, image, canvas, 3), atol=2e-5, rtol=0)


@pytest.mark.parametrize(
    ("height", "width", "wrap"), [(33, 50, "none"), (33, 50, "both"), (1, 40, "x"), (5, 4, "none")]
)
def test_the_result_has_the_photos_size(predictor: DiffusionPredictor, height: int, width: int, wrap: Wrap):
    tiles = replace(LATENT, wrap=wrap)
    seen: list[tuple[int, int]] = []
    options = PredictOptions(resolution=16, members=2)
    found = predict_tiled(
        predictor, photo(height, width), options, tiles=tiles, on_tile=lambda done, total: seen.append((done, total))
    )
    assert found.value.shape == (1, 1, height, width)
    assert found.uncertainty is not None
    assert found.uncertainty.shape == (1, 1, height, width)
    assert 0 <= float(found.value.min()) <= float(found.value.max()) <= 1
    assert found.made_with["tiles"] == "latent"
    total = int(found.made_with["tile_count"] or 0) * 3  # encoded, one step, decoded
    assert seen == [(done, total) for done in range(1, total + 1)]


def test_larger_tiles_are_seen_smaller(predictor: DiffusionPredictor):
    image = photo(40, 64)
    half = canvas_of(predictor, image, replace(LATENT, tile_size=32))
    assert (half.height, half.width) == (20, 32)
    assert jointly(predictor, image, half, PredictOptions(resolution=0)).shape == (1, 1, 40, 64)


def test_a_wrapping_canvas_has_whole_cells():
    layout = Layout(33, 51, 12, 16, "both")
    canvas = make_canvas(Plan(layout, (), (12, 16), fitted=True), 8, replace(LATENT, wrap="both"))
    assert (canvas.height, canvas.width) == (32, 48)
    assert (canvas.cells.height, canvas.cells.width) == (4, 6)


def test_a_wrapping_photo_has_no_seam_at_its_edge(predictor: DiffusionPredictor):
    """Rolled by whole steps of its windows the same windows are seen. From zeros, since noise doesn't roll along."""
    image = photo(36, 48)
    model = copy.copy(predictor.model)
    model.facts = replace(model.facts, start="zeros")
    silent = DiffusionPredictor(model, "from zeros")
    canvas = canvas_of(silent, image, TileOptions(tiles="latent", wrap="both"))
    assert {window.top for window in canvas.windows} == set(range(0, 18, 3))
    assert {window.left for window in canvas.windows} == set(range(0, 24, 4))
    straight = jointly(silent, image, canvas, PredictOptions(resolution=0))
    rolled = jointly(silent, image.roll((6, -8), (-2, -1)), canvas, PredictOptions(resolution=0))
    torch.testing.assert_close(rolled, straight.roll((6, -8), (-2, -1)), atol=1e-5, rtol=0)  # other order of sums


class Killed(Exception):
    pass


@pytest.mark.parametrize("share", [0.2, 0.6, 0.9])  # while encoding, between steps, while decoding
def test_goes_on_after_a_kill(predictor: DiffusionPredictor, tmp_path: Path, share: float):
    image, options = photo(21, 37), PredictOptions(resolution=16, steps=2)
    whole = predict_tiled(predictor, image, options, tiles=LATENT).value
    calls: list[str] = []

    class Watched(DiffusionPredictor):
        """Notes every window that goes through a network."""

        def behind(self, vae: str):
            model = super().behind(vae)
            found = load(self.name, device="cpu", dtype="float32")
            assert isinstance(found, DiffusionPredictor)
            for name in ("encode", "x0", "decode"):
                setattr(found.model, name, _noted(getattr(model, name), calls))
            return found.model

    watched = Watched(predictor.model, predictor.name)

    def kill(done: int, total: int) -> None:
        if done >= share * total:
            raise Killed

    with pytest.raises(Killed):
        predict_tiled(watched, image, options, tiles=LATENT, folder=tmp_path / "work", on_tile=kill)
    before = len(calls)
    totals: list[int] = []
    found = predict_tiled(
        watched,
        image,
        options,
        tiles=LATENT,
        folder=tmp_path / "work",
        on_tile=lambda done, total: totals.append(total),
    )
    coarse = 4  # encoded, two steps, decoded: each call's own
    assert before - coarse + len(calls) - before - coarse == totals[0]  # no window twice
    assert torch.equal(found.value, whole)
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("tiles", [TileOptions(tiles="grid"), LATENT], ids=["grid", "latent"])
def test_a_folder_of_the_other_layout_is_begun_anew(predictor: DiffusionPredictor, tmp_path: Path, tiles: TileOptions):
    image, options, folder = photo(20, 30), PredictOptions(resolution=16), tmp_path / "work"

    def kill(done: int, total: int) -> None:
        raise Killed

    other = LATENT if tiles.tiles == "grid" else TileOptions(tiles="grid")
    with pytest.raises(Killed):
        predict_tiled(predictor, image, options, tiles=other, folder=folder, on_tile=kill)
    found = predict_tiled(predictor, image, options, tiles=tiles, folder=folder)
    assert torch.equal(found.value, predict_tiled(predictor, image, options, tiles=tiles).value)
    assert not folder.exists()


def _noted(work, calls: list[str]):
    def noted(*given: torch.Tensor) -> torch.Tensor:
        calls.append(work.__name__)
        return work(*given)

    return noted


def test_other_networks_and_auto_are_refused(predictor: LoadedPredictor, tmp_path: Path):
    DepthPyramid(16).save(tmp_path / "teacher")
    teacher = load(f"dir:{tmp_path / 'teacher'}", device="cpu", dtype="float32")
    with pytest.raises(
        ValueError, match=r"joins the steps of a diffusion model, and dir:.* has none: give --tiles grid"
    ):
        predict_tiled(teacher, photo(20, 30), PredictOptions(resolution=16), tiles=LATENT)
    with pytest.raises(ValueError, match="give numbers, not auto"):
        predict_tiled(predictor, photo(20, 30), PredictOptions(steps="auto"), tiles=LATENT)
