"""A whole scene from (seed, number): its kind, its content, its sky and the candidate views. Plain arrays; no engine.

Kind, content, sky and cameras have random streams of their own, so that a change to one leaves the others alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from latentdepth.core.types import Camera
from latentdepth.synth import in_hand, landscapes, on_floor, people, portraits, proposals, roads, streets, tabletops
from latentdepth.synth.corridors import corridor
from latentdepth.synth.crops import crop_rows
from latentdepth.synth.halls import hall
from latentdepth.synth.library import Entry
from latentdepth.synth.palette import Palette
from latentdepth.synth.props import Props
from latentdepth.synth.rooms import room
from latentdepth.synth.scene import Limits, Scene, SceneKind, Sky, View
from latentdepth.synth.shapes import placed
from latentdepth.synth.shelves import shelf_room
from latentdepth.synth.skies import any_weather, sky_of
from latentdepth.synth.stage import Footprint, Stage, footprint_of, merged
from latentdepth.synth.terrain import height_at
from latentdepth.synth.textures import Texture
from latentdepth.synth.views import any_camera

KINDS: dict[SceneKind, float] = {
    "room": 0.25,
    "street": 0.11,
    "drive": 0.05,
    "tabletop": 0.10,
    "landscape": 0.09,
    "overhead": 0.09,
    "portrait": 0.10,
    "corridor": 0.07,
    "workplace": 0.04,
    "crops": 0.03,
    "shelf": 0.03,
    "hall": 0.04,
}
"""Share of each kind of scene."""
_LIMITS: dict[SceneKind, Limits] = {"shelf": in_hand.LIMITS}
"""Where views keep to others than usual."""
_KIND, _CONTENT, _SKY, _CAMERAS, _PROPS = range(5)


def kind_of(seed: int, number: int) -> SceneKind:
    """What scene ``number`` of ``seed`` shows unless told otherwise."""
    rng = np.random.default_rng([seed, number, _KIND])
    return list(KINDS)[int(rng.choice(len(KINDS), p=list(KINDS.values())))]


def compose(
    seed: int,
    number: int,
    *,
    kind: SceneKind | None = None,
    width_px: int = 384,
    height_px: int = 288,
    candidates: int = 24,
    tiles: Sequence[Texture] = (),
    library: Sequence[Entry] = (),
) -> Scene:
    """Scene ``number`` of ``seed``, the same for ever, with at most ``candidates`` views to choose from.

    ``tiles``: further tileable sRGB pictures for walls, floors and facades. ``library``: models that stand for about
    half of the objects; their attributions are the scene's credits. Raises ValueError for an unknown kind, a
    negative seed or number, or fewer than one candidate.
    """
    if kind is not None and kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; allowed are {', '.join(KINDS)}")
    if seed < 0 or number < 0:
        raise ValueError(f"seed is {seed} and number {number}; both must be 0 or more")
    if candidates < 1:
        raise ValueError(f"{candidates} candidate views were asked for; allowed is 1 or more")
    kind = kind or kind_of(seed, number)
    props = Props(library, np.random.default_rng([seed, number, _PROPS])) if library else None
    palette = Palette(np.random.default_rng([seed, number, _CONTENT]), tiles, props)
    rng = np.random.default_rng([seed, number, _CAMERAS])

    def camera(least_deg: float, most_deg: float) -> Camera:
        return any_camera(rng, width_px, height_px, fov_deg=(least_deg, most_deg))

    stage, views = _built(kind, palette, rng, camera, candidates)
    sky_rng = np.random.default_rng([seed, number, _SKY])
    sky = _sky(sky_rng, stage)
    meshes = merged(stage.parts)
    credits = props.credits_of(meshes) if props else ()
    return Scene(kind, meshes, sky, views, credits, _LIMITS.get(kind, Limits()))


def _sky(rng: np.random.Generator, stage: Stage) -> Sky:
    """Any weather outdoors; at night in rooms that have no daylight."""
    if stage.dark_outside:
        return sky_of(rng, "night")
    weather = any_weather(rng)
    return sky_of(rng, "overcast" if weather == "night" else weather)


def _built(
    kind: SceneKind, palette: Palette, rng: np.random.Generator, camera: proposals.NewCamera, count: int
) -> tuple[Stage, list[View]]:
    if kind == "room":
        stage, height = room(palette)
        return stage, proposals.in_room(stage, height, rng, camera, count)
    if kind == "corridor":
        stage, height = corridor(palette)
        return stage, proposals.in_corridor(stage, height, rng, camera, count)
    if kind == "street":
        stage, half, _ = streets.street(palette)
        return stage, proposals.in_street(stage, half, rng, camera, count)
    if kind == "drive":
        stage, roof = roads.road(palette)
        return stage, proposals.from_car(roof, rng, camera, count)
    if kind == "landscape":
        stage, ground, sea = landscapes.landscape(palette)
        return stage, proposals.in_landscape(stage, ground, sea, rng, camera, count)
    if kind == "tabletop":
        stage, surface, height = tabletops.table_scene(palette, crowded=bool(palette.rng.random() < 0.75))
        return stage, proposals.of_table(stage, surface, rng, camera, count)
    if kind == "overhead":
        stage, surface, height = tabletops.overhead_scene(palette)
        return stage, proposals.from_above(stage, surface, height, rng, camera, count)
    if kind == "workplace":
        stage, surface, height = tabletops.workplace(palette)
        return stage, proposals.over_workplace(stage, surface, height, rng, camera, count)
    if kind == "crops":
        stage, ground, rows = crop_rows(palette)
        return stage, proposals.between_rows(ground, rows, rng, camera, count)
    if kind == "shelf":
        stage, bays = shelf_room(palette)
        return stage, in_hand.before_bays(stage, bays, rng, camera, count)
    if kind == "hall":
        stage, height = hall(palette)
        return stage, on_floor.over_floor(stage, height, rng, camera, count)
    return _portrait(palette, rng, camera, count)


def _portrait(
    palette: Palette, rng: np.random.Generator, camera: proposals.NewCamera, count: int
) -> tuple[Stage, list[View]]:
    """A sitter in a landscape, on a street or in a room."""
    who = portraits.sitter(palette)
    content = palette.rng
    yaw = float(content.uniform(0, 2 * np.pi))
    spot = footprint_of(placed(who.parts, yaw_rad=yaw))
    background = content.choice(3, p=[0.6, 0.4, 0.0] if who.outdoors else [0.35, 0.2, 0.45])
    if background == 0:
        theme = ("meadow", "garden", "forest", "coast", "farmland")[
            int(content.choice(5, p=[0.25, 0.3, 0.2, 0.15, 0.1]))
        ]
        stage, ground, _ = landscapes.landscape(palette, theme)
        at = np.array([0.0, 0.0, height_at(ground)])
    elif background == 1:
        stage, half, kerb = streets.street(palette)
        at = _free_place(stage, spot, ((-half - 1.2, half + 1.2), (-8.0, 12.0)), content)
        at[2] = kerb if abs(at[0]) > half else 0.0
    else:
        stage, _ = room(palette)
        at = _free_place(stage, spot, (stage.x_m, stage.y_m), content)
        stage.clear_away((float(at[0]), float(at[1])), float(np.max(np.abs([spot.x_m, spot.y_m]))))
    stage.parts += people.merged_person(placed(who.parts, (at[0], at[1], at[2]), yaw_rad=yaw))
    return stage, proposals.of_sitter(stage, who, at, yaw, rng, camera, count)


def _free_place(
    stage: Stage, spot: Footprint, reach: tuple[tuple[float, float], tuple[float, float]], rng: np.random.Generator
) -> Float[np.ndarray, 3]:
    """A point of the ground within ``reach`` where a body fits, or some point when it fits nowhere."""
    x, y = 0.0, 0.0
    for _ in range(150):
        x, y = float(rng.uniform(*reach[0])), float(rng.uniform(*reach[1]))
        if stage.free(spot.shifted(x, y), 0.05):
            break
    margin = 0.5 * max(spot.x_m[1] - spot.x_m[0], spot.y_m[1] - spot.y_m[0])
    (x0, x1), (y0, y1) = stage.x_m, stage.y_m
    x, y = (
        np.clip(x, min(x0 + margin, x1 / 2), max(x1 - margin, x1 / 2)),
        np.clip(y, min(y0 + margin, y1 / 2), max(y1 - margin, y1 / 2)),
    )
    return np.array([x, y, 0.0])
