"""The country that the train runs through: sky, mountains, woods, trees, and a meadow."""

from __future__ import annotations

import cv2
import numpy as np

from clip_scene.painting import HEIGHT, WIDTH, Drawing, Picture, layer, mix, noise, rgb

HORIZON = 380
# The row of the meadow that passes at the camera's speed: there the rails lie.
RAIL = 590

HAZE = rgb(244, 214, 178)


def draw_sky() -> Picture:
    """Blue above, gold at the horizon, and a low sun."""
    down = np.linspace(0, 1, HORIZON + 40, dtype=np.float32)[:, None, None]
    sky = mix(rgb(66, 112, 168), rgb(176, 196, 200), down * 1.6)
    sky = mix(sky, rgb(255, 212, 158), down * 2.2 - 1.1)
    rows, columns = np.mgrid[: HORIZON + 40, :WIDTH]
    distance = np.hypot(columns - 930, (rows - 300) * 1.1)[..., None]
    sky = mix(sky, rgb(255, 226, 170), 0.75 * np.exp(-distance / 190))
    return np.asarray(mix(sky, rgb(255, 250, 226), (44 - distance) / 3), np.float32)


def draw_clouds() -> Picture:
    """Long thin clouds."""
    height, width = 330, 1800
    short = noise(height, width // 3, 2.0, 11) + 0.12 * noise(height, width // 3, 1.3, 12)
    pattern = cv2.resize(short, (width, height), interpolation=cv2.INTER_CUBIC)
    fade = np.sin(np.linspace(0, 1, height) * np.pi)[:, None] ** 0.8
    thick = np.clip((pattern - 0.1) / 1.6, 0, 1) * fade
    # Lit from the right and from below: the sun stands low.
    relief = cv2.GaussianBlur(np.roll(thick, (-9, -14), (0, 1)) - thick, (0, 0), 3)
    colour = mix(rgb(196, 184, 192), rgb(255, 240, 216), 0.6 - 2.4 * relief[..., None])
    return layer(colour, 0.85 * thick)


def draw_ridge(height: int, width: int, roughness: float, seed: int, floor: float) -> Picture:
    """Row of a skyline for each column, in pixels from the top of a layer of `height` rows."""
    line = noise(1, width, roughness, seed)[0]
    line = (line - line.min()) / (line.max() - line.min())
    return np.asarray(height * (1 - floor - (1 - floor) * 0.94 * line), np.float32)


def below(line: Picture, height: int) -> Picture:
    """Opacity of what lies under a skyline, (height, width)."""
    depth = np.arange(height, dtype=np.float32)[:, None] - line[None, :]
    return np.asarray(np.clip(depth + 0.5, 0, 1), np.float32)


def draw_mountains() -> Picture:
    """A range with snow on its heights and haze at its foot."""
    height, width = 210, 2048
    line = draw_ridge(height, width, 1.55, 21, 0.3)
    rock = noise(height, width, 1.45, 22)
    relief = np.roll(rock, (-3, 5), (0, 1)) - rock
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    colour = mix(rgb(70, 84, 122), rgb(168, 152, 156), 0.5 + 2.2 * relief[..., None])
    depth = np.arange(height)[:, None] - line[None, :]
    snow = np.clip((46 - depth + 24 * rock - 0.42 * line[None, :]) / 10, 0, 1)
    colour = mix(
        colour,
        mix(rgb(190, 200, 222), rgb(255, 246, 232), 0.5 + 2 * relief[..., None]),
        snow[..., None],
    )
    return layer(mix(colour, HAZE, 0.12 + 0.6 * down), below(line, height))


def draw_forest(height: int, tree: int, floor: float, seed: int, haze: float) -> Picture:
    """A wooded hill: its skyline, and rows of firs down its slope."""
    width = 2048
    random = np.random.default_rng(seed)
    line = draw_ridge(height - tree, width, 1.7, seed, floor) + tree
    picture = layer(
        np.full((height, width, 3), mix(rgb(40, 66, 46), HAZE, haze)), below(line, height)
    )
    slope = noise(height, width, 1.5, seed + 1)
    for row in np.arange(0, 1, 0.045):
        for x in np.arange(0, width, tree * 0.36):
            column = int(x + random.uniform(-0.3, 0.3) * tree) % width
            foot = mix(line[column] + 2, height + tree * 0.5, row)
            tall = tree * random.uniform(0.6, 1.1)
            if slope[min(int(foot), height - 1), column] < -0.9:
                continue  # A clearing.
            green = mix(rgb(30, 58, 44), rgb(104, 112, 58), random.uniform(0, 0.8) * (0.35 + row))
            green = mix(green, HAZE, haze * (1 - 0.4 * row))
            for shade, side in ((0.74, -1), (1.12, 1)):
                half = [(column, foot - tall), (column + side * tall * 0.24, foot), (column, foot)]
                points = [np.round(np.array(half) * 16).astype(np.int32)]
                cv2.fillPoly(
                    picture, points, (*np.minimum(green * shade, 255).tolist(), 1), shift=4
                )
    return picture


def draw_trees(seed: int) -> Picture:
    """Lone broad-leaved trees that stand in the meadow."""
    height, width = 170, 2048
    random = np.random.default_rng(seed)
    drawing = Drawing(width, height)
    for x in (130, 215, 300, 700, 990, 1060, 1400, 1480, 1800):
        tall = random.uniform(95, 150)
        foot = height - 6
        drawing.ellipse(x - 10, foot + 1, tall * 0.3, 4, rgb(82, 88, 44))
        bark = [
            (x - 5, foot),
            (x - 2, foot - tall * 0.6),
            (x + 2, foot - tall * 0.6),
            (x + 5, foot),
        ]
        drawing.polygon(bark, rgb(66, 52, 42))
        boughs = random.normal(0, 1, (9, 2)) * [tall * 0.15, tall * 0.13]
        leaves = boughs[random.integers(9, size=620)] + random.normal(0, 0.062 * tall, (620, 2))
        # From the shade on the left and below to the light: the sun is on the right.
        for dx, dy in leaves[np.argsort(leaves[:, 0] - leaves[:, 1])]:
            lit = 0.35 + 1.1 * (dx - dy) / tall + random.uniform(-0.14, 0.14)
            leaf = mix(mix(rgb(34, 56, 36), rgb(150, 152, 70), lit), HAZE, 0.1)
            across, down = random.uniform(2, 5, 2)
            drawing.ellipse(x + dx, foot - tall * 0.62 + dy, across, down, leaf)
    return drawing.sprite(0.08, seed)


class Ground:
    """A meadow that lies flat: near rows pass faster than far ones."""

    def __init__(self) -> None:
        side = 1024
        grass = 0.7 * noise(side, side, 0.75, 31) + 0.8 * noise(side, side, 1.5, 32)
        colour = mix(rgb(74, 92, 40), rgb(178, 172, 88), 0.5 + 0.24 * grass[..., None])
        dry = np.clip(noise(side, side, 1.9, 33)[..., None] - 0.3, 0, 1)
        colour = mix(colour, rgb(206, 180, 104), 0.55 * dry)
        flowers = np.random.default_rng(34).random((side // 4, side // 4)) > 0.985
        field = np.kron(flowers, np.ones((4, 4)))[..., None] * np.clip(0.7 - dry, 0, 1)
        self.texture = mix(colour, rgb(250, 240, 214), field).astype(np.float32)

        rows = np.arange(HORIZON, HEIGHT, dtype=np.float32)
        near = (rows - HORIZON + 0.5) / (RAIL - HORIZON)
        self.near = near[:, None]
        columns = np.arange(WIDTH, dtype=np.float32)[None, :]
        self.across = ((columns - WIDTH / 2) / self.near).astype(np.float32)
        self.along = np.broadcast_to(260 / self.near, self.across.shape).astype(np.float32)

    def speed(self, row: int) -> float:
        """How fast a row passes, where the rail's is 1."""
        return float(self.near[row - HORIZON, 0])

    def draw(self, canvas: Picture, camera: float) -> None:
        """Draw it for a camera that has run `camera` pixels along the line."""
        where = np.mod(self.across + camera, 1024).astype(np.float32)
        field = cv2.remap(
            self.texture,
            where,
            np.mod(self.along, 1024),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_WRAP,
        )
        # Far rows hold many texels a pixel: they take their mean colour, in the haze.
        detail = np.clip(self.near * 1.7 - 0.25, 0, 1)[..., None]
        field = mix(self.texture.mean((0, 1)), field, detail)
        field = mix(mix(field, HAZE, 0.55), field, np.clip(self.near * 2.2, 0, 1)[..., None])
        canvas[HORIZON:] = field * mix(1.04, 0.72, np.clip(self.near - 0.9, 0, 1))[..., None]
