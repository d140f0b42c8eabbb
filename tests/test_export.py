"""Every format read back by a reader that isn't ours, and results that are whole or absent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import plyfile
import pygltflib
import pytest
import tifffile
import torch
import trimesh
from PIL import Image

from latentdepth.core.types import (
    AFFINE_DEPTH,
    AFFINE_DISPARITY,
    METRIC_DEPTH,
    NORMALS,
    Camera,
    Kind,
    Prediction,
)
from latentdepth.export import FORMATS, ExportError, finished, plan_outputs, read_prediction, sidecar, write
from latentdepth.images import Photo

H, W = 30, 40


def prediction(kind: Kind = AFFINE_DEPTH, *, uncertainty: bool = True) -> Prediction:
    draw = torch.Generator().manual_seed(0)
    if kind == NORMALS:
        value = torch.nn.functional.normalize(torch.randn(1, 3, H, W, generator=draw), dim=1)
    else:
        value = torch.linspace(0, 1, H)[None, None, :, None].expand(1, 1, H, W) * 0.9
        value = value + 0.1 * torch.rand(1, 1, H, W, generator=draw)
        value = value * 7 + 1 if kind == METRIC_DEPTH else value
    spread = torch.rand(1, 1, H, W, generator=draw) if uncertainty else None
    return Prediction(value, kind, spread, Camera.from_fov(60, W, H), {"model": "tiny", "steps": 1, "seed": 3})


@pytest.fixture
def photo() -> Photo:
    return Photo(torch.rand(1, 3, H, W, generator=torch.Generator().manual_seed(1)), Path("cat.jpg"))


def array(p: Prediction) -> np.ndarray:
    return p.value[0, 0].numpy()


def test_png16_is_rounded_and_says_its_range(tmp_path: Path, photo: Photo):
    for kind in (AFFINE_DEPTH, METRIC_DEPTH):
        p = prediction(kind)
        write(p, tmp_path / str(kind), formats=["png16"], photo=photo)
        with Image.open(tmp_path / f"{kind}_depth16.png") as image:
            assert image.mode.startswith("I;16")
            low, high = (float(image.info[f"latentdepth:{k}"]) for k in ("low", "high"))  # pyright: ignore
            assert image.info["latentdepth:kind"] == str(kind)  # pyright: ignore[reportAttributeAccessIssue]
            back = np.asarray(image).astype(np.float64) / 65535 * (high - low) + low
        # rounding: half a count, not a whole one as truncation would leave
        assert np.abs(back - array(p)).max() <= 0.5001 / 65535 * (high - low) + 1e-7


def test_exr(tmp_path: Path):
    p = prediction()
    write(p, tmp_path / "a", formats=["exr"])
    with OpenEXR.File(str(tmp_path / "a_depth.exr")) as file:
        np.testing.assert_array_equal(file.channels()["Z"].pixels, array(p))
    write(prediction(NORMALS), tmp_path / "n", formats=["exr"])
    with OpenEXR.File(str(tmp_path / "n_normals.exr"), separate_channels=True) as file:
        assert set(file.channels()) == {"X", "Y", "Z"}
        np.testing.assert_array_equal(file.channels()["Y"].pixels, prediction(NORMALS).value[0, 1].numpy())


def test_tiff_by_two_readers(tmp_path: Path):
    p = prediction()
    write(p, tmp_path / "a", formats=["tiff"])
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a_depth.tiff"), array(p))
    with Image.open(tmp_path / "a_depth.tiff") as image:
        np.testing.assert_array_equal(np.asarray(image), array(p))


def test_numpy_files(tmp_path: Path):
    p = prediction()
    write(p, tmp_path / "a", formats=["npy", "npz"])
    np.testing.assert_array_equal(np.load(tmp_path / "a_depth.npy"), array(p))
    with np.load(tmp_path / "a_depth.npz") as archive:
        np.testing.assert_array_equal(archive["value"], array(p))
        assert archive["intrinsics"].shape == (3, 3)
    assert p.uncertainty is not None
    np.testing.assert_array_equal(np.load(tmp_path / "a_uncertainty.npy"), p.uncertainty[0, 0].numpy())


def test_preview_is_red_near_for_depth_and_disparity(tmp_path: Path):
    for kind, near_row in ((AFFINE_DEPTH, 0), (AFFINE_DISPARITY, -1)):
        write(prediction(kind), tmp_path / str(kind), formats=["preview"])
        picture = np.asarray(Image.open(tmp_path / f"{kind}_{kind.quantity.value}.png")).astype(int)
        near, far = picture[near_row].mean(0), picture[-1 - near_row if near_row == 0 else 0].mean(0)
        assert near[0] > near[2] + 40
        assert far[2] > far[0] + 40


def test_controlnet_is_inverse_depth_with_near_white(tmp_path: Path):
    p = prediction(METRIC_DEPTH)
    write(p, tmp_path / "m", formats=["controlnet"])
    grey = np.asarray(Image.open(tmp_path / "m_depth_controlnet.png"))
    assert grey.dtype == np.uint8
    assert grey.shape == (H, W, 3)
    inverse = 1 / array(p)
    want = (inverse - inverse.min()) / (inverse.max() - inverse.min()) * 255
    assert np.abs(grey[..., 0] - want).max() <= 0.51  # 1 / d, not 1 - d
    assert grey[..., 0].max() == 255
    assert grey[..., 0].min() == 0


def test_ply_points_in_opencv_axes(tmp_path: Path, photo: Photo):
    p = prediction(METRIC_DEPTH)
    write(p, tmp_path / "m", formats=["ply"], photo=photo)
    vertex = plyfile.PlyData.read(str(tmp_path / "m_depth.ply"))["vertex"]
    np.testing.assert_allclose(np.asarray(vertex["z"]).reshape(H, W), array(p), rtol=1e-6)
    y = np.asarray(vertex["y"]).reshape(H, W)
    assert (y[0] < 0).all()  # the top row is up, and y points down
    assert (y[-1] > 0).all()
    colours = np.stack([np.asarray(vertex[c]) for c in ("red", "green", "blue")], -1).reshape(H, W, 3)
    want = photo.pixels[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(colours - want).max() <= 0.51


def test_glb_is_a_textured_mesh_in_gltf_axes(tmp_path: Path, photo: Photo):
    smooth = Prediction(torch.linspace(2, 3, H)[None, None, :, None].expand(1, 1, H, W).contiguous(), METRIC_DEPTH)
    write(smooth, tmp_path / "m", formats=["glb"], photo=photo)
    glb: Any = pygltflib.GLTF2().load(str(tmp_path / "m_depth.glb"))
    assert glb is not None
    primitive = glb.meshes[0].primitives[0]
    assert primitive.attributes.TEXCOORD_0 is not None
    assert len(glb.images) == 1
    accessor = glb.accessors[primitive.attributes.POSITION]
    assert accessor.count == H * W
    low, high = accessor.min, accessor.max
    assert low is not None
    assert high is not None
    assert -3.01 < low[2] <= high[2] < -1.99  # ahead is -z
    mesh = trimesh.load(tmp_path / "m_depth.glb", force="mesh")
    assert isinstance(mesh, trimesh.Trimesh)
    assert len(mesh.faces) == 2 * (H - 1) * (W - 1)
    # seen from the camera at the origin every face looks back
    towards = (mesh.face_normals * -mesh.triangles_center).sum(1)
    assert (towards > 0).all()
    # the texture's top left pixel belongs to the vertex up and to the left
    corner = int(np.argmax(-mesh.vertices[:, 0] / -mesh.vertices[:, 2] + mesh.vertices[:, 1] / -mesh.vertices[:, 2]))
    visual: Any = mesh.visual
    uv = visual.uv[corner]
    assert uv[0] < 0.05
    assert uv[1] > 0.95  # trimesh counts from the bottom


def test_relative_meshes_need_a_near_and_a_far(tmp_path: Path, photo: Photo):
    with pytest.raises(ValueError, match=r"--near-far 1\.0 4\.0"):
        write(prediction(), tmp_path / "a", formats=["glb"], photo=photo)
    assert not list(tmp_path.iterdir())
    write(prediction(AFFINE_DISPARITY), tmp_path / "a", formats=["ply"], photo=photo, near_far=(2.0, 6.0))
    z = np.asarray(plyfile.PlyData.read(str(tmp_path / "a_disparity.ply"))["vertex"]["z"])
    assert (z.min(), z.max()) == pytest.approx((2, 6), rel=1e-5)
    assert "arbitrary" in json.loads(sidecar(tmp_path / "a").read_text())["mesh_scale"]
    with pytest.raises(ValueError, match="normals hold no distances"):
        write(prediction(NORMALS), tmp_path / "n", formats=["ply"], near_far=(1.0, 2.0))


def test_sidecar_says_what_the_numbers_mean(tmp_path: Path, photo: Photo):
    write(prediction(AFFINE_DISPARITY), tmp_path / "a", formats=["npy"], photo=photo)
    said = json.loads(sidecar(tmp_path / "a").read_text())
    assert (said["quantity"], said["invariance"], said["near_is"], said["unit"]) == (
        "disparity",
        "affine",
        "high",
        "relative",
    )
    assert said["planar_or_euclidean"] == "planar"
    assert said["made_with"]["seed"] == 3
    assert said["camera"]["fov_deg"] == pytest.approx(60)
    assert said["camera"]["source"] == "photo"
    assert said["image"] == "cat.jpg"


@pytest.mark.parametrize("name", ["npy", "npz", "exr", "tiff", "png16"])
@pytest.mark.parametrize("kind", [AFFINE_DISPARITY, METRIC_DEPTH, NORMALS], ids=str)
def test_results_are_read_back(tmp_path: Path, name: str, kind: Kind):
    p = prediction(kind)
    write(p, tmp_path / "a", formats=[name])
    back = read_prediction(tmp_path / "a")
    assert back.kind == kind
    assert back.camera is not None
    quantum = {"png16": 1.1 / 255 if kind == NORMALS else 8e-5}.get(name, 1e-7)
    torch.testing.assert_close(back.value, p.value, atol=quantum, rtol=0)


def test_previews_hold_no_values(tmp_path: Path):
    write(prediction(), tmp_path / "a", formats=["preview"])
    with pytest.raises(ValueError, match="--formats npy"):
        read_prediction(tmp_path / "a")
    with pytest.raises(ValueError, match="no result is there"):
        read_prediction(tmp_path / "elsewhere" / "b")


def test_nothing_is_overwritten_unasked(tmp_path: Path):
    write(prediction(), tmp_path / "a", formats=["npy"])
    before = (tmp_path / "a_depth.npy").read_bytes()
    with pytest.raises(FileExistsError, match="--overwrite"):
        write(prediction(METRIC_DEPTH), tmp_path / "a", formats=["npy"])
    assert (tmp_path / "a_depth.npy").read_bytes() == before
    write(prediction(METRIC_DEPTH), tmp_path / "a", formats=["npy"], overwrite=True)
    assert (tmp_path / "a_depth.npy").read_bytes() != before


def test_finished_means_all_files_are_there(tmp_path: Path):
    assert not finished(tmp_path / "a", ["npy"])
    write(prediction(), tmp_path / "a", formats=["npy", "preview"])
    assert finished(tmp_path / "a", ["npy"])
    assert not finished(tmp_path / "a", ["npy", "exr"])
    (tmp_path / "a_depth.npy").unlink()
    assert not finished(tmp_path / "a", ["npy"])


def test_unknown_formats_and_batches(tmp_path: Path):
    with pytest.raises(ValueError, match="allowed are preview, png16"):
        write(prediction(), tmp_path / "a", formats=["jpeg"])
    p = prediction()
    with pytest.raises(ValueError, match="2 images"):
        write(Prediction(torch.cat((p.value, p.value)), p.kind), tmp_path / "a")


def test_every_format_has_help():
    assert all(chosen.help and chosen.suffix for chosen in FORMATS.values())
    assert len({chosen.suffix for chosen in FORMATS.values()}) == len(FORMATS)


def test_equal_stems_get_distinct_outputs(tmp_path: Path):
    inputs = [Path("p/a.jpg"), Path("p/a.png"), Path("p/b.jpg"), Path("p/q/a.jpg")]
    plan = plan_outputs(inputs, tmp_path)
    assert plan == {
        Path("p/a.jpg"): tmp_path / "a_jpg",
        Path("p/a.png"): tmp_path / "a_png",
        Path("p/b.jpg"): tmp_path / "b",
        Path("p/q/a.jpg"): tmp_path / "q" / "a",
    }
    assert plan_outputs(inputs[::-1], tmp_path) == plan
    assert len({str(p).lower() for p in plan_outputs([Path("a.jpg"), Path("A.png")], tmp_path).values()}) == 2
    tricky = plan_outputs([Path("a.jpg"), Path("a.png"), Path("a_jpg.png")], tmp_path)
    assert len(set(tricky.values())) == 3
    assert plan_outputs([Path("p/a.jpg")], None) == {Path("p/a.jpg"): Path("p/a")}


def test_full_disk_leaves_nothing_partial(tmp_path: Path):
    """A file-size limit stands in for the full disk: the same write fails in the same place."""
    write(prediction(METRIC_DEPTH), tmp_path / "a", formats=["npy"])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    script = f"""
    import resource, signal, torch
    from latentdepth.core.types import AFFINE_DEPTH, Prediction
    from latentdepth.export import ExportError, write
    p = Prediction(torch.rand(1, 1, 200, 200), AFFINE_DEPTH)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
    try:
        write(p, {str(tmp_path / "a")!r}, formats=["npy"], overwrite=True)
    except ExportError as error:
        print(error)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True)
    assert "a_depth.npy: can't be written (File too large); nothing partial" in done.stdout
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before  # the old result is still whole


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_kill_leaves_no_file_under_its_final_name(tmp_path: Path, how: signal.Signals):
    script = f"""
    import signal, time
    signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs inherit a deaf one
    from pathlib import Path
    from latentdepth import export
    def slow(part):
        part.write_bytes(b"half")
        Path({str(tmp_path / "started")!r}).touch()
        time.sleep(60)
    export._whole({{Path({str(tmp_path / "a.npy")!r}): slow}}, lambda parts: None)
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stderr=subprocess.DEVNULL)
    for _ in range(600):
        if (tmp_path / "started").exists():
            break
        time.sleep(0.05)
    assert (tmp_path / "started").exists()
    os.kill(child.pid, how)
    child.wait()
    assert not (tmp_path / "a.npy").exists()
    left = [p.name for p in tmp_path.iterdir() if p.name != "started"]
    assert left == [] if how == signal.SIGINT else all(name.startswith(".part-") for name in left)


def test_a_folder_that_can_not_be_made(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(ExportError, match="can't be written"):
        write(prediction(), tmp_path / "file" / "a", formats=["npy"])
