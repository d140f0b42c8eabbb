"""ZoeDepth through transformers: reflected border, the photo and its mirror image averaged, border cut off.

Paper: ZoeDepth (arXiv 2302.12288); padding and averaging as its authors' ``infer`` does. transformers does the first
half in its processor; the second is repeated here because theirs asks for torchvision. Metric depth.
"""

from __future__ import annotations

import math
from typing import Any

from torch.nn import functional as F

from latentdepth.core.modality import fit_size
from latentdepth.models.others.estimate import Estimate, Request


def estimate(network: Any, processor: Any, request: Request) -> Estimate:
    """Values in metres. The whole path is float32 and keeps the precision of the photo."""
    height, width = request.size
    border = (_border(height), _border(width)) if processor.do_pad else (0, 0)
    padded = (height + 2 * border[0], width + 2 * border[1])
    if min(height - border[0], width - border[1]) < 1:
        raise ValueError(f"the image is {width} x {height} pixels; ZoeDepth's reflected border needs at least 5 x 5")
    asked: dict[str, Any] = {}
    if request.resolution is not None:
        inner = fit_size(height, width, request.resolution)
        # the resolution asked for is the photo's share of what the network sees
        fitted = [round(side * whole / part) for side, whole, part in zip(inner, padded, (height, width), strict=True)]
        asked["size"] = {"height": fitted[0], "width": fitted[1]}
    image = request.image[0].permute(1, 2, 0).numpy()
    prepared = processor(image, do_rescale=False, return_tensors="pt", input_data_format="channels_last", **asked)[
        "pixel_values"
    ].to(network.device, network.dtype)
    straight = network(pixel_values=prepared).predicted_depth.float()
    mirrored = network(pixel_values=prepared.flip(-1)).predicted_depth.float()
    depth_m = ((straight + mirrored.flip(-1)) / 2).cpu()
    seen = (depth_m.shape[-2], depth_m.shape[-1])
    depth_m = F.interpolate(depth_m[None], padded, mode="bicubic", align_corners=False)
    depth_m = depth_m[..., border[0] : border[0] + height, border[1] : border[1] + width]
    if not request.match_input:
        inside = [
            max(1, round(side * part / whole)) for side, part, whole in zip(seen, (height, width), padded, strict=True)
        ]
        depth_m = F.interpolate(depth_m, inside, mode="bicubic", align_corners=False)
    return Estimate(depth_m[0, 0])


def _border(side: int) -> int:
    return int(math.sqrt(side / 2) * 3)
