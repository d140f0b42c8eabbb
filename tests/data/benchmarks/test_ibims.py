"""iBims-1 in miniature copies of its published form: 50 m at 65535, two masks, calibration, edges."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from latentdepth.core.types import Camera
from latentdepth.data.benchmarks.benchmark import Benchmark
from latentdepth.data.benchmarks.container import Missing
from latentdepth.data.benchmarks.ibims import ibims_edges, open_ibims

TAR = "ibims1_core_raw.tar"
SIZE = (6, 8)


def write(folder: Path, name: str = "corridor_01", *, counts: np.ndarray | None = None) -> None:
    """All pixels 5 m unless given; both masks set everywhere; an edge down the middle."""
    counts = np.full(SIZE, 6554, np.uint16) if counts is None else counts
    edges = np.zeros(SIZE, np.uint8)
    edges[:, 4] = 255
    pictures = {
        "rgb": np.full((*SIZE, 3), 128, np.uint8),
        "depth": counts,
        "mask_invalid": np.ones(SIZE, np.uint8),
        "mask_transp": np.full(SIZE, 255, np.uint8),
        "edges": edges,
    }
    for kind, pixels in pictures.items():
        (folder / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / kind / f"{name}.png")
    (folder / "calib").mkdir(exist_ok=True)
    (folder / "calib" / f"{name}.txt").write_text("6.5,6.25,4.5,2.75\n")


def save(pixels: np.ndarray, path: Path) -> None:
    Image.fromarray(pixels).save(path)


def test_depth_masks_and_camera(tmp_path: Path, published: Callable[[Path, str], Path]):
    counts = np.full(SIZE, 6554, np.uint16)
    counts[0, :4] = (0, 1, 2, 65535)
    write(tmp_path / "set", counts=counts)
    mask = np.ones(SIZE, np.uint8)
    mask[2] = 0
    save(mask, tmp_path / "set/mask_invalid/corridor_01.png")
    mask = np.ones(SIZE, np.uint8)
    mask[:, 7] = 0
    save(mask, tmp_path / "set/mask_transp/corridor_01.png")
    bench = open_ibims(published(tmp_path / "set", TAR))
    assert isinstance(bench, Benchmark)
    assert (len(bench), bench.frame(0)) == (1, "corridor_01")
    sample = bench[0]
    expected = torch.tensor(counts.astype(np.float64) * 50 / 65535).float()
    # the same product in float64, then rounded to float32
    measured = torch.from_numpy(counts > 0)
    torch.testing.assert_close(sample.depth_m[0][measured], expected[measured], rtol=1e-7, atol=0)
    valid = torch.ones(SIZE, dtype=torch.bool)
    valid[2], valid[:, 7] = False, False
    valid[0, :4] = torch.tensor([False, False, True, False])  # nothing; 0.76 mm; 1.5 mm; the end of the coding
    assert torch.equal(sample.valid[0], valid)
    assert sample.camera == Camera(6.5, 6.25, 4.5, 2.75, 8, 6)
    assert sample.group == "corridor"
    edges = ibims_edges(bench, 0)
    assert edges[0].sum(0).tolist() == [0, 0, 0, 0, 6, 0, 0, 0]


def test_the_list_says_which_frames_count_and_in_which_order(tmp_path: Path):
    inner = tmp_path / "ibims1_core_raw"
    for name in ("lab_01", "lab_02", "office_01"):
        write(inner, name)
    (tmp_path / "imagelist.txt").write_text("office_01\nlab_02\n")
    bench = open_ibims(tmp_path)
    assert [bench.frame(k) for k in range(len(bench))] == ["office_01", "lab_02"]
    assert open_ibims(inner).frame(0) == "lab_01"
    assert bench.notice is not None
    (inner / "depth/lab_02.png").unlink()
    holed = open_ibims(tmp_path)
    assert len(holed) == 1
    assert "depth/lab_02.png" in str(holed.notice)


def test_without_a_calibration_there_is_no_camera(tmp_path: Path):
    write(tmp_path)
    (tmp_path / "calib/corridor_01.txt").unlink()
    assert open_ibims(tmp_path)[0].camera is None


def test_faults(tmp_path: Path):
    with pytest.raises(Missing, match=r"iBims-1: there is no rgb/\*\.png"):
        open_ibims(tmp_path)
    write(tmp_path)
    (tmp_path / "calib/corridor_01.txt").write_text("6.5 6.5")
    with pytest.raises(ValueError, match=r"corridor_01\.txt: holds '6\.5 6\.5'; expected are four numbers"):
        open_ibims(tmp_path)[0]
    write(tmp_path)
    save(np.ones((6, 7), np.uint8), tmp_path / "mask_transp/corridor_01.png")
    with pytest.raises(ValueError, match=r"mask_transp/corridor_01\.png: 7 x 6 pixels, the depth has 8 x 6"):
        open_ibims(tmp_path)[0]
    write(tmp_path)
    (tmp_path / "mask_transp/corridor_01.png").unlink()
    with pytest.raises(ValueError, match=r"mask_transp/corridor_01\.png: there is no such file"):
        open_ibims(tmp_path)[0]
    write(tmp_path, counts=np.zeros(SIZE, np.uint16))
    with pytest.raises(ValueError, match=r"depth/corridor_01\.png: no pixel holds a valid depth between 0\.001 and 50"):
        open_ibims(tmp_path)[0]
    write(tmp_path)
    save(np.full(SIZE, 90, np.uint8), tmp_path / "depth/corridor_01.png")
    with pytest.raises(ValueError, match=r"depth/corridor_01\.png: not one channel of 16 bits"):
        open_ibims(tmp_path)[0]
