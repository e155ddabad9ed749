"""Draw the pictures that ship as inputs of the tasks that look: `picture-NN.png` and `pictures.json`.

    python tools/make_pictures.py src/joulemark/workloads/inputs

Simple scenes of 640 by 480 pixels, made by this code alone and given away under CC0-1.0. What is drawn is known, so the
file says where each thing is (boxes in pixels: left, top, right, bottom), what it is called (by the names of COCO and
ImageNet where they have one) and what the picture shows. Needs Pillow.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image, ImageDraw

WIDTH, HEIGHT = 640, 480
Box = tuple[int, int, int, int]
Thing = tuple[str, Box]
Colour = tuple[int, int, int]

SKY: tuple[Colour, Colour] = ((120, 170, 230), (215, 232, 248))
WALL: tuple[Colour, Colour] = ((238, 228, 208), (214, 200, 176))
GRASS: Colour = (84, 148, 68)
WOOD: Colour = (150, 104, 62)


def background(between: tuple[Colour, Colour], ground: Colour | None = None, horizon: int = 330) -> Image.Image:
    """Give a canvas whose colour runs from top to bottom, with a ground below the horizon if it has a colour."""
    picture = Image.new("RGB", (WIDTH, HEIGHT))
    draw = ImageDraw.Draw(picture)
    for y in range(HEIGHT):
        share = y / (HEIGHT - 1)
        colour = tuple(round(a + (b - a) * share) for a, b in zip(*between, strict=True))
        draw.line((0, y, WIDTH, y), fill=colour)
    if ground is not None:
        draw.rectangle((0, horizon, WIDTH, HEIGHT), fill=ground)
    return picture


def traffic_light() -> tuple[Image.Image, list[Thing]]:
    """A traffic light that shows red."""
    picture = background(SKY, (120, 120, 124), 400)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((312, 330, 328, 440), fill=(70, 70, 74))
    box = (262, 70, 378, 330)
    draw.rounded_rectangle(box, 18, fill=(38, 40, 42))
    for top, colour in ((84, (232, 44, 36)), (168, (92, 78, 20)), (252, (24, 70, 34))):
        draw.ellipse((286, top, 354, top + 68), fill=colour)
    return picture, [("traffic light", box)]


def stop_sign() -> tuple[Image.Image, list[Thing]]:
    """An eight-sided red sign on a pole."""
    picture = background(SKY, GRASS, 380)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((314, 270, 326, 450), fill=(130, 130, 134))
    for radius, colour in ((120, (250, 250, 250)), (110, (200, 24, 32))):
        corners = [
            (320 + radius * math.cos(angle), 180 + radius * math.sin(angle))
            for angle in (math.pi / 8 + n * math.pi / 4 for n in range(8))
        ]
        draw.polygon(corners, fill=colour)
    draw.text((320, 180), "STOP", fill=(250, 250, 250), anchor="mm", font_size=72)
    return picture, [("stop sign", (209, 69, 431, 291))]


def clock() -> tuple[Image.Image, list[Thing]]:
    """A round clock on a wall, at ten past ten."""
    picture = background(WALL)
    draw = ImageDraw.Draw(picture)
    box = (180, 100, 460, 380)
    draw.ellipse(box, fill=(60, 44, 30))
    draw.ellipse((196, 116, 444, 364), fill=(252, 252, 246))
    for hour in range(12):
        angle = hour * math.pi / 6
        x, y = math.sin(angle), -math.cos(angle)
        draw.line((320 + 104 * x, 240 + 104 * y, 320 + 118 * x, 240 + 118 * y), fill=(20, 20, 20), width=6)
    for turn, length, width in ((10 / 12 + 10 / 720, 62, 11), (10 / 60, 96, 7)):
        angle = 2 * math.pi * turn
        draw.line((320, 240, 320 + length * math.sin(angle), 240 - length * math.cos(angle)), fill=0, width=width)
    return picture, [("clock", box)]


def boat() -> tuple[Image.Image, list[Thing]]:
    """A sailing boat on a calm sea."""
    picture = background(SKY, (40, 96, 150), 280)
    draw = ImageDraw.Draw(picture)
    draw.ellipse((500, 40, 570, 110), fill=(255, 232, 120))
    draw.polygon(((200, 300), (440, 300), (400, 350), (240, 350)), fill=(120, 60, 36))
    draw.rectangle((314, 90, 320, 300), fill=(90, 60, 40))
    draw.polygon(((322, 96), (322, 286), (430, 286)), fill=(250, 248, 240))
    draw.polygon(((312, 120), (312, 286), (232, 286)), fill=(236, 232, 220))
    return picture, [("boat", (200, 90, 440, 350))]


def umbrella() -> tuple[Image.Image, list[Thing]]:
    """An open umbrella in four colours, in the rain."""
    picture = background(((96, 106, 120), (150, 158, 168)), (92, 94, 98), 410)
    draw = ImageDraw.Draw(picture)
    for n in range(90):
        x, y = (n * 97) % WIDTH, (n * 53) % 400
        draw.line((x, y, x - 5, y + 16), fill=(196, 208, 222), width=2)
    colours = ((206, 40, 48), (244, 196, 48), (40, 120, 190), (44, 150, 90))
    for n, colour in enumerate(colours):
        draw.pieslice((140, 80, 500, 400), 180 + 45 * n, 225 + 45 * n, fill=colour)
    draw.rectangle((316, 240, 324, 400), fill=(40, 40, 40))
    draw.arc((316, 376, 364, 424), 0, 180, fill=(40, 40, 40), width=8)
    return picture, [("umbrella", (140, 80, 500, 424))]


def ball() -> tuple[Image.Image, list[Thing]]:
    """A ball with black spots on a meadow."""
    picture = background(SKY, GRASS, 260)
    draw = ImageDraw.Draw(picture)
    draw.ellipse((226, 396, 430, 428), fill=(58, 110, 48))
    box = (220, 210, 420, 410)
    draw.ellipse(box, fill=(250, 250, 250), outline=(60, 60, 60), width=3)
    for x, y, size in ((320, 310, 30), (262, 262, 18), (378, 262, 18), (258, 356, 18), (382, 356, 18)):
        corners = [(x + size * math.sin(n * 1.2566), y - size * math.cos(n * 1.2566)) for n in range(5)]
        draw.polygon(corners, fill=(24, 24, 24))
    return picture, [("sports ball", box)]


def cup() -> tuple[Image.Image, list[Thing]]:
    """A blue cup with coffee on a wooden table."""
    picture = background(WALL, WOOD, 300)
    draw = ImageDraw.Draw(picture)
    draw.arc((380, 200, 480, 320), -90, 90, fill=(44, 92, 160), width=22)
    draw.polygon(((200, 170), (440, 170), (410, 380), (230, 380)), fill=(44, 92, 160))
    draw.ellipse((230, 360, 410, 400), fill=(44, 92, 160))
    draw.ellipse((200, 148, 440, 192), fill=(70, 120, 190))
    draw.ellipse((212, 154, 428, 188), fill=(66, 38, 22))
    return picture, [("cup", (200, 148, 480, 400))]


def bus() -> tuple[Image.Image, list[Thing]]:
    """A yellow bus on a road."""
    picture = background(SKY, (104, 104, 108), 360)
    draw = ImageDraw.Draw(picture)
    draw.rounded_rectangle((90, 150, 550, 380), 20, fill=(240, 186, 32))
    for n in range(5):
        left = 112 + 72 * n
        draw.rectangle((left, 180, left + 58, 250), fill=(150, 196, 226))
    draw.rectangle((476, 180, 530, 366), fill=(150, 196, 226))
    for centre in (190, 430):
        draw.ellipse((centre - 44, 336, centre + 44, 424), fill=(28, 28, 30))
        draw.ellipse((centre - 18, 362, centre + 18, 398), fill=(180, 180, 184))
    return picture, [("bus", (90, 150, 550, 424))]


def kites() -> tuple[Image.Image, list[Thing]]:
    """Two kites in the sky above a meadow."""
    picture = background(SKY, GRASS, 400)
    draw = ImageDraw.Draw(picture)
    things: list[Thing] = []
    for x, y, size, colours in (
        (200, 140, 80, ((214, 42, 60), (250, 210, 70))),
        (450, 190, 60, ((70, 60, 170), (90, 200, 180))),
    ):
        top, right, bottom, left = (x, y - size), (x + 0.7 * size, y), (x, y + 1.4 * size), (x - 0.7 * size, y)
        draw.polygon((top, right, bottom), fill=colours[0])
        draw.polygon((top, left, bottom), fill=colours[1])
        draw.line((*bottom, x + 40, 400), fill=(60, 60, 60), width=2)
        things.append(("kite", (round(left[0]), round(top[1]), round(right[0]), round(bottom[1]))))
    return picture, things


def oranges() -> tuple[Image.Image, list[Thing]]:
    """Three oranges on a wooden table."""
    picture = background(WALL, WOOD, 260)
    draw = ImageDraw.Draw(picture)
    things: list[Thing] = []
    for x, y, radius in ((180, 330, 74), (330, 350, 80), (480, 325, 70)):
        box = (x - radius, y - radius, x + radius, y + radius)
        draw.ellipse((x - radius, y + radius - 16, x + radius, y + radius + 12), fill=(116, 78, 44))
        draw.ellipse(box, fill=(240, 140, 24))
        draw.ellipse((x - radius // 2, y - radius // 2, x - radius // 4, y - radius // 4), fill=(252, 190, 110))
        draw.ellipse((x - 6, y - radius + 6, x + 6, y - radius + 18), fill=(70, 100, 40))
        things.append(("orange", box))
    return picture, things


# What is drawn, what classifiers may call it (the first is ImageNet's word), and what it shows. Kites have no word:
# ImageNet knows the bird only.
SCENES: tuple[tuple[Callable[[], tuple[Image.Image, list[Thing]]], tuple[str, ...], str], ...] = (
    (traffic_light, ("traffic light", "traffic signal", "stoplight"), "a traffic light that shows red"),
    (stop_sign, ("street sign", "stop sign"), "a red stop sign in front of a blue sky"),
    (clock, ("analog clock", "wall clock", "clock"), "a round clock on a wall that shows ten past ten"),
    (boat, ("yawl", "boat", "sailboat"), "a sailing boat on a calm blue sea"),
    (umbrella, ("umbrella",), "a colourful open umbrella in the rain"),
    (ball, ("soccer ball", "football", "sports ball", "ball"), "a black and white ball on a green meadow"),
    (cup, ("cup", "coffee mug"), "a blue cup of coffee on a wooden table"),
    (bus, ("school bus", "minibus", "bus"), "a yellow bus on a grey road"),
    (kites, (), "two colourful kites in the sky above a green meadow"),
    (oranges, ("orange",), "three oranges on a wooden table"),
)


def main() -> None:
    """Draw all of them into a folder."""
    parser = argparse.ArgumentParser(description="Draw the pictures that ship as inputs.")
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    lines = ",\n".join("    " + json.dumps(record) for record in _drawn(folder))
    document = f'{{\n  "licence": "CC0-1.0",\n  "items": [\n{lines}\n  ]\n}}\n'
    (folder / "pictures.json").write_text(document, encoding="utf-8")


def _drawn(folder: Path) -> Iterator[dict[str, object]]:
    for number, (scene, labels, caption) in enumerate(SCENES, start=1):
        name = f"picture-{number:02d}"
        picture, things = scene()
        # 128 colours are enough for drawings, and a sixth of the bytes.
        picture.quantize(128, dither=Image.Dither.NONE).save(folder / f"{name}.png", optimize=True)
        yield {"id": name, "file": f"{name}.png", "labels": labels, "objects": things, "caption": caption}


if __name__ == "__main__":
    main()
