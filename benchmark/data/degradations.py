"""Degradations: what turns a clean image into the input of a restoration task.

A degradation is a small frozen callable. It takes a float32 image, height × width × 3, RGB, with values from 0
to 1, and a NumPy generator, and returns an image of the same size and type. A parameter that may vary takes a
number or a range ``[low, high]``, from which each image draws uniformly.

The settings of Section 4.1.2 of the paper: noise of std 50; JPEG quality 10 to 70 for training and 20 for
testing; a 15 × 15 Gaussian blur of std 0.2 to 3 for training and 2.5 for testing.
"""

import io
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import numpy as np
from PIL import Image
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from benchmark.core.errors import UserError, unknown
from benchmark.core.images import to_float, to_uint8

CONTEXT = 16
"""Pixels of surroundings a training patch needs on each side, so that its degraded pixels are those that degrading
the whole photograph would give: one block of JPEG's 4:2:0 chroma grid, and twice the reach of the widest blur."""

Real = float | tuple[float, float]
Whole = int | tuple[int, int]


def between(low: float, high: float, whole: bool = False) -> BeforeValidator:
    """Accepts a number from ``low`` to ``high``, or a range ``[low, high]`` of such numbers."""
    kind = "whole number" if whole else "number"

    def check(value: Any) -> Any:
        ends = tuple(value) if isinstance(value, list | tuple) else (value, value)
        if whole:
            ends = tuple(int(end) if isinstance(end, float) and end.is_integer() else end for end in ends)
        numbers = all(isinstance(end, int if whole else int | float) and not isinstance(end, bool) for end in ends)
        if not numbers or len(ends) != 2 or not low <= ends[0] <= ends[1] <= high:
            raise ValueError(f"a {kind} from {low:g} to {high:g} is accepted, or a range [low, high] of such numbers")
        return ends if isinstance(value, list | tuple) else ends[0]

    return BeforeValidator(check)


def draw(value: Real, rng: np.random.Generator) -> float:
    """The number itself, or one drawn uniformly from the range."""
    return rng.uniform(*value) if isinstance(value, tuple) else value


def draw_whole(value: Whole, rng: np.random.Generator) -> int:
    """The number itself, or one drawn uniformly from the range, both ends included."""
    return int(rng.integers(*value, endpoint=True)) if isinstance(value, tuple) else value


class Degradation(BaseModel, ABC):
    """Base of all degradations; the fields of a subclass are its parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
    name: ClassVar[str]

    @property
    def context(self) -> int:
        """Pixels of surroundings that a training patch needs on each side."""
        return CONTEXT

    @abstractmethod
    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Degrade one image.

        Args:
            image: float32, height × width × 3, RGB, from 0 to 1.
            rng: the only source of randomness.

        Returns:
            float32, of the same size.
        """


class GaussianNoise(Degradation):
    """Additive white Gaussian noise, independent in every pixel and channel."""

    name: ClassVar[str] = "noise"
    std: Annotated[Real, between(0, 255)] = Field(50, description="standard deviation in 8-bit grey levels")
    clip: bool = Field(
        False, description="clip and round the result to 8 bit; the field's practice is to leave it unclipped"
    )

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Add noise; unless ``clip`` is set, the result leaves [0, 1]."""
        std = np.float32(draw(self.std, rng) / 255)
        noisy = image + std * rng.standard_normal(image.shape, dtype=np.float32)
        return to_float(to_uint8(noisy)) if self.clip else noisy


class JPEG(Degradation):
    """Blocking and ringing of a real JPEG encoder (Pillow's, with 4:2:0 chroma subsampling)."""

    name: ClassVar[str] = "jpeg"
    quality: Annotated[Whole, between(1, 95, whole=True)] = Field(description="quality factor of the encoder, 1 to 95")

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Encode and decode; the result has 8-bit values."""
        file = io.BytesIO()
        quality = draw_whole(self.quality, rng)
        Image.fromarray(to_uint8(image)).save(file, "JPEG", quality=quality, subsampling="4:2:0")
        return to_float(np.asarray(Image.open(file)))


class GaussianBlur(Degradation):
    """Convolution with a Gaussian cut off to a square; at the border the image is mirrored about its edge pixels."""

    name: ClassVar[str] = "blur"
    size: int = Field(15, ge=1, le=CONTEXT + 1, description="side of the square kernel in pixels, odd, at most 17")
    std: Annotated[Real, between(0.01, 100)] = Field(description="standard deviation of the Gaussian in pixels")

    @field_validator("size")
    @classmethod
    def _odd(cls, size: int) -> int:
        if size % 2 == 0:
            raise ValueError("an odd number is accepted, so that the kernel has a middle pixel")
        return size

    def kernel(self, std: float) -> np.ndarray:
        """The 1-D kernel, float64, ``size`` long, with sum one; its outer product with itself is the 2-D kernel."""
        distance = np.arange(self.size) - self.size // 2
        weights = np.exp(-0.5 * (distance / std) ** 2)
        return weights / weights.sum()

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Blur along the columns, then along the rows."""
        from scipy.ndimage import correlate1d

        kernel = self.kernel(draw(self.std, rng))
        return correlate1d(correlate1d(image, kernel, axis=0, mode="mirror"), kernel, axis=1, mode="mirror")


class Rain(Degradation):
    """Bright streaks added to the image: O = B + S, then clipped and rounded to 8 bit.

    It stands in for Rain100L (Yang et al., "Deep joint rain detection and removal from a single image", CVPR 2017),
    whose images follow the same model but cannot be shipped. Angle, length, width, strength and density are drawn once
    per image; each streak then varies around them, fades towards its ends, and adds the same light to R, G and B.

    The defaults are heavy rain: on BSD68's images they give an input PSNR of 12.8 dB (RGB), and streaks like those of
    Rain100H. With ``density=(0.0005, 0.002)`` it is 25.9 dB (27.3 dB on Y), near the 26.9 dB on Y of Rain100L.
    """

    name: ClassVar[str] = "rain"
    angle: Annotated[Real, between(-90, 90)] = Field((-25, 25), description="main direction in degrees from vertical")
    spread: Annotated[Real, between(0, 45)] = Field(
        (2, 12), description="standard deviation of the streaks' directions around the main one, in degrees"
    )
    length: Annotated[Real, between(1, 200)] = Field((30, 60), description="mean length of a streak in pixels")
    width: Annotated[Real, between(0.5, 10)] = Field((1, 2), description="width of a streak in pixels")
    density: Annotated[Real, between(0, 0.1)] = Field(
        (0.008, 0.024), description="fraction of pixels at which a streak is centred"
    )
    strength: Annotated[Real, between(0, 1)] = Field(
        (0.3, 0.65), description="greatest brightness of a streak, where 1 is white"
    )

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Add streaks; no pixel becomes darker, beyond rounding to 8 bit."""
        return to_float(to_uint8(image + self.streaks(image.shape[0], image.shape[1], rng)[:, :, None]))

    def streaks(self, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
        """The light S alone: float32, height × width, not negative."""
        angle, spread, mean_length = draw(self.angle, rng), draw(self.spread, rng), draw(self.length, rng)
        thickness, density, strength = draw(self.width, rng), draw(self.density, rng), draw(self.strength, rng)

        margin = math.ceil(0.75 * mean_length + thickness)
        rows, columns = height + 2 * margin, width + 2 * margin
        count = rng.poisson(density * rows * columns)
        lengths = mean_length * rng.uniform(0.5, 1.5, count)
        angles = np.radians(rng.normal(angle, spread, count))
        brightness = strength * rng.uniform(0.2, 1, count)
        y0, x0 = rng.uniform(0, rows, count), rng.uniform(0, columns, count)

        # Each streak is a bundle of parallel lines of points, at most one pixel apart in both directions.
        points, lines = math.ceil(1.5 * mean_length), math.ceil(thickness)
        along = ((np.arange(points) + 0.5) / points - 0.5)[:, None, None] * lengths
        across = ((np.arange(lines) + 0.5) / lines - 0.5)[:, None] * thickness
        y = y0 + along * np.cos(angles) - across * np.sin(angles)
        x = x0 + along * np.sin(angles) + across * np.cos(angles)
        fade = np.cos(np.pi * ((np.arange(points) + 0.5) / points - 0.5))[:, None, None]
        light = np.broadcast_to(brightness * fade * (lengths / points) * (thickness / lines), y.shape)
        return _splat(y - margin, x - margin, light, height, width)


def _splat(y: np.ndarray, x: np.ndarray, light: np.ndarray, height: int, width: int) -> np.ndarray:
    """An image of points of light, each shared bilinearly among its four nearest pixels; float32, height × width."""
    inside = (y > -1) & (y < height) & (x > -1) & (x < width)
    y, x, light = y[inside] + 1, x[inside] + 1, light[inside]
    row, column = y.astype(np.intp), x.astype(np.intp)
    down, right = y - row, x - column
    lower, upper = light * down, light * (1 - down)
    corner = row * (width + 2) + column
    places = np.concatenate([corner, corner + 1, corner + width + 2, corner + width + 3])
    shares = np.concatenate([upper * (1 - right), upper * right, lower * (1 - right), lower * right])
    framed = np.bincount(places, shares, minlength=(height + 2) * (width + 2)).reshape(height + 2, width + 2)
    return framed[1:-1, 1:-1].astype(np.float32)


class CameraNoise(Degradation):
    """Signal-dependent noise of a camera's sensor, a model that stands in for real noise such as SIDD's.

    The image is taken back to linear light x. Each pixel of a Bayer mosaic (RGGB) sees one channel, with Gaussian
    noise of variance ``shot·x + read`` (Foi et al., "Practical Poissonian-Gaussian noise modeling and fitting for
    single-image raw-data", IEEE TIP 2008). Read noise follows shot noise by the line that Brooks et al. fitted to
    real cameras ("Unprocessing images for learned raw denoising", CVPR 2019): log read = 2.18·log shot + 1.20. The
    noise, not the image, is then demosaiced bilinearly, which correlates neighbouring pixels, and the sum goes back
    to sRGB and 8 bit.
    Each image draws the phase of its mosaic.
    """

    name: ClassVar[str] = "camera_noise"
    shot: Annotated[Real, between(1e-5, 0.1)] = Field(
        (0.002, 0.02), description="variance of the shot noise of a white pixel in linear light"
    )

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Add noise; the result has 8-bit values."""
        shot = draw(self.shot, rng)
        light = to_linear(image)
        row, column = rng.integers(2, size=2)
        seen = np.zeros(image.shape, bool)  # which channel each pixel of the mosaic sees
        seen[row::2, column::2, 0] = True
        seen[row::2, 1 - column :: 2, 1] = seen[1 - row :: 2, column::2, 1] = True
        seen[1 - row :: 2, 1 - column :: 2, 2] = True
        deviation = np.sqrt(shot * (light * seen).sum(2) + self.read(shot))
        raw = (deviation * rng.standard_normal(image.shape[:2], dtype=np.float32))[:, :, None] * seen
        return to_float(to_uint8(to_srgb(light + _demosaiced(raw))))

    @staticmethod
    def read(shot: float) -> float:
        """Variance of the read noise that goes with a shot noise."""
        return math.exp(2.18 * math.log(shot) + 1.20)


class Blend(Degradation):
    """Several degradations, one after another."""

    name: ClassVar[str] = "blend"
    steps: tuple[Degradation, ...] = Field(
        min_length=1, description="degradations in the order in which they are applied, each as {name: {parameters}}"
    )

    @property
    def context(self) -> int:
        """What the steps need, added up."""
        return sum(step.context for step in self.steps)

    @field_validator("steps", mode="before")
    @classmethod
    def _made(cls, steps: Any) -> Any:
        if not isinstance(steps, list | tuple):
            raise ValueError("a list such as [{blur: {std: 2}}, {jpeg: {quality: 20}}] is accepted")
        made = []
        for step in steps:
            if isinstance(step, Degradation):
                made.append(step)
                continue
            if not (isinstance(step, dict) and len(step) == 1 and isinstance(next(iter(step.values())), dict | None)):
                raise ValueError(
                    f"a step is a degradation with its parameters, such as {{blur: {{std: 2}}}}, not {step!r}"
                )
            ((name, parameters),) = step.items()
            try:
                made.append(make(str(name), parameters or {}))
            except UserError as error:
                raise ValueError(str(error).rstrip(".")) from error
        return tuple(made)

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Apply every step to the result of the one before it."""
        for step in self.steps:
            image = step(image, rng)
        return image


def to_linear(image: np.ndarray) -> np.ndarray:
    """From sRGB to linear light (IEC 61966-2-1); values outside [0, 1] are clipped."""
    image = np.clip(image, 0, 1)
    return np.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4).astype(np.float32)


def to_srgb(light: np.ndarray) -> np.ndarray:
    """From linear light to sRGB (IEC 61966-2-1); values outside [0, 1] are clipped."""
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055).astype(np.float32)


def _demosaiced(raw: np.ndarray) -> np.ndarray:
    """A Bayer mosaic, zero where a channel was not seen, interpolated bilinearly; height × width × 3."""
    from scipy.ndimage import convolve

    red_blue = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], np.float32) / 4
    green = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]], np.float32) / 4
    return np.stack([convolve(raw[:, :, c], green if c == 1 else red_blue, mode="mirror") for c in range(3)], axis=2)


DEGRADATIONS: dict[str, type[Degradation]] = {
    kind.name: kind for kind in (GaussianNoise, JPEG, GaussianBlur, Rain, CameraNoise, Blend)
}
"""Every degradation by its name in stream files."""


def make(name: str, parameters: Mapping[str, Any]) -> Degradation:
    """The degradation that a stream file asks for.

    >>> make("jpeg", {"quality": [10, 70]})
    JPEG(quality=(10, 70))

    Raises:
        UserError: no degradation has this name, or a parameter is unknown, missing or out of its range.
    """
    if name not in DEGRADATIONS:
        raise unknown("degradation", name, DEGRADATIONS)
    kind = DEGRADATIONS[name]
    try:
        return kind.model_validate(dict(parameters))
    except ValidationError as error:
        problem = error.errors()[0]
    field = str(problem["loc"][0]) if problem["loc"] else ""
    if problem["type"] == "extra_forbidden":
        raise unknown(f"parameter of '{name}'", field, kind.model_fields)
    if problem["type"] == "missing":
        raise UserError(f"Degradation '{name}' needs '{field}' ({kind.model_fields[field].description}).")
    reason = problem["msg"].removeprefix("Value error, ")
    given = f" was given {field} = {problem['input']!r}" if field else ""
    raise UserError(f"Degradation '{name}'{given}: {reason}.")
