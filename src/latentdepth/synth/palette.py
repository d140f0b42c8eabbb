"""The materials of one scene: each family (wall, wood, fabric, ...) has a few members, so that their number is bounded.

Knows no shapes.
"""

from __future__ import annotations

import numpy as np

from latentdepth.synth import prints, textures
from latentdepth.synth.colours import hsv
from latentdepth.synth.finishes import Finishes
from latentdepth.synth.scene import Material


class Palette(Finishes):
    """Materials of one scene; asking again may give the same one.

    ``tiles``: further tileable sRGB pictures; ``props``: models that may stand for some of our own shapes."""

    def fabric(self) -> Material:
        """Upholstery, curtains, clothes, bedding: plain weave, stripes, checks, prints."""
        return self._one_of("fabric", 9, self._new_fabric)

    def _new_fabric(self) -> Material:
        r = self.rng
        colour, other = (self.vivid() if r.random() < 0.25 else self.muted()), self.muted()
        kind = r.choice(4, p=[0.55, 0.15, 0.15, 0.15])
        if kind == 0:
            texture, tile_m = textures.weave(r, colour, threads=int(r.integers(12, 40))), r.uniform(0.08, 0.3)
        elif kind == 1:
            texture, tile_m = (
                textures.stripes(r, colour, other, count=int(r.integers(2, 9)), check=bool(r.random() < 0.5)),
                r.uniform(0.15, 0.6),
            )
        elif kind == 2:
            texture, tile_m = textures.motif(r, colour, other, count=int(r.integers(2, 7))), r.uniform(0.2, 0.6)
        else:
            texture, tile_m = (
                textures.mottle(r, colour, np.clip(colour * r.uniform(0.6, 1.2), 0, 1), size=128),
                r.uniform(0.3, 1),
            )
        return self._textured(texture, tile_m, 0.9)

    def rug(self) -> Material:
        """Shown whole (see ``shapes.picture``)."""
        return self._one_of(
            "rug", 2, lambda: self._textured(textures.rug(self.rng, [self.muted() for _ in range(4)]), 1.0, 0.95)
        )

    def leaves(self) -> Material:
        """Foliage; each leaf takes its own place in the mottle."""
        return self._one_of(
            "leaves",
            4,
            lambda: self._textured(textures.mottle(self.rng, self.green(), self.green() * 1.3, size=128), 1.0, 0.55),
        )

    def bark(self) -> Material:
        """Grey to brown."""
        return self._one_of(
            "bark",
            2,
            lambda: self._textured(
                textures.bark(
                    self.rng, hsv(self.rng.normal(30, 8), self.rng.uniform(0.1, 0.4), self.rng.uniform(0.2, 0.5))
                ),
                0.6,
                0.95,
            ),
        )

    def grass(self) -> Material:
        """Lawn to dry meadow, seen from above."""
        r = self.rng
        return self._one_of(
            "grass",
            3,
            lambda: self._textured(
                textures.turf(r, self.green(), self.earth() if r.random() < 0.5 else self.green()),
                r.uniform(1.5, 5),
                0.95,
            ),
        )

    def soil(self) -> Material:
        """Earth, sand, dry ground."""
        r = self.rng
        return self._one_of(
            "soil",
            3,
            lambda: self._textured(
                textures.mottle(r, self.earth(), self.earth() * r.uniform(0.7, 1), roughness=r.uniform(0.4, 1)),
                r.uniform(1.5, 6),
                0.95,
            ),
        )

    def rock(self) -> Material:
        """Boulders and cliffs."""
        r = self.rng
        return self._one_of(
            "rock",
            2,
            lambda: self._textured(
                textures.mottle(r, self.stone() * 0.7, self.stone(), roughness=0.7), r.uniform(1, 4), 0.9
            ),
        )

    def asphalt(self) -> Material:
        """Road surface, dark to bleached."""
        r = self.rng
        return self._one_of(
            "asphalt",
            1,
            lambda: self._textured(
                textures.speckle(r, np.ones(3) * r.uniform(0.22, 0.5), np.ones(3) * r.uniform(0.3, 0.6), share=0.3),
                r.uniform(0.8, 2),
                r.uniform(0.5, 0.9),
            ),
        )

    def paving(self) -> Material:
        """Slabs, setts or brick underfoot."""
        return self._one_of("paving", 2, lambda: (self._new_tiling, self._new_masonry)[int(self.rng.integers(2))]())

    def fur(self) -> Material:
        """Coats: black, white, grey, brown, ginger; plain, patched or striped."""
        r = self.rng
        coats = (
            (0.06, 0.05, 0.05),
            (0.9, 0.88, 0.84),
            (0.45, 0.43, 0.41),
            (0.38, 0.26, 0.16),
            (0.72, 0.48, 0.26),
            (0.8, 0.68, 0.5),
        )
        first, second = np.array(coats[int(r.integers(6))]), np.array(coats[int(r.integers(6))])
        pattern = (
            textures.mottle(r, first, second, roughness=1.1, size=128),
            textures.stripes(r, first, first * 0.5, count=5, size=128),
            textures.mottle(r, first, first * 0.7, roughness=0.3, size=128),
        )
        return self._one_of("fur", 2, lambda: self._textured(pattern[int(r.integers(3))], r.uniform(0.2, 0.6), 0.95))

    # -- pictures, shown whole ----------------------------------------------------------------------------------------

    def artwork(self) -> Material:
        """A painting, photograph or poster."""
        return self._one_of("artwork", 5, self._new_artwork)

    def _new_artwork(self) -> Material:
        make = (prints.landscape_painting, prints.portrait_painting, prints.collage, prints.abstract)[
            int(self.rng.integers(4))
        ]
        return self._textured(make(self.rng, [self.vivid() for _ in range(int(self.rng.integers(4, 7)))]), 1.0, 0.5)

    def label(self) -> Material:
        """The print on a package or book cover."""
        return self._one_of(
            "label", 6, lambda: self._textured(prints.collage(self.rng, [self.vivid() for _ in range(5)]), 1.0, 0.4)
        )

    def paper(self) -> Material:
        """A printed page."""
        return self._one_of("paper", 2, lambda: self._textured(prints.page(self.rng), 1.0, 0.9))

    def cardboard(self) -> Material:
        """Brown, dull: cartons, and the backs of cheap shelves."""
        return self.plain(hsv(self.rng.normal(32, 4), 0.43, self.rng.uniform(0.4, 0.72)), 0.9)

    def screen(self) -> Material:
        """What a monitor shows."""
        return self._one_of(
            "screen", 2, lambda: self._textured(prints.screen(self.rng, [self.vivid() for _ in range(3)]), 1.0, 0.1)
        )

    def sign(self) -> Material:
        """Letters on a board."""
        return self._one_of(
            "sign",
            4,
            lambda: self._textured(
                prints.lettering(
                    self.rng, self.vivid(), self.off_white() if self.rng.random() < 0.6 else np.ones(3) * 0.1
                ),
                1.0,
                0.4,
            ),
        )
