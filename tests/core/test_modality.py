"""Modalities: decoded pictures to values and back, sizes, padding."""

import pytest
import torch

from latentdepth.core.modality import depth_like, fit_size, normals, pad, resize
from latentdepth.core.types import Invariance, Quantity


def test_depth_goes_to_the_picture_and_back():
    modality = depth_like(Quantity.DEPTH)
    value = torch.rand(2, 1, 6, 7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(modality.from_decoded(modality.to_latent_image(value)), value)
    assert modality.from_decoded(torch.full((1, 3, 2, 2), 3.0)).max() == 1  # overshoot is clipped


def test_normals_go_to_the_picture_and_back():
    value = torch.nn.functional.normalize(torch.randn(1, 3, 6, 7, generator=torch.Generator().manual_seed(0)), dim=1)
    modality = normals()
    torch.testing.assert_close(modality.from_decoded(modality.to_latent_image(value)), value)
    torch.testing.assert_close(modality.finish(value * 0.3), value)


@pytest.mark.parametrize(
    ("scale", "shift", "invariance"),
    [(True, True, Invariance.AFFINE), (True, False, Invariance.SCALE), (False, False, Invariance.SCALE)],
)
def test_flags_of_a_folder_choose_how_members_merge(scale: bool, shift: bool, invariance: Invariance):
    modality = depth_like(Quantity.DISPARITY, scale_invariant=scale, shift_invariant=shift)
    assert modality.kind.invariance is invariance
    truth = 0.2 + 0.6 * torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    members = truth[:, None].expand(1, 3, 1, 8, 8).clone()
    if shift:
        members[:, 1] = members[:, 1] * 0.5 + 0.1
    elif scale:
        members[:, 1] = members[:, 1] * 0.5
    value, uncertainty = modality.merge(members)
    assert float(uncertainty.abs().max()) < 1e-5
    spread = (
        value - truth * (value / truth).mean()
        if not shift
        else value - (truth - truth.min()) / (truth.max() - truth.min())
    )
    assert float(spread.abs().max()) < 1e-4


@pytest.mark.parametrize(
    ("size", "longer", "want"),
    [((480, 640), 768, (576, 768)), ((37, 53), 48, (33, 48)), ((90, 41), 48, (48, 21)), ((5, 9), 0, (5, 9))],
)
def test_fit_size_floors_each_side(size: tuple[int, int], longer: int, want: tuple[int, int]):
    assert fit_size(*size, longer) == want


def test_fit_size_refuses_a_side_that_vanishes():
    with pytest.raises(ValueError, match="5000 x 1 pixels"):
        fit_size(1, 5000, 768)


def test_pad_repeats_the_right_and_bottom_edge():
    image = torch.arange(6.0).reshape(1, 1, 2, 3)
    padded = pad(image, 4)
    assert padded.shape == (1, 1, 4, 4)
    torch.testing.assert_close(padded[..., :2, :3], image)
    assert padded[0, 0, 3].tolist() == [3, 4, 5, 5]
    assert pad(padded, 4).shape == padded.shape


def test_antialias_matters_only_when_shrinking():
    stripes = torch.tensor([0.0, 1.0]).repeat(32)[None, None, None].expand(1, 1, 8, 64)
    assert float(resize(stripes, (8, 16)).std()) < 0.1
    assert float(resize(stripes, (8, 16), antialias=False).std()) < 0.6
    grown = resize(stripes, (16, 128))
    torch.testing.assert_close(grown, resize(stripes, (16, 128), antialias=False), atol=1e-5, rtol=0)
