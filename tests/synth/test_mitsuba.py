"""Pictures of Mitsuba's interpreted variant against what geometry and radiometry say. Nothing here needs LLVM."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from latentdepth.core.types import Camera
from latentdepth.synth.cast import RayScene
from latentdepth.synth.labels import label
from latentdepth.synth.mitsuba import Tracing, find_llvm, llvm_version, render
from latentdepth.synth.scene import Material, Mesh, Scene, Sky, View
from latentdepth.synth.viewpoints import turned

CAMERA = Camera.from_fov(60, 48, 36)
FACES = np.array([[0, 1, 2], [0, 2, 3]])
PLAIN = Tracing(samples=16, bounces=3, denoise=False, threads=1)
DARK = Sky(np.zeros((4, 8, 3)))


def view(azimuth_deg: float = 90.0, tilt_deg: float = 0.0, camera: Camera = CAMERA) -> View:
    pose = np.eye(4)
    pose[:3, :3] = turned(np.radians(azimuth_deg), np.radians(tilt_deg), 0.0)
    return View(camera, pose)


def wall(y: float, half: float, material: Material, *, x: float = 0.0, z: float = 0.0) -> Mesh:
    """A square that faces a camera at the origin looking north; u runs east, v up."""
    west, east, low, high = x - half, x + half, z - half, z + half
    corners = np.array([[west, y, low], [east, y, low], [east, y, high], [west, y, high]])
    return Mesh(corners, FACES, material, np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]]))


def picture(*meshes: Mesh, sky: Sky = DARK, at: View | None = None, tracing: Tracing = PLAIN) -> np.ndarray:
    (radiance,) = render(Scene("room", meshes, sky), [at or view()], tracing, variant="scalar_rgb")
    return radiance


def light(value: float) -> Material:
    return Material(look="light", emission=(value, value, value))


def test_a_lamp_is_where_the_label_says_and_as_bright_as_it_is():
    lamp = wall(3.0, 0.6, Material(look="light", emission=(2.0, 3.0, 4.0)), x=0.5, z=0.3)
    camera = Camera(40.0, 40.0, 20.0, 21.0, 48, 36)  # off-centre, to see that both agree on the principal point
    at = view(camera=camera)
    radiance = picture(lamp, at=at)
    truth = label(RayScene(Scene("room", (lamp,), DARK)), at)
    lit = radiance[..., 1] > 1.5
    edges = (truth.mesh >= 0) != lit
    assert edges.sum() <= 0.1 * lit.sum()  # pixels half covered
    inside = lit & (truth.mesh >= 0) & (radiance[..., 1] > 2.9)
    assert inside.sum() > 100
    np.testing.assert_allclose(radiance[inside].mean(0), [2, 3, 4], rtol=1e-2)


def test_the_sky_is_seen_in_its_directions():
    bright = np.full((32, 64, 3), 0.01)
    # 30 degrees up, azimuth 120 degrees from east to north
    bright[int(60 / 180 * 32), int(120 / 360 * 64)] = 50.0
    radiance = picture(sky=Sky(bright))
    row, column = np.unravel_index(radiance[..., 1].argmax(), radiance.shape[:2])
    towards = turned(np.radians(90), 0.0, 0.0).T @ [
        np.cos(np.radians(31)) * np.cos(np.radians(121)),
        np.cos(np.radians(31)) * np.sin(np.radians(121)),
        np.sin(np.radians(31)),
    ]
    # the spot is 5.6 degrees wide, four pixels
    assert column == pytest.approx(towards[0] / towards[2] * CAMERA.fx_px + CAMERA.cx_px, abs=3)
    assert row == pytest.approx(max(towards[1] / towards[2] * CAMERA.fy_px + CAMERA.cy_px, 0), abs=3)


def test_the_sun_lights_a_matt_wall_by_its_cosine():
    down = np.cos(np.radians(60))
    sun = (0.0, -down, float(np.sin(np.radians(60))))
    wall_seen = wall(2.0, 5.0, Material((0.5, 0.25, 0.1), roughness=1.0))
    radiance = picture(wall_seen, sky=Sky(np.zeros((4, 8, 3)), sun, (2.0, 2.0, 2.0)))[12:24, 16:32].mean((0, 1))
    # Lambert: albedo / pi x irradiance x cosine; the principled surface adds a sheen and retro-reflection of some 10 %
    np.testing.assert_allclose(radiance, np.array([0.5, 0.25, 0.1]) / np.pi * 2.0 * down, rtol=0.3)
    assert radiance[0] > 1.7 * radiance[1] > 3 * radiance[2]


def test_textures_stand_upright_and_lamps_shine_on_them():
    poster = np.zeros((8, 8, 3), np.uint8)
    poster[:4, :4] = 255  # the upper left quarter
    lit = picture(wall(2.0, 0.8, Material(texture=poster)), wall(-1.0, 3.0, light(1.0)))
    quarters = [lit[a : a + 6, b : b + 6].mean() for a in (9, 21) for b in (15, 27)]
    assert quarters[0] > 5 * max(quarters[1:])


def test_mirrors_show_what_lies_behind_the_camera():
    lamp = wall(-2.0, 0.5, light(1.0), x=1.0)
    mirror = Material((1.0, 1.0, 1.0), look="mirror", roughness=0.0)
    radiance = picture(wall(2.0, 4.0, mirror), lamp)
    # the mirror image stands 6 m ahead, 1 m to the right
    column = np.average(np.arange(48) + 0.5, weights=radiance[..., 1].sum(0))
    assert column == pytest.approx(1.0 / 6.0 * CAMERA.fx_px + CAMERA.cx_px, abs=0.5)
    assert radiance.max() == pytest.approx(1.0, rel=0.05)


def test_glass_lets_its_tint_through():
    pane = wall(1.0, 2.0, Material((1.0, 0.5, 0.0), look="glass"))
    radiance = picture(wall(2.0, 4.0, light(1.0)), pane)[12:24, 16:32].mean((0, 1))
    # a thin pane of index 1.5 reflects 8 % of what comes straight at it
    np.testing.assert_allclose(radiance, [0.92, 0.46, 0.0], atol=0.04)


def test_views_come_back_in_order_and_by_their_seed():
    scene = Scene("room", (wall(3.0, 0.5, light(1.0)),), DARK)
    views = [view(90), view(170), view(90)]
    noisy = Tracing(samples=1, denoise=False, threads=1)
    north, aside, again = render(scene, views, noisy, seed=3, variant="scalar_rgb")
    assert north.shape == (36, 48, 3)
    assert north.sum() > 10
    assert aside.max() < 1e-5  # the darkest sky that Mitsuba can do with
    assert abs(again.sum() - north.sum()) < 0.2 * north.sum()
    repeated = render(scene, views, noisy, seed=3, variant="scalar_rgb")
    np.testing.assert_array_equal(repeated[0], north)


def test_denoising_keeps_the_light_and_takes_the_noise():
    scene = (wall(2.0, 4.0, Material((0.6, 0.6, 0.6))), wall(-1.0, 0.7, light(5.0)))
    few = Tracing(samples=4, denoise=False, threads=1)
    noisy = picture(*scene, tracing=few)[6:30, 8:40]
    clean = picture(*scene, tracing=Tracing(samples=4, threads=1))[6:30, 8:40]
    assert clean.mean() == pytest.approx(noisy.mean(), rel=0.1)
    rough_noisy, rough_clean = (np.abs(np.diff(p[..., 1], axis=1)).mean() for p in (noisy, clean))
    assert rough_clean < 0.4 * rough_noisy


def test_views_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match="2 sizes"):
        render(Scene("room", (), DARK), [view(), view(camera=CAMERA.resized(24, 18))], variant="scalar_rgb")


def test_oblong_pixels_are_refused():
    with pytest.raises(ValueError, match="only square pixels"):
        picture(at=view(camera=Camera(40.0, 50.0, 24.0, 18.0, 48, 36)))


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("/usr/lib/x86_64-linux-gnu/libLLVM-19.so", 19),
        ("/usr/lib/x86_64-linux-gnu/libLLVM.so.18.1", 18),
        ("/usr/lib/llvm-14/lib/libLLVM.so", 14),
        ("/opt/homebrew/opt/llvm@17/lib/libLLVM.dylib", 17),
        ("/usr/local/lib/libLLVM.so", None),
    ],
)
def test_versions_are_read_from_names(name: str, version: int | None):
    assert llvm_version(Path(name)) == version


def test_old_libraries_are_never_chosen(tmp_path: Path):
    """LLVM 15 would end the process."""
    for name in ("libLLVM-14.so", "libLLVM-15.so", "libLLVM-16.so", "libLLVM-19.so", "libLLVM.so"):
        (tmp_path / name).touch()
    assert find_llvm((str(tmp_path),), {}) == tmp_path / "libLLVM-19.so"
    (tmp_path / "libLLVM-19.so").unlink()
    assert find_llvm((str(tmp_path),), {}) == tmp_path / "libLLVM-16.so"
    (tmp_path / "libLLVM-16.so").unlink()
    assert find_llvm((str(tmp_path),), {}) is None
    with pytest.raises(ValueError, match="names LLVM 15; 16 or newer is needed"):
        find_llvm((), {"DRJIT_LIBLLVM_PATH": str(tmp_path / "libLLVM-15.so")})
    with pytest.raises(ValueError, match="which is not there"):
        find_llvm((), {"DRJIT_LIBLLVM_PATH": str(tmp_path / "libLLVM-20.so")})
    named = tmp_path / "libLLVM.so"
    assert find_llvm((), {"DRJIT_LIBLLVM_PATH": str(named)}) == named


@pytest.mark.slow
@pytest.mark.skipif(find_llvm() is None, reason="no LLVM 16 or newer here")
def test_the_compiled_variant_shows_the_same_as_the_interpreted_one(tmp_path: Path):

    import subprocess
    import sys

    # in a process of its own, because Mitsuba keeps one variant's objects alive
    code = (
        "import sys, numpy as np; sys.path.insert(0, sys.argv[1]); import test_mitsuba as t;"
        "from latentdepth.synth.mitsuba import choose_variant, render;"
        "np.save(sys.argv[2], render(t.still_life(), [t.view()], t.PLAIN, variant=choose_variant())[0])"
    )
    target = tmp_path / "compiled.npy"
    subprocess.run([sys.executable, "-c", code, str(Path(__file__).parent), str(target)], check=True)
    compiled = np.load(target)
    (interpreted,) = render(still_life(), [view()], PLAIN, variant="scalar_rgb")
    # 16 paths a pixel, so means over 12 x 12 blocks agree to a few percent
    blocks = [p.reshape(3, 12, 4, 12, 3).mean((1, 3)) for p in (compiled, interpreted)]
    np.testing.assert_allclose(blocks[0], blocks[1], rtol=0.12, atol=0.02)


def still_life() -> Scene:
    """Everything that the two variants build differently: textures, colours, mirrors, lamps, sun, sky."""
    checks = np.random.default_rng(0).integers(0, 255, (5, 7, 3), dtype=np.uint8)
    meshes = (
        wall(4.0, 6.0, Material(texture=checks)),
        wall(3.0, 0.5, Material((0.8, 0.1, 0.1), roughness=0.3), x=-1.0),
        wall(3.0, 0.5, Material((0.9, 0.9, 0.9), look="mirror", roughness=0.0), x=1.0),
        wall(2.5, 0.2, light(4.0), z=0.6),
    )
    return Scene("room", meshes, Sky(np.full((4, 8, 3), 0.4), (0.0, -0.8, 0.6), (1.0, 0.9, 0.8)))
