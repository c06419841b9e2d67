"""Small pictures of every kind that curt decodes, made anew from a seed.

Lossless ones are held level for level. For those that lose something, `<name>.decoded.png` has what Pillow makes of
them: decoders differ there, and the rest of the way to a tensor is held from that picture on.
"""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps

SEED = 20261128
LARGE = (5472, 3648)  # 20 megapixels
BLOCK = 64  # pixels of one colour in the large picture: rows repeat, so that the file stays small

# Those that Pillow reads to other levels than curt may.
LOSSY = ("photo.jpg", "cmyk.jpg", "lossy.webp")


def build(folder: Path) -> None:
    """Writes all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    smooth = Image.fromarray(rng.integers(0, 256, (8, 12, 3), dtype=np.uint8)).resize((120, 80), Image.Resampling.BICUBIC)
    noise = Image.fromarray(rng.integers(0, 256, (37, 61, 3), dtype=np.uint8))
    alpha = noise.copy()
    alpha.putalpha(Image.fromarray(rng.integers(0, 256, (37, 61), dtype=np.uint8)))

    Image.new("RGB", (1, 1), (200, 100, 50)).save(folder / "dot.png")
    Image.fromarray(rng.integers(0, 256, (50, 33), dtype=np.uint8)).save(folder / "grey.png")
    alpha.save(folder / "alpha.png")
    noise.quantize(16).save(folder / "palette.bmp")
    noise.resize((1500, 3)).save(folder / "wide.png")
    grey16 = rng.integers(0, 65536, (30, 40), dtype=np.uint16)
    Image.fromarray(grey16).save(folder / "grey16.png")
    (folder / "deep.png").write_bytes(png_of_16_bits(rng.integers(0, 65536, (30, 40, 3), dtype=np.uint16)))
    frames = [noise.quantize(8), smooth.resize(noise.size).quantize(8)]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:], transparency=3, duration=100)
    smooth.save(folder / "lossless.webp", lossless=True)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned a quarter to the right when shown
    smooth.save(folder / "turned.png", exif=exif)
    smooth.save(folder / "photo.jpg", quality=85, exif=exif, icc_profile=profile())
    smooth.convert("CMYK").save(folder / "cmyk.jpg", quality=90)
    smooth.save(folder / "lossy.webp", quality=80)
    blocks = rng.integers(0, 256, (LARGE[1] // BLOCK, -(-LARGE[0] // BLOCK), 3), dtype=np.uint8)
    large = blocks.repeat(BLOCK, axis=0).repeat(BLOCK, axis=1)[: LARGE[1], : LARGE[0]]
    Image.fromarray(large).save(folder / "large.png", optimize=True)
    for name in LOSSY:
        open_upright(folder / name).save(folder / f"{name}.decoded.png")


def open_upright(file: Path) -> Image.Image:
    """A picture as transformers loads it from a file: turned as its EXIF says, its first frame.

    But for grey of 16 bits, of which Pillow makes white whatever is above 255 of 65,535: it gets what Pillow gives colours
    of 16 bits, the upper byte of each level.
    """
    picture = ImageOps.exif_transpose(Image.open(file))
    if picture.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    # Its mode stays: the processor puts what is transparent on white.
    return picture.convert("RGB") if file.name in LOSSY else picture


def png_of_16_bits(levels: np.ndarray) -> bytes:
    """Pillow reads colours of 16 bits and does not write them."""
    height, width, _ = levels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def profile() -> bytes:
    made = io.BytesIO()
    made.write(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    return made.getvalue()
