"""The materials of one scene: each family (wall, wood, fabric, ...) has a few members, so that their number is bounded.

Knows no shapes.
"""

from __future__ import annotations

import numpy as np

from latentdepth.synth import prints, textures
from latentdepth.synth.colours import hsv
from latentdepth.synth.scene import Material
from latentdepth.synth.stock import Stock


class Palette(Stock):
    """Materials of one scene; asking again may give the same one. ``tiles``: further tileable sRGB pictures."""

    # -- textured families --------------------------------------------------------------------------------------------

    def wall(self) -> Material:
        """Paint, wallpaper, panels, brick or tiles."""
        return self._one_of("wall", 3, self._new_wall)

    def _new_wall(self) -> Material:
        r = self.rng
        colour = self.wall_colour()
        given = self._given_tile(0.25)
        kind = r.choice(7, p=[0.62, 0.12, 0.08, 0.06, 0.05, 0.05, 0.02])
        if given is not None:
            return self._textured(given, r.uniform(0.6, 2.0))
        if kind == 0:
            return self._textured(
                textures.plaster(r, colour, strength=r.uniform(0.004, 0.05)), r.uniform(1, 3), r.uniform(0.4, 0.9)
            )
        if kind == 1:
            return self._textured(
                textures.motif(r, colour, colour * r.uniform(0.75, 0.95), count=int(r.integers(2, 9))),
                r.uniform(0.4, 1),
            )
        if kind == 2:
            return self._textured(
                textures.stripes(r, colour, np.clip(colour * r.uniform(0.8, 1.1), 0, 1), count=int(r.integers(3, 9))),
                1.0,
            )
        if kind == 3:
            return self.masonry()
        if kind == 4:
            return self.tiling()
        if kind == 5:
            return self.boards()
        return self._textured(textures.marble(r, colour, colour * 0.6), 2.0, 0.2)

    def wood(self) -> Material:
        """Grained, oiled or lacquered; sometimes painted."""
        return self._one_of(
            "wood",
            5,
            lambda: self._textured(
                textures.grain(self.rng, self.wood_colour(), strength=self.rng.uniform(0.04, 0.16)),
                self.rng.uniform(0.4, 0.9),
                self.rng.uniform(0.25, 0.7),
            ),
        )

    def furniture(self) -> Material:
        """Wood, or boards painted white, grey or a muted colour."""
        if self.rng.random() < 0.55:
            return self.wood()
        return self.plain(self.off_white() if self.rng.random() < 0.6 else self.muted(), 0.4)

    def boards(self) -> Material:
        """Plank floors, parquet, cladding."""
        r = self.rng
        return self._one_of(
            "boards",
            2,
            lambda: self._textured(
                textures.planks(r, self.wood_colour(), across=int(r.integers(6, 15))),
                r.uniform(1.0, 1.9),
                r.uniform(0.25, 0.6),
            ),
        )

    def tiling(self) -> Material:
        """Tiles of floors, kitchens and bathrooms."""
        return self._one_of("tiling", 2, self._new_tiling)

    def _new_tiling(self) -> Material:
        r = self.rng
        first, joint = (
            (self.off_white(), self.muted(), self.stone())[int(r.integers(3))],
            self.stone() * r.uniform(0.5, 1),
        )
        second = np.clip(first * r.uniform(0.3, 0.9), 0, 1) if r.random() < 0.25 else None
        texture = textures.tiles(r, first, joint, second=second, count=int(r.integers(2, 7)))
        return self._textured(texture, r.uniform(0.5, 1.6), r.uniform(0.1, 0.5))

    def floor(self) -> Material:
        """Boards, tiles, carpet, concrete or stone."""
        r = self.rng
        given = self._given_tile(0.25)
        if given is not None:
            return self._one_of("floor", 1, lambda: self._textured(given, r.uniform(0.8, 2.0), r.uniform(0.2, 0.8)))
        make = (self.boards, self.tiling, self.carpet, self.concrete, self.terrazzo)[
            int(r.choice(5, p=[0.4, 0.2, 0.2, 0.1, 0.1]))
        ]
        return self._one_of("floor", 1, make)

    def carpet(self) -> Material:
        """Wall-to-wall carpet or felt."""
        r = self.rng
        return self._one_of(
            "carpet",
            2,
            lambda: self._textured(
                textures.speckle(r, self.muted(), self.muted(), share=0.3)
                if r.random() < 0.3
                else textures.weave(r, self.muted(), threads=30),
                r.uniform(0.3, 0.8),
                0.95,
            ),
        )

    def concrete(self) -> Material:
        """Cast or screeded grey."""
        return self._one_of(
            "concrete",
            2,
            lambda: self._textured(textures.plaster(self.rng, self.stone(), strength=0.08, size=256), 2.5, 0.8),
        )

    def terrazzo(self) -> Material:
        """Chips in a ground; also granite worktops."""
        r = self.rng
        return self._one_of(
            "terrazzo",
            2,
            lambda: self._textured(
                textures.speckle(r, self.stone(), self.muted(), share=r.uniform(0.1, 0.4)),
                r.uniform(0.3, 0.8),
                r.uniform(0.1, 0.5),
            ),
        )

    def masonry(self) -> Material:
        """Brick or rubble."""
        return self._one_of("masonry", 3, self._new_masonry)

    def _new_masonry(self) -> Material:
        r = self.rng
        if r.random() < 0.16:
            return self._textured(
                textures.cells(r, self.stone(), self.stone() * 0.6, count=int(r.integers(25, 70))),
                r.uniform(1.2, 3),
                0.9,
            )
        colour = hsv(r.normal(15, 7), r.uniform(0.25, 0.6), r.uniform(0.35, 0.72)) if r.random() < 0.7 else self.stone()
        return self._textured(textures.bricks(r, colour, self.stone()), 0.9, 0.9)

    def facade(self) -> Material:
        """Render, brick, stone, concrete or boards outside."""
        return self._one_of("facade", 6, self._new_facade)

    def _new_facade(self) -> Material:
        given = self._given_tile(0.25)
        if given is not None:
            return self._textured(given, self.rng.uniform(1.2, 3.0))
        kind = self.rng.choice(4, p=[0.5, 0.3, 0.1, 0.1])
        if kind == 0:
            colour = (
                self.wall_colour()
                if self.rng.random() < 0.7
                else hsv(self.rng.normal(36, 10), self.rng.uniform(0.1, 0.45), self.rng.uniform(0.5, 0.85))
            )
            return self._textured(textures.plaster(self.rng, colour * 0.92, strength=0.05), 3.0, 0.9)
        return (self.masonry, self.concrete, self.boards)[kind - 1]()

    def roof(self) -> Material:
        """Tiles in rows or sheet metal: red, brown, grey."""
        r = self.rng
        return self._one_of(
            "roof",
            3,
            lambda: self._textured(
                textures.tiles(
                    r, hsv(r.normal(14, 6), r.uniform(0.1, 0.55), r.uniform(0.2, 0.55)), np.ones(3) * 0.15, count=8
                ),
                2.2,
                0.8,
            ),
        )

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
