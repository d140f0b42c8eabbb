"""Plain materials, the store that keeps the number of textured ones small, and what a library lends.

Knows no textures and no shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from latentdepth.synth.colours import Colours, hsv, linear
from latentdepth.synth.pieces import Piece
from latentdepth.synth.props import Props
from latentdepth.synth.scene import Material
from latentdepth.synth.textures import Colour, Texture


class Stock(Colours):
    """Plain materials drawn for one scene, and families of textured ones that grow to a limit."""

    def __init__(self, rng: np.random.Generator, tiles: Sequence[Texture] = (), props: Props | None = None) -> None:
        super().__init__(rng)
        self.tiles = tiles
        self.props = props
        self._made: dict[str, list[Material]] = {}

    def _one_of(self, family: str, limit: int, make: Callable[[], Material]) -> Material:
        made = self._made.setdefault(family, [])
        if len(made) < limit and self.rng.random() < 1 - len(made) / (limit + 1):
            made.append(make())
            return made[-1]
        return made[int(self.rng.integers(len(made)))]

    def _textured(self, texture: Texture, tile_m: float, roughness: float = 0.7, metallic: float = 0.0) -> Material:
        return Material(texture=texture, tile_m=tile_m, roughness=roughness, metallic=metallic)

    def _given_tile(self, share: float) -> Texture | None:
        if len(self.tiles) and self.rng.random() < share:
            return self.tiles[int(self.rng.integers(len(self.tiles)))]
        return None

    def lent(
        self, kinds: str | Sequence[str], share: float = 0.6, *, category: str | None = None, most_faces: int = 30_000
    ) -> Piece | None:
        """``Props.lend``; None where there is no furniture library."""
        return self.props and self.props.lend(kinds, share, category=category, most_faces=most_faces)

    # -- plain materials: as many as wanted, they share one texture in the end ----------------------------------------

    def plain(self, colour: Colour, roughness: float = 0.6, metallic: float = 0.0) -> Material:
        """One colour without a texture."""
        return Material(colour=linear(colour), roughness=roughness, metallic=metallic)

    def plastic(self) -> Material:
        """Half of it white, grey or black."""
        colour = (
            self.vivid() if self.rng.random() < 0.5 else np.ones(3) * self.rng.choice([0.05, 0.12, 0.5, 0.85, 0.93])
        )
        return self.plain(colour, float(self.rng.choice([0.15, 0.4])))

    def metal(self) -> Material:
        """Steel, brass, black iron."""
        colour = [(0.75, 0.76, 0.78), (0.55, 0.56, 0.58), (0.75, 0.6, 0.35), (0.09, 0.09, 0.1)][
            int(self.rng.choice(4, p=[0.4, 0.3, 0.1, 0.2]))
        ]
        return self.plain(np.array(colour), float(self.rng.choice([0.15, 0.4])), 1.0)

    def dark(self) -> Material:
        """Near black: tyres, screens' rims, cables."""
        return self.plain(np.ones(3) * self.rng.uniform(0.03, 0.12), 0.6)

    def ceramic(self) -> Material:
        """Glazed, mostly white."""
        return self.plain(self.off_white() if self.rng.random() < 0.6 else self.muted(), 0.15)

    def pane(self) -> Material:
        """A window seen from outside: dark and shiny."""
        return self._one_of("pane", 2, lambda: self.plain(hsv(210, 0.3, self.rng.uniform(0.08, 0.3)), 0.04))

    def water(self) -> Material:
        """A calm or ruffled surface."""
        return self.plain(hsv(self.rng.normal(200, 15), self.rng.uniform(0.2, 0.6), self.rng.uniform(0.1, 0.35)), 0.06)

    def skin(self) -> Material:
        """One person's."""
        return self.plain(self.skin_colour(), 0.5)

    def lamp(self, radiance: float, *, warmth: float | None = None) -> Material:
        """An emitter; ``warmth`` 0 is daylight white, 1 candle orange."""
        warm = float(self.rng.uniform(0.1, 0.7)) if warmth is None else warmth
        red, green, blue = np.array([1.0, 1 - 0.28 * warm, 1 - 0.65 * warm]) * radiance
        return Material(colour=(0.8, 0.8, 0.8), look="light", emission=(float(red), float(green), float(blue)))
