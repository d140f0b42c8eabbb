"""One training example, and how a depth map becomes what the network is asked for.

Knows no files. Paper: Marigold (arXiv 2312.02145), section 3.2, the affine-invariant normalisation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from latentdepth.core.types import Camera, Quantity
from latentdepth.data.options import Filling

Normalisation: TypeAlias = Literal["depth", "log_depth", "sqrt_depth", "disparity"]
"""The value between whose quantiles a depth map is stretched; ``Quantity`` says three of them, sqrt is for training."""


@dataclass(frozen=True)
class Sample:
    """A photo with its planar depth.

    ``depth_m`` is +inf where there is sky (a valid answer: infinitely far) and meaningless where not ``valid``.
    """

    image: Float[Tensor, "3 h w"]
    depth_m: Float[Tensor, "1 h w"]
    valid: Bool[Tensor, "1 h w"]
    group: str = ""
    """The scene: samples of one group never stand on both sides of a split."""
    camera: Camera | None = None
    """Intrinsics of ``image`` at its present size, where they are known."""
    normals: Float[Tensor, "3 h w"] | None = None
    """Unit normals, x right, y up, z towards the viewer; 0 where unknown."""


def assembled(
    image: Float[Tensor, "3 h w"],
    depth_m: Float[Tensor, "1 hd wd"],
    valid: Bool[Tensor, "1 hd wd"],
    *,
    name: str,
    group: str = "",
    camera: Camera | None = None,
    normals: Float[Tensor, "3 hn wn"] | None = None,
    mask: Bool[Tensor, "1 hm wm"] | None = None,
) -> Sample:
    """A checked sample of parts read from files; only valid pixels that ``mask`` keeps stay valid.

    Raises ValueError, opening with ``name``, for sizes that differ and whatever ``checked`` refuses.
    """
    h, w = image.shape[-2:]
    for what, tensor in (("the depth", depth_m), ("the mask", mask), ("the picture of normals", normals)):
        if tensor is not None and tuple(tensor.shape[-2:]) != (h, w):
            raise ValueError(
                f"{name}: {what} has {tensor.shape[-1]} x {tensor.shape[-2]} pixels, the photo {w} x {h}; make them "
                "one size"
            )
    return checked(Sample(image, depth_m, valid if mask is None else valid & mask, group, camera, normals), name)


def checked(sample: Sample, name: str) -> Sample:
    """The sample itself, once its values make sense.

    Raises ValueError, opening with ``name``, for no valid pixel, a valid depth that is NaN or not above 0, or a camera
    for another size.
    """
    h, w = sample.image.shape[-2:]
    camera = sample.camera
    if camera is not None and (camera.width_px, camera.height_px) != (w, h):
        raise ValueError(
            f"{name}: the camera is for {camera.width_px} x {camera.height_px} pixels, the photo has {w} x {h}"
        )
    if not bool(sample.valid.any()):
        raise ValueError(f"{name}: no pixel has a valid depth; leave this sample out")
    if not bool(torch.where(sample.valid, sample.depth_m, torch.ones_like(sample.depth_m)).gt(0).all()):
        raise ValueError(f"{name}: depth is NaN or not above 0 where it is marked as valid; mark those as invalid")
    return sample


def disparity_of(depth_m: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Inverse depth in 1/m; 0 where depth is +inf, which is sky."""
    return torch.where(depth_m.isinf(), torch.zeros_like(depth_m), 1 / depth_m)


def normalised(
    sample: Sample, quantity: Quantity | Normalisation, *, tails: float = 0.02, filling: Filling = "middle"
) -> Float[Tensor, "1 h w"]:
    """The sample's truth as ``quantity``, its 2 % and 98 % quantiles over valid pixels at -1 and +1, clipped.

    Depth, log depth and sqrt depth take sky as the far end, +1, whatever the quantiles; disparity takes it as zero.
    The autoencoder smears invalid pixels into their neighbours, so what they hold matters although no loss reads them:
    ``middle`` is 0, which harms little; ``near`` is the near end (-1, for disparity +1), what the published code
    encodes; ``nearest`` repeats the nearest valid pixel, which adds no edge that isn't there.
    Raises ValueError when fewer than ten pixels are valid or all values are equal.
    """
    depth = sample.depth_m.double()
    wanted = quantity.value if isinstance(quantity, Quantity) else quantity
    if wanted == "disparity":
        value = disparity_of(depth)
    elif wanted == "depth":
        value = depth
    elif wanted == "log_depth":
        value = depth.log()
    elif wanted == "sqrt_depth":
        value = depth.sqrt()
    else:
        raise ValueError(
            f"a depth map can't be turned into {wanted}; allowed are depth, disparity, log_depth, sqrt_depth"
        )
    measured = value[sample.valid & value.isfinite()]
    if measured.numel() < 10:
        raise ValueError(f"only {measured.numel()} pixels of this sample are valid; at least 10 are needed")
    low, high = torch.quantile(
        measured[:: max(1, measured.numel() // 100_000)], torch.tensor([tails, 1 - tails]).double()
    )
    if high <= low:
        raise ValueError(f"all valid {wanted} values of this sample are equal ({float(low):.4g})")
    scaled = ((value - low) / (high - low) * 2 - 1).clamp(-1, 1)
    if filling == "nearest":
        return filled_from_nearest(scaled, sample.valid).float()
    near = 1.0 if wanted == "disparity" else -1.0
    return torch.where(sample.valid, scaled, torch.full_like(scaled, 0.0 if filling == "middle" else near)).float()


def filled_from_nearest(values: Float[Tensor, "c h w"], valid: Bool[Tensor, "1 h w"]) -> Float[Tensor, "c h w"]:
    """Every invalid pixel takes the value of the nearest valid one, by city-block distance.

    That distance splits into a pass along rows and one along columns, each a running minimum, so the cost is linear
    in pixels. Raises ValueError when no pixel is valid.
    """
    if not bool(valid.any()):
        raise ValueError("no pixel is valid, so there is nothing to fill from")
    known = valid[0]
    h, w = known.shape
    column, row = torch.arange(w).expand(h, w), torch.arange(h)[:, None].expand(h, w)
    never = 4 * (h + w)
    left = torch.where(known, column, -never).cummax(1).values
    right = torch.where(known, column, never).flip(1).cummin(1).values.flip(1)
    from_left = column - left <= right - column
    across, source_column = torch.where(from_left, column - left, right - column), torch.where(from_left, left, right)
    above = (across - row).cummin(0)
    below = (across + row).flip(0).cummin(0)
    below_value, below_row = below.values.flip(0), h - 1 - below.indices.flip(0)
    from_above = above.values + row <= below_value - row
    source_row = torch.where(from_above, above.indices, below_row)
    return values[:, source_row, source_column.gather(0, source_row)]
