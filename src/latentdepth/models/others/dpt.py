"""DPT, MiDaS, Depth Anything and GLPN through transformers: the image processor of the folder, one forward pass.

Papers: DPT (arXiv 2103.13413), MiDaS (arXiv 1907.01341), Depth Anything (arXiv 2401.10891, 2406.09414). Also the way of
every other class of AutoModelForDepthEstimation that says what it outputs. Does not know what the values mean.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn import functional as F

from latentdepth.core.modality import fit_size
from latentdepth.models.others.estimate import Estimate, Request

_STRIDE = 32  # patches of 16 pixels whose coarsest map is halved once more


def estimate(network: Any, processor: Any, request: Request) -> Estimate:
    """Processor to 8 bits, network in its own dtype, their bicubic resize back in float32.

    Their processors resize through 8-bit pictures whatever they are given, and truncate floats on the way; rounded to
    8 bits here, a photo of 8 bits arrives as it was. Raises ValueError where the resolution can't be had.
    """
    # n h w c in memory, so that a picture 3 pixels high is not taken for one with the channels in front
    pixels = (request.image[0] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    asked = _size(network, processor, request)
    prepared = processor(pixels, return_tensors="pt", input_data_format="channels_last", **asked)["pixel_values"]
    if _square_only(network) and prepared.shape[-2] != prepared.shape[-1]:
        raise ValueError(
            f"the processor gave {prepared.shape[-1]} x {prepared.shape[-2]} pixels, and this DPT sees squares only: "
            "set keep_aspect_ratio to false in preprocessor_config.json"
        )
    prepared = prepared.to(network.device, network.dtype)
    depth = network(pixel_values=prepared).predicted_depth.float().cpu()
    if request.match_input:
        depth = F.interpolate(depth[None], request.size, mode="bicubic", align_corners=False)[0]
    return Estimate(depth[0])


def _size(network: Any, processor: Any, request: Request) -> dict[str, Any]:
    """What to tell the processor so that the network sees the resolution asked for."""
    if request.resolution is None:
        return {}
    own = request.resolution == 0
    if not processor.do_resize or not hasattr(processor, "ensure_multiple_of"):
        # it takes pictures as they come, rounded or padded to whole patches
        if own:
            return {}
        raise ValueError(
            f"resolution is {request.resolution}; this model's own processor keeps the image's size: allowed is 0"
        )
    if getattr(network.config, "is_hybrid", False):
        raise ValueError(f"resolution is {request.resolution}; this hybrid DPT sees one size only: leave it out")
    height, width = fit_size(*request.size, request.resolution)
    if _square_only(network):
        height = width = max(height, width)
    patch = getattr(getattr(network.config, "backbone_config", None), "patch_size", None) or 16
    multiple = math.lcm(processor.ensure_multiple_of, _STRIDE if _STRIDE % patch == 0 else patch)
    if min(height, width) < multiple / 2:
        raise ValueError(
            f"resolution is {request.resolution}, which leaves {width} x {height} pixels of this image; this network "
            f"sees whole multiples of {multiple}: allowed is a longer side whose shorter one is at least {multiple}"
        )
    return {"size": {"height": height, "width": width}, "ensure_multiple_of": multiple}


def _square_only(network: Any) -> bool:
    """transformers' DPT on its own ViT takes the root of the number of patches for both sides of the picture."""
    return network.config.model_type == "dpt" and (network.config.is_hybrid or network.config.backbone_config is None)
