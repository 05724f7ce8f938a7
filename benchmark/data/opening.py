"""Opening one image file that came from somewhere else.

A file is looked at before it is trusted: it must be a regular file, PNG, JPEG or BMP by its first bytes whatever its
name ends in, and its header must not claim more than ``LIMIT`` pixels. Only then is it decoded, to uint8 RGB.

What is converted, and told to the caller:

==========================  =====================================================================================
grey                        three equal channels, or refused if the caller needs colour
palette                     the palette's colours
16 bits per channel (PNG)   divided by 257 and rounded, so that 0 and 65535 become 0 and 255
alpha channel               dropped where everything is opaque; any transparency is refused, for the colour of a
                            transparent pixel depends on a background that is not known
CMYK (JPEG)                 RGB by Pillow's formula, without the colour profile
EXIF orientation (JPEG)     the picture is turned upright; :func:`size` is that of the upright picture
==========================  =====================================================================================

Other colour profiles and gamma values are left alone, as restoration papers do: pixel values are taken as stored. What
else a file carries (profiles, texts, EXIF, animation frames) is not looked at, however large or damaged it is.
"""

import bisect
import io
import itertools
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from PIL import ExifTags, Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from benchmark.core.errors import UserError
from benchmark.core.files import regular

LIMIT = 100_000_000
"""Pixels that an image may have; 300 MB once decoded."""

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp")
"""Endings, in lower case, by which image files are found in folders."""

Grey = Literal["convert", "refuse"]

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_KINDS: dict[bytes, type[ImageFile.ImageFile]] = {
    _PNG: PngImageFile,
    _JPEG: JpegImageFile,
    b"BM": BmpImageFile,
}
_GREY_MODES = {"1", "L", "LA", "I", "I;16"}
_LOW_BYTES = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L"}
_STEPS = {"L;2": 85, "L;4": 17}
"""Grey levels from one value to the next in a PNG of 2 or 4 bits, by Pillow's name for its layout."""
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation to what turns the picture upright."""
_SIDEWAYS = {5, 6, 7, 8}
_READ = 2**20
"""Bytes that are read at once where checksums are compared."""
_PIXEL_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_SEGMENTS = {*range(0xC0, 0xD0), *range(0xDB, 0xF0), 0xFE}
"""Markers of the segments that may stand in a JPEG file before its pixels; each is followed by its length."""
_COMMENTS = {*range(0xE0, 0xF0), 0xFE}
"""Markers of the segments of a JPEG file that belong to applications, or are comments."""
_TELLING = {0xE0: (b"JFIF\0", 14), 0xE1: (b"", 0), 0xEE: (b"Adobe", 12)}
"""Those of them that tell colours or orientation: how they begin, and the bytes below which decoders pass them over."""
_PILLOW_ERRORS = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, OverflowError),
    *(AssertionError, AttributeError),
    *(struct.error, zlib.error),
)
"""What a damaged file leads Pillow to raise."""

warnings.filterwarnings("ignore", "Corrupt EXIF data")


@dataclass(frozen=True)
class Opened:
    """A decoded image: uint8, height × width × 3, RGB; and what was converted to make it so, in words."""

    pixels: np.ndarray
    conversions: tuple[str, ...] = ()


def open_rgb(path: Path, grey: Grey = "convert") -> np.ndarray:
    """An image file as uint8, height × width × 3, RGB; :func:`read` also tells what was converted.

    Args:
        path: a PNG, JPEG or BMP file.
        grey: whether a grey image becomes three equal channels or is refused.

    Raises:
        UserError: the file cannot be used; the message names it and the reason.
    """
    return read(path, grey).pixels


def read(path: Path, grey: Grey = "convert") -> Opened:
    """An image file and what was converted; see :func:`open_rgb`."""
    with _picture(path) as picture:
        if picture.mode in _GREY_MODES and grey == "refuse":
            raise UserError(f"{quoted(path)} is a grey image; this dataset has to be in colour.")
        return _decode(path, picture)


def size(path: Path) -> tuple[int, int]:
    """Width and height in pixels, from the header alone.

    Raises:
        UserError: the file is no image that :func:`open_rgb` would start to decode.
    """
    with _picture(path) as picture:
        width, height = picture.size
        return (height, width) if _orientation(picture) in _SIDEWAYS else (width, height)


def turned(path: Path) -> bool:
    """Whether the picture is turned upright as its EXIF orientation says, from the header alone.

    Raises:
        UserError: as :func:`size`.
    """
    with _picture(path) as picture:
        return _orientation(picture) != 1


def is_grey(path: Path) -> bool:
    """Whether the file stores one channel, or three that are equal in every pixel.

    Raises:
        UserError: the file cannot be used.
    """
    pixels = open_rgb(path)
    return bool((pixels == pixels[:, :, :1]).all())


def quoted(path: Path) -> str:
    """A path for a message: in quotes, with control characters escaped."""
    return repr(str(path))


@contextmanager
def _picture(path: Path) -> Iterator[ImageFile.ImageFile]:
    """The picture, its header read and found harmless; an error of Pillow's becomes the user's."""
    try:
        with _strict(), _regular(path) as file:
            first = file.read(8)
            file.seek(0)
            kind = next((kind for start, kind in _KINDS.items() if first.startswith(start)), None)
            if kind is None:
                reason = "is not PNG, JPEG or BMP, whatever its name says" if first else "is empty"
                raise UserError(f"{quoted(path)} {reason}.")
            picture = kind(_pixels_alone(file))
            width, height = picture.size
            if width * height > LIMIT:
                raise UserError(
                    f"{quoted(path)} claims {width}×{height} pixels; at most {LIMIT // 10**6} megapixels are opened. "
                    "Cut it into smaller images."
                )
            yield picture
    except MemoryError as error:
        raise UserError(f"{quoted(path)} does not fit into memory.") from error
    except _PILLOW_ERRORS as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UserError(f"{quoted(path)} cannot be read, it may be truncated or damaged: {reason}.") from error


@contextmanager
def _strict() -> Iterator[None]:
    """Truncated files are errors, whatever another library has told Pillow."""
    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


class _Parts(io.RawIOBase):
    """Some parts of a file, read as if they were all there is.

    Args:
        file: the whole file.
        parts: where each begins and ends, in bytes.
    """

    def __init__(self, file: BinaryIO, parts: list[tuple[int, int]]) -> None:
        self._file, self._parts = file, parts
        self._starts = list(itertools.accumulate((end - start for start, end in parts), initial=0))
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._place = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._starts[-1]}[whence])
        return self._place

    def readinto(self, buffer: Any) -> int:
        index = bisect.bisect_right(self._starts, self._place) - 1
        if index == len(self._parts):
            return 0
        start, end = self._parts[index]
        start += self._place - self._starts[index]
        self._file.seek(start)
        data = self._file.read(min(len(buffer), end - start))
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)


def _pixels_alone(file: BinaryIO) -> BinaryIO:
    """A PNG or JPEG file without the parts that have no share in its pixels; any other file as it is.

    Pillow decompresses texts and colour profiles and refuses large or damaged ones, though nobody asked for them.
    """
    start = file.read(8)
    if start == _PNG:
        found, parts = _chunks(file), [(0, 8)]
    elif start.startswith(_JPEG):
        found, parts = _segments(file), [(0, 2)]
    else:
        file.seek(0)
        return file
    for needed, place, behind in found:
        if needed:
            begins = parts.pop()[0] if parts[-1][1] == place else place
            parts.append((begins, behind))
    return io.BufferedReader(_Parts(file, parts))


def _segments(file: BinaryIO) -> Iterator[tuple[bool, int, int]]:
    """The segments of a JPEG file before its pixels, and all that follows as one.

    Of each whether it is needed to decode them or to turn them upright, and the bytes between which it lies.
    """
    end = file.seek(0, os.SEEK_END)
    place = 2
    while place < end:
        file.seek(place)
        head = file.read(4 + 12)
        behind = place + 2 + int.from_bytes(head[2:4], "big")
        if head[:1] != b"\xff" or head[1] not in _SEGMENTS or not place + 4 <= behind <= end:
            yield True, place, end
            return
        begins, least = _TELLING.get(head[1], (b"", end))
        telling = head[4:].startswith(begins) and behind - place - 4 >= least
        yield head[1] not in _COMMENTS or telling, place, behind
        place = behind


def _chunks(file: BinaryIO) -> Iterator[tuple[bool, int, int]]:
    """The chunks of a PNG file up to its end: whether each is needed for its pixels, and where it lies."""
    for kind, place, behind in _all_chunks(file):
        yield kind in _PIXEL_CHUNKS or not kind.isalpha(), place, behind


def _all_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """The chunks of a PNG file up to its end: kind, and the bytes between which each lies in the file."""
    end = file.seek(0, os.SEEK_END)
    place, kind = 8, b""
    while place < end and kind != b"IEND":
        file.seek(place)
        head = file.read(8)
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        behind = min(place + 12 + length, end)
        yield kind, place, behind
        place = behind


def _refuse_changed(path: Path) -> None:
    """Refuse a PNG file whose compressed pixels do not fit their checksums, which Pillow does not look at.

    What is cut off is left to Pillow.
    """
    with _regular(path) as file:
        for kind, place, behind in _all_chunks(file):
            file.seek(place)
            length = int.from_bytes(file.read(4), "big")
            if kind != b"IDAT" or behind < place + 12 + length:
                continue
            checksum, left = 0, 4 + length
            while left and (data := file.read(min(left, _READ))):
                checksum, left = zlib.crc32(data, checksum), left - len(data)
            if checksum != int.from_bytes(file.read(4), "big"):
                raise UserError(f"{quoted(path)} is damaged: its pixels do not fit the checksum beside them.")


def _regular(path: Path) -> BinaryIO:
    try:
        return regular(path)
    except OSError as error:
        raise UserError(f"{quoted(path)} cannot be opened: {error.strerror}.") from error


def _orientation(picture: ImageFile.ImageFile) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none, or none that can be read."""
    if not isinstance(picture, JpegImageFile):
        return 1
    try:
        found = picture.getexif().get(ExifTags.Base.Orientation, 1)
    except (*_PILLOW_ERRORS, Warning):
        return 1
    return found if found in _UPRIGHT else 1


def _decode(path: Path, picture: ImageFile.ImageFile) -> Opened:
    if isinstance(picture, PngImageFile):
        _refuse_changed(path)
        if "transparency" in picture.info and (step := _STEPS.get(str(picture.tile[0][3]))):
            picture.info["transparency"] *= step  # Pillow scales the pixels alone
    conversions = []
    if picture.mode in _GREY_MODES:
        conversions.append("grey to three equal channels")
    elif picture.mode == "P":
        conversions.append("palette to RGB")
    elif picture.mode == "CMYK":
        conversions.append("CMYK to RGB, without its colour profile")
    deep = _sixteen_bit(path, picture)
    if deep is not None:
        conversions.append("16 bits to 8")
        array = np.rint(deep / 257).astype(np.uint8)
    else:
        if picture.mode == "P":
            _refuse_beyond_palette(picture)
        upright: Image.Image = picture
        if (turn := _UPRIGHT.get(_orientation(picture))) is not None:
            conversions.append("turned upright as its EXIF orientation says")
            upright = picture.transpose(turn)
        array = np.asarray(upright.convert("RGBA" if upright.has_transparency_data else "RGB"))
    if array.shape[2] == 4:
        if array[:, :, 3].min() < 255:
            raise UserError(f"{quoted(path)} is partly transparent. Save it without transparency.")
        conversions.append("opaque alpha channel dropped")
    return Opened(np.ascontiguousarray(array[:, :, :3]), tuple(conversions))


def _refuse_beyond_palette(picture: ImageFile.ImageFile) -> None:
    """Refuse a picture with pixels of colours that its palette does not have, which Pillow makes black."""
    highest = int(np.asarray(picture).max())
    colours = len(picture.getpalette() or ()) // 3
    if highest >= colours:
        raise ValueError(f"a pixel has the colour {highest}, and the palette {colours} colours, counted from 0")


def _sixteen_bit(path: Path, picture: ImageFile.ImageFile) -> np.ndarray | None:
    """The values of a 16-bit PNG, height × width × 3 or 4; None for every other picture.

    Pillow keeps only the high byte of each colour value. The low bytes come from decoding the same data once more
    under Pillow's name for the opposite byte order.
    """
    if not isinstance(picture, PngImageFile) or "16B" not in str(picture.tile[0][3]):
        return None
    layout = str(picture.tile[0][3])
    if "transparency" in picture.info:
        raise UserError(f"{quoted(path)} has 16 bits and a transparent colour. Save it without transparency.")
    if picture.mode in ("I", "I;16"):
        return np.repeat(np.asarray(picture)[:, :, None], 3, axis=2)
    if layout not in _LOW_BYTES:
        raise UserError(f"{quoted(path)} is grey with 16 bits and transparency, which is not supported.")
    high = np.asarray(picture).astype(np.uint16)
    with _regular(path) as file:
        again = PngImageFile(_pixels_alone(file))
        again.tile = [(*again.tile[0][:3], _LOW_BYTES[layout])]  # type: ignore[list-item]
        low = np.asarray(again)
    return high << 8 | low
