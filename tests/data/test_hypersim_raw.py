"""Hypersim's projections, tone mapping and normals, against the published numbers of its own tables."""

from pathlib import Path

import numpy as np
import pytest
import torch

from latentdepth.core.geometry import normals_from_depth, rays
from latentdepth.data.hypersim_raw import image_normals, read_projections, scene_projection, tone_mapped

# rows of the published metadata_camera_parameters.csv: M_cam_from_uv, and the M_proj rows that give u, v and w
PLAIN = (
    [[0.5773502886169104, 0, 0], [0, 0.4330127164626828, 0], [0, 0, -1]],
    [[1.7320507492870254, 0, 0], [0, 2.309400999049367, 0], [0, 0, -1]],
)
TILTED = (  # ai_044_005: the lens is turned by 13.5 degrees
    [[0.5939329010741464, 0, 0], [0, 0.43312528010115947, 0], [0, -0.10405722181864628, -1.0287219273058326]],
    [[1.6836918752799659, 0, 0], [0, 2.3088008157049686, 0], [0, -0.23353968865432703, -0.9720799892143315]],
)
TILTED_BOTH_WAYS = (  # ai_044_004
    [
        [0.5859437528679018, 0, 0],
        [0, 0.4354028775375183, 0],
        [-0.05859437615991441, -0.07401848995993912, -1.018256062290048],
    ],
    [
        [1.7066484540632096, 0, 0],
        [0, 2.2967234522096858, 0],
        [-0.09820712607908966, -0.1669521136027523, -0.9820712461568946],
    ],
)
SHIFTED = (  # ai_044_002
    [[0.5782227289369345, 0, -0.03469336296075896], [0, 0.43366704670270084, 0.05782227375531246], [0, 0, -1.00151111]],
    [[1.7294373775975656, 0, -0.05990946875023781], [0, 2.3059165034634206, 0.13313215773786552], [0, 0, -0.99849117]],
)
WIDTH, HEIGHT = 32, 24


def directions(projection: np.ndarray) -> np.ndarray:
    """Unit ray of every pixel in Hypersim's camera, from the projection matrix alone: the line where both planes
    u w = row 0 and v w = row 1 meet."""
    u = ((np.arange(WIDTH) + 0.5) / WIDTH * 2 - 1)[None, :, None]
    v = (1 - (np.arange(HEIGHT) + 0.5) / HEIGHT * 2)[:, None, None]
    crossed = np.cross(projection[0] - u * projection[2], projection[1] - v * projection[2])
    crossed = crossed * -np.sign(crossed[..., 2:])  # forward is -z
    return crossed / np.linalg.norm(crossed, axis=-1, keepdims=True)


@pytest.mark.parametrize("matrices", [PLAIN, TILTED, TILTED_BOTH_WAYS, SHIFTED])
def test_planar_depth_agrees_with_the_projection_matrix(matrices: tuple[list, list]):
    # depth is the distance from the plane through the lens that is parallel to the image: w of the projection
    cam_from_uv, rows = np.array(matrices[0], dtype=float), np.array(matrices[1])
    distance = np.linspace(1, 9, WIDTH * HEIGHT).reshape(HEIGHT, WIDTH)
    w = (directions(rows) * distance[..., None]) @ rows[2]
    expected = w / np.linalg.norm(rows[2])
    projection = scene_projection(cam_from_uv, WIDTH, HEIGHT)
    depth = distance / np.linalg.norm(projection.rays, axis=-1)
    np.testing.assert_allclose(depth, expected, rtol=1e-6)  # the table has 7 good digits: a float32 angle


def test_a_plain_scene_has_the_published_camera():
    plain, published = (scene_projection(m, WIDTH, HEIGHT) for m in (np.array(PLAIN[0], dtype=float), None))
    assert published.camera.fx_px == pytest.approx(886.81 * WIDTH / 1024, abs=1e-4)
    for name in ("fx_px", "fy_px", "cx_px", "cy_px"):
        assert getattr(plain.camera, name) == pytest.approx(getattr(published.camera, name), rel=1e-6)
    np.testing.assert_allclose(plain.image_from_scene, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(plain.rays, published.rays, atol=1e-6)


@pytest.mark.parametrize("matrices", [TILTED, SHIFTED])
def test_the_camera_has_the_exact_rays_where_there_is_no_skew(matrices: tuple[list, list]):
    projection = scene_projection(np.array(matrices[0], dtype=float), WIDTH, HEIGHT)
    np.testing.assert_allclose(rays(projection.camera)[0].permute(1, 2, 0).numpy(), projection.rays, atol=1e-6)


def test_skew_costs_the_camera_little():
    projection = scene_projection(np.array(TILTED_BOTH_WAYS[0], dtype=float), WIDTH, HEIGHT)
    seen = rays(projection.camera)[0].permute(1, 2, 0).numpy()
    error_px = np.abs(seen - projection.rays).max() * projection.camera.fx_px * 1024 / WIDTH
    # 0.017, the product of the tilts, times half the height, 384 px
    assert error_px == pytest.approx(0.017 * 384, rel=0.1)


def test_the_scale_and_sign_of_the_matrix_do_not_matter():
    matrix = np.array(TILTED[0], dtype=float)
    a, b = scene_projection(matrix, WIDTH, HEIGHT), scene_projection(-2.5 * matrix, WIDTH, HEIGHT)
    np.testing.assert_allclose(a.rays, b.rays, atol=1e-12)
    np.testing.assert_allclose(a.image_from_scene, b.image_from_scene, atol=1e-12)


def test_tone_mapping_by_hand():
    # eleven grey pixels 0, 1 ... 10: the 90 % quantile is exactly 9, which is displayed as 0.8
    grey = np.arange(11.0)
    counts = tone_mapped(np.repeat(grey[None, :, None], 3, -1).astype(np.float16), np.ones((1, 11), dtype=np.int64))
    expected = [int(min(255.0, 255 * 0.8 * (g / 9) ** (1 / 2.2))) for g in grey]
    assert counts[0, :, 1].tolist() == pytest.approx(expected, abs=1)  # 204.0 may fall to 203 by a last bit
    assert counts[0, 1, 0] == int(255 * 0.8 * (1 / 9) ** (1 / 2.2)) == 75


@pytest.mark.parametrize(("channel", "weight"), [(0, 0.3), (1, 0.59), (2, 0.11)])
def test_tone_mapping_ignores_the_background_and_weighs_colours(channel: int, weight: float):
    radiance = np.full((1, 5, 3), 1000.0)
    radiance[0, 0] = np.eye(3)[channel]  # the only pixel of real geometry: its brightness is the quantile
    radiance[0, 1] = 0.02
    counts = tone_mapped(radiance, np.array([[5, -1, -1, -1, -1]]))
    assert counts[0, 0, channel] == 255
    assert counts[0, 1].tolist() == [int(255 * 0.8 * (0.02 / weight) ** (1 / 2.2))] * 3
    assert (counts[0, 2:] == 255).all()


def test_tone_mapping_without_light_or_geometry():
    radiance = np.full((2, 3, 3), 0.5)
    # no geometry at all: radiance is displayed as it is
    assert (tone_mapped(radiance, np.full((2, 3), -1)) == int(255 * 0.5 ** (1 / 2.2))).all()
    assert (tone_mapped(np.full((2, 3, 3), 5e-5), np.ones((2, 3), dtype=int)) == 0).all()
    radiance[0, 0] = (np.nan, np.inf, -np.inf)
    counts = tone_mapped(radiance, np.ones((2, 3), dtype=int))
    assert counts[0, 0].tolist() == [0, 255, 0]
    assert set(counts[1].flatten().tolist()) <= {203, 204}  # 255 * 0.8 is 204 but for a last bit


@pytest.mark.parametrize("matrices", [PLAIN, TILTED])
def test_normals_agree_with_those_of_the_depth(matrices: tuple[list, list]):
    # a plane in Hypersim's camera axes, seen through the matrix; its normal, turned, is that of our depth map
    normal = np.array([0.3, 0.2, 0.93])
    normal /= np.linalg.norm(normal)
    ray = directions(np.array(matrices[1]))
    distance = -3.0 / (ray @ normal)
    assert (distance > 0).all()
    projection = scene_projection(np.array(matrices[0], dtype=float), WIDTH, HEIGHT)
    depth = torch.from_numpy(distance / np.linalg.norm(projection.rays, axis=-1)).float()[None, None]
    expected = normals_from_depth(depth, projection.camera)[0].permute(1, 2, 0).numpy()
    given = np.tile(normal, (HEIGHT, WIDTH, 1))
    # float32 differences of neighbouring points; 1e-3 is 0.06 degrees
    np.testing.assert_allclose(image_normals(given, projection), expected, atol=1e-3)


def test_bad_normals_are_repaired():
    projection = scene_projection(None, WIDTH, HEIGHT)
    given = np.tile(np.array([0.0, 0.0, 1.0]), (HEIGHT, WIDTH, 1))
    given[0, 0] = (0, 0, -1)  # away from the camera
    given[0, 1] = (0, 0, 7)
    given[0, 2] = 0
    given[0, 3] = np.nan
    ours = image_normals(given, projection)
    assert ours[0, :4].tolist() == [[0, 0, 1], [0, 0, 1], [0, 0, 0], [0, 0, 0]]


def test_tables_without_projections_are_refused(tmp_path: Path):
    path = tmp_path / "metadata_camera_parameters.csv"
    names = [f"M_cam_from_uv_{i}{k}" for i in range(3) for k in range(3)]
    path.write_text("scene_name,M_proj_00\nai_001_001,1\n")
    with pytest.raises(ValueError, match=r"lacks the columns M_cam_from_uv_00.*download"):
        read_projections(path)
    path.write_text(",".join(["scene_name", *names]) + "\nai_001_001,1,0,0,0,1,0,0,0,\n")
    with pytest.raises(ValueError, match="ai_001_001 can't be inverted"):
        read_projections(path)
    path.write_text(",".join(["scene_name", *names]) + "\nai_001_001,1,0,0,0,2,0,0,0,-1\n")
    assert read_projections(path)["ai_001_001"].tolist() == [[1, 0, 0], [0, 2, 0], [0, 0, -1]]
