"""What is seen through a room's windows: a garden or street, trees and houses at true distances. Knows no rooms."""

from __future__ import annotations

import numpy as np

from latentdepth.synth import buildings, plants
from latentdepth.synth.palette import Palette
from latentdepth.synth.shapes import Parts, placed, quad


def outlook(palette: Palette, width_m: float, depth_m: float) -> Parts:
    """Ground, houses and trees around a building whose room covers (0, 0) to (width, depth)."""
    rng = palette.rng
    floor = -float(rng.choice([0.3, 0.5, 3.4, 9.0]))
    ground = palette.grass() if rng.random() < 0.6 else palette.asphalt()
    parts: Parts = [quad(ground, (-400, -400, floor), (800, 0, 0), (0, 800, 0))]
    tree = plants.broadleaf(palette, leaves=1800)
    for k in range(int(rng.integers(5, 12))):
        angle = rng.uniform(0, 2 * np.pi)
        distance = rng.uniform(7, 60) + max(width_m, depth_m)
        at = (width_m / 2 + distance * np.cos(angle), depth_m / 2 + distance * np.sin(angle), floor)
        if k % 2 == 0:
            size = (rng.uniform(7, 14), rng.uniform(7, 10))
            block = buildings.far_block(palette, *size, rng.uniform(4, 16))
            # the front of the block (-y) is turned towards the room
            parts += placed(block, at, yaw_rad=angle - np.pi / 2)
        elif rng.random() < 0.5:
            parts += placed(tree, at, yaw_rad=rng.uniform(0, 6), scale=rng.uniform(0.6, 1.1))
        else:
            parts += placed(plants.canopy(palette, (rng.uniform(3, 8), rng.uniform(4, 10))), at)
    return parts
