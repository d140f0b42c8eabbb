"""Things with a plug: monitors, keyboards, laptops, cables, telephones. Knows no tables."""

from __future__ import annotations

import numpy as np

from latentdepth.synth.colours import hsv
from latentdepth.synth.palette import Palette
from latentdepth.synth.shapes import Parts, ball, box, cylinder, picture, pillow, placed, quad, rotation, tube


def monitor(palette: Palette, *, width_m: float | None = None) -> Parts:
    """A flat screen on a foot."""
    rng, dark = palette.rng, palette.dark()
    w = width_m or rng.uniform(0.42, 0.68)
    h, lift = w * 0.58, 0.06 if width_m else rng.uniform(0.07, 0.16)
    parts = [
        box(dark, (w, 0.03, h), (0, 0.02, lift)),
        box(dark, (w * 0.4, 0.18, 0.012)),
        box(dark, (0.05, 0.03, lift + 0.06), (0, 0.05, 0)),
    ]
    parts.append(
        picture(palette.screen(), (-w / 2 + 0.012, 0.0035, lift + 0.016), (w - 0.024, 0, 0), (0, 0, h - 0.028))
    )
    return parts


def keyboard(palette: Palette) -> Parts:
    """Keys on a board, and a mouse."""
    body = palette.dark() if palette.rng.random() < 0.6 else palette.plain(palette.off_white())
    keys = [
        box(body, (0.0155, 0.0155, 0.006), (x, y, 0.014))
        for y in np.arange(-0.05, 0.06, 0.019)
        for x in np.arange(-0.2, 0.21, 0.019)
    ]
    return [box(body, (0.44, 0.14, 0.014)), *keys, ball(body, (0.03, 0.05, 0.018), (0.3, 0, 0.016), rows=6, sides=10)]


def laptop(palette: Palette) -> Parts:
    """Open, with a screen that shows something."""
    rng, body = palette.rng, palette.metal() if palette.rng.random() < 0.5 else palette.dark()
    w, d, open_rad = rng.uniform(0.29, 0.38), rng.uniform(0.2, 0.26), rng.uniform(0.05, 0.6)
    lid = placed(
        [
            box(body, (w, 0.008, d), (0, 0.004, 0)),
            picture(palette.screen(), (-w / 2 + 0.01, -0.0008, 0.012), (w - 0.02, 0, 0), (0, 0, d - 0.02)),
        ],
        (0, d / 2, 0.012),
        turn=rotation(0, -open_rad),
    )
    keys = [
        box(palette.dark(), (w * 0.86, d * 0.42, 0.0012), (0, d * 0.17, 0.0155)),
        box(palette.dark(), (w * 0.3, d * 0.25, 0.0008), (0, -d * 0.28, 0.0155)),
    ]
    return placed([box(body, (w, d, 0.0155)), *keys, *lid], yaw_rad=rng.normal(0, 0.4))


def cable(palette: Palette) -> Parts:
    """A thin cord lying in loops."""
    rng = palette.rng
    t = np.linspace(0, 1, 60)
    x = np.cumsum(np.cos(8 * t + 3 * np.sin(t * rng.uniform(4, 12)) + rng.uniform(0, 6))) * rng.uniform(0.006, 0.014)
    y = np.cumsum(np.sin(7 * t + 3 * np.cos(t * rng.uniform(4, 12)) + rng.uniform(0, 6))) * rng.uniform(0.006, 0.014)
    r = rng.uniform(0.0022, 0.004)
    cord = palette.dark() if rng.random() < 0.6 else palette.plain(palette.off_white())
    return [tube(cord, np.stack((x - x.mean(), y - y.mean(), np.full(60, r)), 1), r, sides=6)]


def phone(palette: Palette) -> Parts:
    """A telephone or remote control lying flat."""
    rng = palette.rng
    parts = [pillow(palette.dark(), (0.072, 0.15, 0.009), edge=0.3)]
    if rng.random() < 0.6:
        parts.append(
            quad(
                palette.plain(hsv(215, 0.3, rng.uniform(0.03, 0.6)), 0.05),
                (-0.033, -0.07, 0.0095),
                (0.066, 0, 0),
                (0, 0.14, 0),
            )
        )
    else:
        parts += [
            cylinder(palette.plastic(), 0.005, 0.003, (x, y, 0.009), sides=8)
            for x in (-0.018, 0, 0.018)
            for y in np.arange(-0.05, 0.06, 0.02)
        ]
    return placed(parts, yaw_rad=rng.uniform(0, 6))
