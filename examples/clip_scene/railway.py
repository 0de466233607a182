"""The train with its turning wheels and its smoke, and what stands beside the line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from clip_scene.landscape import RAIL
from clip_scene.painting import Drawing, Picture, layer, mix, noise, over, rgb

WHEEL_RADIUS = 42


def draw_track() -> Picture:
    """Ballast, sleepers and two rails, repeating every 960 pixels."""
    drawing = Drawing(960, 54)
    drawing.polygon([(0, 10), (960, 10), (960, 54), (0, 54)], rgb(122, 110, 100))
    random = np.random.default_rng(41)
    for x, y in zip(random.uniform(0, 960, 2600), random.uniform(12, 53, 2600), strict=True):
        drawing.ellipse(x, y, 3.2, 2.2, rgb(1, 0.95, 0.9) * random.uniform(70, 175))
    for x in range(0, 960, 40):
        drawing.polygon([(x + 6, 15), (x + 24, 15), (x + 20, 40), (x, 40)], rgb(78, 62, 52))
    for y, colour in ((14, rgb(96, 84, 80)), (30, rgb(120, 104, 96))):
        drawing.box(0, y, 960, y + 5, colour)
        drawing.box(0, y, 960, y + 1.6, rgb(226, 214, 204))
    return drawing.sprite(0.07, 42)


def draw_wheel(radius: int, spokes: int, colour: Picture) -> Picture:
    """A wheel with its axle in the middle."""
    drawing = Drawing(2 * radius + 4, 2 * radius + 4, radius + 2, radius + 2)
    drawing.ellipse(0, 0, radius, radius, rgb(168, 160, 156))
    drawing.ellipse(0, 0, radius - 2.5, radius - 2.5, rgb(40, 38, 40))
    drawing.ellipse(0, 0, radius - 6, radius - 6, colour)
    hole = rgb(34, 28, 28)
    for spoke in range(spokes):
        angles = 2 * np.pi * (spoke + np.linspace(0.16, 0.84, 12)) / spokes
        outer = (radius - 10) * np.stack([np.cos(angles), np.sin(angles)], 1)
        inner = radius * 0.3 * np.stack([np.cos(angles[::-1]), np.sin(angles[::-1])], 1)
        drawing.polygon(np.concatenate([outer, inner]), hole)
    drawing.ellipse(0, 0, radius * 0.16, radius * 0.16, rgb(220, 190, 120))
    return drawing.sprite(0.03, radius)


GREEN, BLACK, BRASS = rgb(38, 92, 62), rgb(52, 50, 54), rgb(226, 178, 84)
RED, CREAM, MAROON = rgb(196, 48, 40), rgb(244, 226, 186), rgb(140, 40, 46)
DRIVERS, LEADER, TENDER_WHEELS = (92, 182, 272), 342, (-112, -66, -20)
CARRIAGE, CARRIAGE_WHEELS = 372, (46, 96, 276, 326)
# Where the chimney stands, from the cab's back.
CHIMNEY = 344


def draw_engine() -> Picture:
    """Engine and tender without wheels; the origin is on the rail under the cab's back."""
    art = Drawing(540, 240, 150, 226)
    art.box(-138, -134, 4, -48, GREEN)
    art.box(-138, -124, 4, -120, BRASS)
    art.box(-138, -62, 4, -48, BLACK)
    random = np.random.default_rng(51)
    for x in random.uniform(-130, -8, 170):
        art.ellipse(
            x,
            -136 - random.uniform(-4, 14) * (1 - ((x + 68) / 76) ** 2),
            7,
            6,
            rgb(1, 1, 1.06) * random.uniform(26, 70),
        )
    art.box(4, -74, 14, -62, BLACK)
    art.box(100, -154, 346, -76, GREEN, rounded=True)
    for x in (136, 190, 244, 298):
        art.box(x, -154, x + 5, -76, BRASS, rounded=True)
    art.box(318, -158, 364, -72, BLACK, rounded=True)
    art.ellipse(364, -115, 8, 43, rgb(44, 42, 46))
    art.polygon(
        [(331, -156), (334, -196), (326, -208), (362, -208), (354, -196), (357, -156)], BLACK
    )
    art.box(325, -212, 363, -206, BRASS)
    art.polygon(
        [(214, -150), (214, -168), (222, -180), (244, -180), (252, -168), (252, -150)], BRASS
    )
    art.ellipse(228, -172, 4, 6, rgb(255, 236, 180))
    art.box(284, -166, 296, -150, BRASS)
    art.box(16, -196, 104, -66, GREEN)
    art.box(22, -190, 98, -130, BRASS)
    art.box(25, -187, 95, -133, GREEN)
    art.box(34, -182, 60, -138, rgb(96, 122, 140))
    art.box(66, -182, 90, -138, rgb(120, 146, 160))
    art.polygon([(34, -182), (48, -182), (34, -152)], rgb(190, 206, 210))
    art.polygon([(4, -194), (12, -204), (100, -204), (116, -194)], BLACK)
    art.box(14, -76, 380, -66, BLACK)
    art.box(14, -68, 380, -65, RED)
    art.box(304, -64, 372, -30, BLACK, rounded=True)
    art.box(372, -76, 380, -44, RED)
    art.box(380, -66, 389, -54, rgb(120, 116, 116))
    art.ellipse(372, -166, 8, 9, BRASS)
    art.ellipse(374, -166, 5, 6, rgb(255, 250, 214))
    return art.sprite(0.05, 52)


def draw_carriage() -> Picture:
    """A carriage without wheels; the origin is on the rail under its back."""
    art = Drawing(CARRIAGE, 240, 0, 226)
    art.box(0, -52, CARRIAGE, -40, BLACK)
    art.box(4, -166, CARRIAGE - 4, -50, MAROON)
    art.box(4, -160, CARRIAGE - 4, -100, CREAM)
    art.box(4, -100, CARRIAGE - 4, -97, BRASS)
    for x in range(20, CARRIAGE - 40, 56):
        art.box(x, -154, x + 38, -108, rgb(112, 74, 44))
        art.box(x + 3, -151, x + 35, -110, rgb(70, 92, 112))
        art.polygon([(x + 3, -151), (x + 24, -151), (x + 3, -122)], rgb(196, 206, 202))
        art.box(x + 3, -116, x + 35, -110, rgb(255, 214, 130))
        art.box(x - 10, -160, x - 8, -52, rgb(96, 30, 36))
    art.polygon(
        [(0, -164), (12, -184), (CARRIAGE - 12, -184), (CARRIAGE, -164)],
        rgb(92, 88, 92),
        rounded=True,
    )
    art.box(0, -168, CARRIAGE, -164, rgb(60, 56, 60))
    return art.sprite(0.04, 53)


class Train:
    """Engine, tender and carriages, with everything on them that turns."""

    def __init__(self) -> None:
        self.engine, self.carriage = draw_engine(), draw_carriage()
        self.driver = draw_wheel(WHEEL_RADIUS, 6, RED)
        self.small = draw_wheel(24, 4, rgb(96, 82, 78))

    def wheel(self, canvas: Picture, sprite: Picture, x: float, travel: float) -> None:
        """Draw a wheel with its axle at `x`, turned as far as the way has turned it."""
        side = sprite.shape[0]
        radius = side / 2 - 2
        turn = cv2.getRotationMatrix2D(((side - 1) / 2,) * 2, -np.degrees(travel / radius), 1)
        over(
            canvas,
            cv2.warpAffine(sprite, turn, (side, side)),
            x - side / 2,
            RAIL - radius - side / 2,
        )

    def draw(self, canvas: Picture, x: float, travel: float) -> None:
        """Draw it with the cab's back at `x` after `travel` pixels of way."""
        for number in range(4):
            left = x - 150 - (number + 1) * (CARRIAGE + 8)
            for wheel in CARRIAGE_WHEELS:
                self.wheel(canvas, self.small, left + wheel, travel)
            over(canvas, self.carriage, left, RAIL - 226)
        for wheel in (*TENDER_WHEELS, LEADER):
            self.wheel(canvas, self.small, x + wheel, travel)
        over(canvas, self.engine, x - 150, RAIL - 226)
        for wheel in DRIVERS:
            self.wheel(canvas, self.driver, x + wheel, travel)
        self.rods(canvas, x, travel / WHEEL_RADIUS)

    def rods(self, canvas: Picture, x: float, turn: float) -> None:
        """Draw the rod that couples the driving wheels and the one that drives them."""
        crank = 21 * np.array([np.cos(turn), np.sin(turn)])
        pins = [np.array([x + wheel, RAIL - WHEEL_RADIUS]) + crank for wheel in DRIVERS]
        piston = np.array([pins[1][0] + 136, RAIL - 47])
        for start, end, thick in ((pins[0], pins[2], 9), (pins[1], piston, 7)):
            line(canvas, start, end, thick + 3, rgb(60, 56, 58))
            line(canvas, start, end, thick, rgb(206, 200, 196))
        for pin in pins:
            line(canvas, pin, pin, 11, rgb(120, 112, 110))


def line(canvas: Picture, start: Any, end: Any, thick: int, colour: Picture) -> None:
    """A bar with round ends; ends may lie between pixels."""
    first, last = (tuple(np.round(np.asarray(p) * 16).astype(int).tolist()) for p in (start, end))
    cv2.line(canvas, first, last, colour.tolist(), thick, cv2.LINE_8, shift=4)


def draw_puff(seed: int) -> Picture:
    """A ball of smoke."""
    side = 256
    rows, columns = np.mgrid[:side, :side] / (side / 2) - 1
    bumps = 0.12 * noise(side, side, 1.8, seed) + 0.03 * noise(side, side, 1.2, seed + 1)
    body = np.clip((0.74 - np.hypot(rows, columns) + bumps) / 0.3, 0, 1)
    body = body * body * (3 - 2 * body) * np.clip((0.99 - np.hypot(rows, columns)) / 0.12, 0, 1)
    light = 0.62 - 0.38 * (rows - columns * 0.7) + 1.3 * bumps
    colour = mix(rgb(136, 128, 138), rgb(255, 244, 226), light[..., None])
    return layer(colour, body)


class Smoke:
    """Puffs that leave the chimney at every beat, fall behind, rise, grow and thin out."""

    LIFE_SECONDS = 3.6

    def __init__(self, beat_seconds: float) -> None:
        self.beat_seconds = beat_seconds
        self.puffs = [draw_puff(61 + 2 * number) for number in range(5)]

    def draw(
        self, canvas: Picture, time: float, chimney: Callable[[float], float], speed: float
    ) -> None:
        """Draw what hangs in the air at `time`.

        Args:
            canvas: What it is drawn on.
            time: Seconds; puffs from before the start are there too.
            chimney: Where the chimney is at a time, across the canvas.
            speed: Pixels a second at which the air passes.
        """
        first = int(np.ceil((time - self.LIFE_SECONDS) / self.beat_seconds))
        last = int(np.floor(time / self.beat_seconds))
        for beat in range(first, last + 1):
            born = beat * self.beat_seconds
            age = time - born
            # At first it keeps some of the train's way.
            x = chimney(born) - speed * age + 0.65 * speed * (1 - np.exp(-1.6 * age)) / 1.6
            y = RAIL - 222 - 74 * age**0.66
            side = int(44 + 100 * age**0.6)
            thin = 0.96 * (1 - age / self.LIFE_SECONDS) ** 0.8 * min(age / 0.06, 1)
            turn = 25 * np.sin(beat * 2.4) + 3 * age
            puff = self.puffs[beat % len(self.puffs)]
            middle = (puff.shape[0] - 1) / 2
            move = cv2.getRotationMatrix2D((middle, middle), turn, side / puff.shape[0])
            move[:, 2] += side / 2 - middle
            sprite = cv2.warpAffine(puff, move, (side, side), flags=cv2.INTER_LINEAR)
            over(canvas, sprite * np.float32(thin), x - side / 2, y - side / 2)


def blurred(sprite: Picture, length: float) -> Picture:
    """What a shutter makes of a layer that moves by `length` pixels while it is open."""
    return cv2.blur(sprite, (max(int(length), 1), 1), borderType=cv2.BORDER_REPLICATE)


def draw_fence() -> Picture:
    """Posts, two rails and tall grass close to the camera, repeating every 1680 pixels."""
    width, height = 1680, 230
    drawing = Drawing(width, height)
    random = np.random.default_rng(71)
    for y in (70, 122):
        drawing.box(0, y, width, y + 15, rgb(112, 88, 66))
        drawing.box(0, y, width, y + 4, rgb(186, 152, 112))
    for x in range(70, width, 240):
        drawing.box(x, 38, x + 26, height, rgb(94, 74, 58))
        drawing.box(x + 18, 38, x + 26, height, rgb(178, 142, 104))
        drawing.polygon([(x, 40), (x + 13, 26), (x + 26, 40)], rgb(150, 118, 86))
    for x in random.uniform(10, width - 10, 1500):
        tall, lean = random.uniform(20, 92), random.uniform(-16, 16)
        green = mix(rgb(28, 44, 24), rgb(128, 134, 54), random.uniform() ** 2)
        drawing.polygon([(x - 3, height), (x + lean, height - tall), (x + 3, height)], green)
    return drawing.sprite(0.12, 72)


def draw_pole() -> Picture:
    """A telegraph pole."""
    drawing = Drawing(190, 560)
    drawing.box(86, 14, 104, 560, rgb(80, 64, 54))
    drawing.box(98, 14, 104, 560, rgb(164, 130, 100))
    for y in (44, 84):
        drawing.box(10, y, 180, y + 11, rgb(86, 68, 56))
        for x in (16, 56, 124, 164):
            drawing.box(x, y - 15, x + 11, y, rgb(206, 222, 218))
    return drawing.sprite(0.08, 73)
