"""Tiny datasets in every published layout, written by the tests."""

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from benchmark.core.addresses import generator
from benchmark.data.datasets.bsd68 import NUMBERS

SMALL = (24, 16)


def picture(key: str | int, size: tuple[int, int] = SMALL) -> np.ndarray:
    """A smooth random picture, another for each key; uint8, height × width × 3."""
    coarse = generator("picture", key).integers(0, 200, (6, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC))


def brighter(pixels: np.ndarray) -> np.ndarray:
    """A picture with more light, as under rain."""
    return pixels + np.uint8(20)


def write(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def write_pair(degraded: Path, clean: Path, key: str | int) -> None:
    write(clean, picture(key))
    write(degraded, brighter(picture(key)))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, palette: bytes = b"") -> bytes:
    """A PNG file by hand: any header, rows that start with their filter byte, and a palette if there is one."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + (chunk(b"PLTE", palette) if palette else b"")
    return start + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def sixteen_bit_png(values: np.ndarray) -> bytes:
    """A 16-bit PNG of values, uint16, height × width × 1 to 4."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return png(width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], rows)


def div2k_folders(root: Path) -> None:
    for number in (1, 2, 800):
        write(root / f"DIV2K_train_HR/{number:04}.png", picture(number))
        write(root / f"DIV2K_train_LR_bicubic/X2/{number:04}x2.png", picture(number))
    for number in (801, 900):
        write(root / f"DIV2K_valid_HR/{number:04}.png", picture(number))


def div2k_one_folder(root: Path, name: str = "DIV2K") -> None:
    for number in (1, 800, 801, 900):
        write(root / f"{name}/{number:04}.png", picture(number))


def div2k_crops(root: Path) -> None:
    for number, crop in ((1, 1), (1, 2), (800, 1), (801, 1)):
        write(root / f"crops/{number:04}_s{crop:03}.png", picture(f"{number} {crop}"))


def rain_above(root: Path) -> None:
    for number in range(1, 4):
        folder = root / "Rain100L"
        write_pair(folder / f"rainy/rain-{number:03}.png", folder / f"norain-{number:03}.png", number)


def rain_beside(root: Path) -> None:
    for number in range(1, 4):
        folder = root / "Rain100L/rainy"
        write_pair(folder / f"rain-{number:03}.png", folder / f"norain-{number:03}.png", number)


def rain_flat(root: Path, name: str = "RainTrainL") -> None:
    """Numbers up to 11, so that sorting names and sorting numbers differ."""
    for number in range(1, 12):
        folder = root / name
        write_pair(folder / f"rain-{number}.png", folder / f"norain-{number}.png", number)
        write(folder / f"rainregion-{number}.png", picture(f"region {number}"))
        write(folder / f"rainstreak-{number}.png", picture(f"streak {number}"))


def rain_two_folders(root: Path, rainy: str, clean: str, rainy_name: str = "norain-{}.png") -> None:
    for side, count in (("train", 12), ("test", 3)):
        for number in range(1, count + 1):
            folder = root / "Rain100L" / side
            write_pair(
                folder / rainy / rainy_name.format(number), folder / clean / f"norain-{number}.png", f"{side} {number}"
            )


def rain_second_release(root: Path) -> None:
    """Names as in the archives ``rain_data_train_Light`` and ``rain_data_test_Light``."""
    for number in range(1, 3):
        train, test = root / "rain_data_train_Light", root / "rain_data_test_Light"
        write_pair(train / f"rain/norain-{number}x2.png", train / f"norain/norain-{number}.png", number)
        write_pair(test / f"rain/X2/norain-{number:03}x2.png", test / f"norain/norain-{number:03}.png", -number)


def rain_input_target(root: Path) -> None:
    for number in range(1, 4):
        folder = root / "test/Rain100L"
        write_pair(folder / f"input/{number}.png", folder / f"target/{number}.png", number)


def rain_side_by_side(root: Path) -> None:
    for number, size in ((1, (481, 321)), (2, (321, 481))):
        clean = picture(number, size)
        write(root / f"rain/test/{number}.png", np.concatenate([clean, brighter(clean)], axis=1))


def bsd68_original(root: Path) -> None:
    for number in NUMBERS:
        write(root / f"CBSD68/{number}.png", picture(number))


def bsd68_counted(root: Path) -> None:
    for number in range(68):
        write(root / f"CBSD68/original_png/{number:04}.png", picture(number))
        write(root / f"CBSD68/noisy50/{number:04}.png", picture(number))


def bsd68_grey(root: Path) -> None:
    for number in range(1, 69):
        write(root / f"BSD68/test{number:03}.png", picture(number)[:, :, 0])


def sidd_scenes(root: Path, edition: str = "SIDD_Medium_Srgb", instances: int = 2) -> None:
    for scene in (1, 2):
        folder = root / edition / "Data" / f"{scene:04}_{scene:03}_S6_00100_00060_3200_L"
        for instance in range(10, 10 + instances):
            write_pair(
                folder / f"{scene:04}_NOISY_SRGB_{instance:03}.PNG",
                folder / f"{scene:04}_GT_SRGB_{instance:03}.PNG",
                f"{scene} {instance}",
            )


def sidd_crops(root: Path, clean: str) -> None:
    for side in ("train", "val"):
        for number in (1, 2):
            folder = root / side / "SIDD"
            write_pair(
                folder / f"input_crops/{number:04}_NOISY_SRGB_010_s001.png",
                folder / f"{clean}/{number:04}_GT_SRGB_010_s001.png",
                f"{side} {number}",
            )


def sidd_blocks(root: Path) -> np.ndarray:
    """Two scenes of three blocks of 16 × 24; returns the clean ones."""
    root.mkdir(parents=True, exist_ok=True)
    clean = np.stack([[picture(f"{scene} {block}") for block in range(3)] for scene in range(2)])
    savemat(root / "ValidationGtBlocksSrgb.mat", {"ValidationGtBlocksSrgb": clean})
    savemat(root / "ValidationNoisyBlocksSrgb.mat", {"ValidationNoisyBlocksSrgb": brighter(clean)})
    return clean
