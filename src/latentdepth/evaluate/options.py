"""Words that the command line offers: protocols, kinds, extra figures. Needs no torch, so the help needs none."""

from __future__ import annotations

from typing import Literal

ProtocolName = Literal[
    "marigold", "disparity", "log-ransac", "median", "scale", "metric", "moge", "ordinal", "normals"
]  # fmt: skip
ExtraName = Literal["boundary_f1", "edges", "cloud", "ause"]
KindName = Literal[
    "affine-depth", "scale-depth", "metric-depth",
    "affine-disparity", "scale-disparity", "metric-disparity",
    "affine-log_depth", "metric-log_depth",
    "normals",
]  # fmt: skip
"""What a folder of predictions holds: how much is known, and of what."""
