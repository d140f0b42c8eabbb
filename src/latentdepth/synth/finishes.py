"""What buildings and furniture are made of: walls, wood, floors, masonry, roofs. Knows no shapes."""

from __future__ import annotations

import numpy as np

from latentdepth.synth import textures
from latentdepth.synth.colours import hsv
from latentdepth.synth.scene import Material
from latentdepth.synth.stock import Stock


class Finishes(Stock):
    """The part of a ``Palette`` that stands still."""

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
