"""The crops against indices worked out by hand from the published fractions."""

import pytest
import torch

from latentdepth.data.benchmarks.crops import Crop, Window, inside, window


@pytest.mark.parametrize(
    ("crop", "height", "width", "expected"),
    [
        # rows 45 to 470 and columns 41 to 600 with both ends
        ("eigen-nyu", 480, 640, Window(45, 471, 41, 601)),
        # .3324324 x 352 = 117.02, .91351351 x 352 = 321.56, .0359477 x 1216 = 43.71, .96405229 x 1216 = 1172.29
        ("eigen-kitti", 352, 1216, Window(117, 321, 43, 1172)),
        # .40810811 x 352 = 143.65, .99189189 x 352 = 349.15
        ("garg-kitti", 352, 1216, Window(143, 349, 43, 1172)),
        # the cut-off digits: 122.999988, 337.9999987, 43.9999848, 1180.000003
        ("eigen-kitti", 370, 1224, Window(122, 337, 43, 1180)),
        # 151.0000007, 366.9999993, 43.99999704, 1180.000003
        ("garg-kitti", 370, 1224, Window(151, 366, 43, 1180)),
        # the bottom rows; (1242 - 1216) / 2 = 13, and (1241 - 1216) / 2 = 12.5 is rounded down
        ("kitti-benchmark", 375, 1242, Window(23, 375, 13, 1229)),
        ("kitti-benchmark", 376, 1241, Window(24, 376, 12, 1228)),
        ("kitti-benchmark", 352, 1216, Window(0, 352, 0, 1216)),
    ],
)
def test_windows_by_hand(crop: Crop, height: int, width: int, expected: Window):
    assert window(crop, height, width) == expected


def test_the_mask_is_the_window():
    mask = inside("eigen-nyu", 480, 640)
    assert mask.shape == (1, 480, 640)
    assert int(mask.sum()) == 426 * 560
    rows, columns = torch.where(mask[0])
    assert (int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())) == (45, 470, 41, 600)


def test_sizes_for_which_a_crop_is_not_defined():
    with pytest.raises(ValueError, match="pixels of 640 x 480; this is 640 x 427"):
        inside("eigen-nyu", 427, 640)
    with pytest.raises(ValueError, match="1242 x 351 is smaller than the KITTI benchmark's window, 1216 x 352"):
        window("kitti-benchmark", 351, 1242)
    with pytest.raises(ValueError, match="1200 x 370 is smaller"):
        window("kitti-benchmark", 370, 1200)
