"""Names that the command line must know before anything heavy is imported: kinds of scene, layouts on disk."""

from __future__ import annotations

from typing import Literal

SceneKind = Literal[
    "room",
    "corridor",
    "street",
    "drive",
    "tabletop",
    "landscape",
    "overhead",
    "portrait",
    "workplace",
    "crops",
    "shelf",
    "hall",
]
Layout = Literal["shards", "hypersim", "vkitti", "folder"]
