import contextlib
import itertools
import os
import struct
import zlib

import numpy as np
import pytest
from made_datasets import picture, png, sixteen_bit_png, write
from PIL import Image, ImageFile

from benchmark.core.addresses import generator
from benchmark.core.errors import UserError
from benchmark.data import opening
from benchmark.data.opening import open_rgb, read, size


@pytest.fixture
def pixels():
    return picture("opening")


class TestPlain:
    @pytest.mark.parametrize("name", ["a.png", "a.bmp", "with spaces und Größe 雨.png", "[bold]a[/].png"])
    def test_pixels_are_those_that_were_saved(self, tmp_path, pixels, name):
        path = write(tmp_path / name, pixels)
        opened = read(path)
        assert np.array_equal(opened.pixels, pixels)
        assert opened.conversions == ()
        assert size(path) == (24, 16)

    def test_a_jpeg_is_what_pillow_decodes(self, tmp_path, pixels):
        path = write(tmp_path / "a.jpg", pixels)
        assert np.array_equal(open_rgb(path), np.asarray(Image.open(path)))

    def test_the_first_bytes_count_and_not_the_ending(self, tmp_path, pixels):
        path = tmp_path / "really_a_png.jpg"
        Image.fromarray(pixels).save(path, "PNG")
        assert np.array_equal(open_rgb(path), pixels)

    def test_size_reads_the_header_alone(self, tmp_path):
        path = tmp_path / "wide.png"
        path.write_bytes(png(4000, 3000, 8, 2, b"")[:60])
        assert size(path) == (4000, 3000)


class TestConversions:
    @pytest.mark.parametrize("channels", [1, 3, 4])
    def test_sixteen_bits_are_divided_by_257_and_rounded(self, tmp_path, channels):
        values = generator("deep").integers(0, 2**16, (12, 10, channels), dtype=np.uint16)
        values[0, :5, 0] = [0, 128, 129, 65406, 65535]
        if channels == 4:
            values[:, :, 3] = 65535
        path = tmp_path / "deep.png"
        path.write_bytes(sixteen_bit_png(values))
        opened = read(path)
        colours = np.repeat(values, 3, axis=2) if channels == 1 else values[:, :, :3]
        assert np.array_equal(opened.pixels, np.floor(colours / 257 + 0.5))
        assert opened.pixels[0, :5, 0].tolist() == [0, 0, 1, 254, 255]
        assert "16 bits to 8" in opened.conversions

    def test_sixteen_bit_grey_with_alpha_is_refused(self, tmp_path):
        (tmp_path / "a.png").write_bytes(sixteen_bit_png(np.full((4, 4, 2), 65535, np.uint16)))
        with pytest.raises(UserError, match=r"a\.png' is grey with 16 bits and transparency"):
            open_rgb(tmp_path / "a.png")

    def test_grey_becomes_three_equal_channels_or_is_refused(self, tmp_path, pixels):
        path = write(tmp_path / "grey.png", pixels[:, :, 0])
        opened = read(path)
        assert np.array_equal(opened.pixels, np.repeat(pixels[:, :, :1], 3, axis=2))
        assert opened.conversions == ("grey to three equal channels",)
        with pytest.raises(UserError, match=r"grey\.png' is a grey image"):
            open_rgb(path, grey="refuse")

    def test_opaque_alpha_is_dropped_and_transparency_refused(self, tmp_path, pixels):
        alpha = np.full((*pixels.shape[:2], 1), 255, np.uint8)
        opaque = read(write(tmp_path / "opaque.png", np.concatenate([pixels, alpha], axis=2)))
        assert np.array_equal(opaque.pixels, pixels)
        assert opaque.conversions == ("opaque alpha channel dropped",)
        alpha[3, 4] = 254
        with pytest.raises(UserError, match=r"clear\.png' is partly transparent"):
            open_rgb(write(tmp_path / "clear.png", np.concatenate([pixels, alpha], axis=2)))

    def test_a_colour_marked_as_transparent_is_refused_at_16_bits(self, tmp_path):
        deep = sixteen_bit_png(np.full((4, 4, 3), 65535, np.uint16))
        key, place = b"tRNS" + bytes(6), deep.index(b"IDAT") - 4
        chunk = struct.pack(">I", 6) + key + struct.pack(">I", zlib.crc32(key))
        (tmp_path / "deep.png").write_bytes(deep[:place] + chunk + deep[place:])
        with pytest.raises(UserError, match=r"deep\.png' has 16 bits and a transparent colour"):
            open_rgb(tmp_path / "deep.png")

    def test_a_colour_marked_as_transparent_is_refused_where_it_occurs(self, tmp_path, pixels):
        Image.fromarray(pixels).save(tmp_path / "key.png", transparency=tuple(pixels[2, 2].tolist()))
        with pytest.raises(UserError, match="partly transparent"):
            open_rgb(tmp_path / "key.png")

    @pytest.mark.parametrize(("bits", "key"), [(2, 1), (2, 3), (4, 5), (4, 15)])
    def test_a_grey_value_of_few_bits_marked_as_transparent_is_refused_where_it_occurs(self, tmp_path, bits, key):
        def png(values: list[int]) -> bytes:
            packed = int("".join(f"{value:0{bits}b}" for value in values), 2).to_bytes(len(values) * bits // 8, "big")
            parts = {
                b"IHDR": struct.pack(">IIBBBBB", len(values), 1, bits, 0, 0, 0, 0),
                b"tRNS": struct.pack(">H", key),
                b"IDAT": zlib.compress(b"\0" + packed),
                b"IEND": b"",
            }
            return b"\x89PNG\r\n\x1a\n" + b"".join(TestMetadata.chunk(kind, data) for kind, data in parts.items())

        (tmp_path / "with.png").write_bytes(png([0, key, 2, 0]))
        with pytest.raises(UserError, match="partly transparent"):
            open_rgb(tmp_path / "with.png")
        (tmp_path / "without.png").write_bytes(png([0, 2, 2, 0]))
        grey = 2 * 255 // (2**bits - 1)
        assert open_rgb(tmp_path / "without.png")[0, :, 0].tolist() == [0, grey, grey, 0]

    def test_palette(self, tmp_path, pixels):
        image = Image.fromarray(pixels).quantize(16)
        image.save(tmp_path / "palette.png")
        opened = read(tmp_path / "palette.png")
        assert np.array_equal(opened.pixels, np.asarray(image.convert("RGB")))
        assert opened.conversions == ("palette to RGB",)

    def test_cmyk_jpeg(self, tmp_path, pixels):
        Image.fromarray(pixels).convert("CMYK").save(tmp_path / "print.jpg", quality=95)
        opened = read(tmp_path / "print.jpg")
        assert np.abs(opened.pixels.astype(int) - pixels).mean() < 8
        assert opened.conversions == ("CMYK to RGB, without its colour profile",)

    @pytest.mark.parametrize("orientation", range(2, 9))
    def test_jpeg_is_turned_upright(self, tmp_path, pixels, orientation):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(pixels).save(tmp_path / "turned.jpg", exif=exif)
        stored = np.asarray(Image.open(tmp_path / "turned.jpg"))
        upright = {
            2: stored[:, ::-1],
            3: stored[::-1, ::-1],
            4: stored[::-1],
            5: stored.transpose(1, 0, 2),
            6: np.rot90(stored, -1),
            7: np.rot90(stored, 2).transpose(1, 0, 2),
            8: np.rot90(stored),
        }[orientation]
        opened = read(tmp_path / "turned.jpg")
        assert np.array_equal(opened.pixels, upright)
        assert size(tmp_path / "turned.jpg") == upright.shape[1::-1]
        assert opened.conversions == ("turned upright as its EXIF orientation says",)


class TestRefused:
    def test_a_huge_header_before_it_is_decoded(self, tmp_path, monkeypatch):
        path = tmp_path / "bomb.png"
        path.write_bytes(png(50_000, 50_000, 8, 2, b"\0" * 1000))
        monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
        for look in (open_rgb, size):
            with pytest.raises(UserError, match=r"bomb\.png' claims 50000×50000 pixels; at most 100 megapixels"):
                look(path)

    def test_the_limit_itself_is_allowed(self, tmp_path, pixels, monkeypatch):
        path = write(tmp_path / "a.png", pixels)
        monkeypatch.setattr(opening, "LIMIT", 24 * 16)
        open_rgb(path)
        monkeypatch.setattr(opening, "LIMIT", 24 * 16 - 1)
        with pytest.raises(UserError, match="24×16"):
            open_rgb(path)

    @pytest.mark.parametrize("ending", ["png", "jpg", "bmp"])
    def test_truncated(self, tmp_path, ending):
        """Cut anywhere, a file gives its picture or a UserError, never another error."""
        path = write(tmp_path / f"cut.{ending}", picture("cut", (60, 50)))
        whole, pixels = path.read_bytes(), open_rgb(path)
        outcomes = []
        for length in [*range(0, 80, 7), *range(80, len(whole), max(1, len(whole) // 40))]:
            path.write_bytes(whole[:length])
            try:
                outcomes.append(np.array_equal(open_rgb(path), pixels))
            except UserError as error:
                outcomes.append(None if f"cut.{ending}" in str(error) else "unnamed")
        assert set(outcomes) <= {None, True}
        assert outcomes.count(None) > len(outcomes) * 0.8

    @pytest.mark.slow
    @pytest.mark.parametrize("ending", ["png", "jpg", "bmp"])
    def test_damaged_bytes_never_raise_anything_else(self, tmp_path, ending):
        path = write(tmp_path / f"damaged.{ending}", picture("damage", (40, 30)))
        whole = np.frombuffer(path.read_bytes(), np.uint8)
        for key in range(150):
            rng = generator("damage", ending, key)
            damaged = whole.copy()
            places = rng.integers(2, min(len(whole), 200 if key % 2 else len(whole)), 3)
            damaged[places] = rng.integers(0, 256, 3)
            path.write_bytes(damaged.tobytes())
            try:
                assert open_rgb(path).dtype == np.uint8
            except UserError:
                continue

    @pytest.mark.parametrize("depth", [1, 2, 4, 8])
    def test_a_palette_that_is_not_there(self, tmp_path, depth):
        path = tmp_path / "colourless.png"
        path.write_bytes(png(8, 8, depth, 3, bytes(8 * (1 + depth))))
        with pytest.raises(UserError, match=r"colourless\.png' cannot be read, it may be truncated or damaged"):
            open_rgb(path)

    @pytest.mark.parametrize(("colours", "whole"), [(2, False), (3, False), (4, True), (256, True)])
    @pytest.mark.parametrize("kind", ["png", "bmp"])
    def test_pixels_beyond_the_palette(self, tmp_path, kind, colours, whole):
        """Decoders make them black; here the last pixel alone has the colour 3."""
        path = tmp_path / f"picture.{kind}"
        indices, shades = np.zeros((8, 8), np.uint8), [(10 + i % 9, 20, 30) for i in range(colours)]
        indices[-1, -1] = 3
        if kind == "png":
            rows = b"".join(b"\0" + row.tobytes() for row in indices)
            path.write_bytes(png(8, 8, 8, 3, rows, bytes(itertools.chain(*shades))))
        else:
            table = b"".join(bytes((*shade[::-1], 0)) for shade in shades)
            header = struct.pack("<IiiHHIIiiII", 40, 8, 8, 1, 8, 0, 64, 0, 0, colours, 0)
            start = 14 + len(header) + len(table)
            file = struct.pack("<2sIHHI", b"BM", start + 64, 0, 0, start)
            path.write_bytes(file + header + table + indices[::-1].tobytes())
        if whole:
            assert open_rgb(path)[-1, -1].tolist() == [13, 20, 30]
        else:
            with pytest.raises(UserError, match=f"damaged: a pixel has the colour 3, and the palette {colours}"):
                open_rgb(path)

    def test_changed_pixels_of_a_png(self, tmp_path):
        """A changed bit in the compressed pixels is told, also where they decode to other ones without an error."""
        pixels = np.tile(np.arange(40, dtype=np.uint8)[None, :, None], (40, 1, 3))
        whole = write(tmp_path / "whole.png", pixels).read_bytes()
        start = whole.index(b"IDAT") + 4
        unseen = 0
        for place in range(start, whole.index(b"IEND") - 8):
            changed = bytearray(whole)
            changed[place] ^= 1 << place % 8
            (tmp_path / "changed.png").write_bytes(changed)
            with pytest.raises(UserError, match=r"changed\.png' is damaged"):
                open_rgb(tmp_path / "changed.png")
            with Image.open(tmp_path / "changed.png") as picture, contextlib.suppress(OSError):
                unseen += not np.array_equal(np.asarray(picture), pixels)
        assert np.array_equal(open_rgb(tmp_path / "whole.png"), pixels)
        assert unseen, "Pillow tells of every change"

    def test_other_formats_and_empty_files(self, tmp_path, pixels):
        Image.fromarray(pixels).save(tmp_path / "a.gif")
        (tmp_path / "a.gif").rename(tmp_path / "a.png")
        with pytest.raises(UserError, match="is not PNG, JPEG or BMP"):
            open_rgb(tmp_path / "a.png")
        (tmp_path / "empty.png").touch()
        with pytest.raises(UserError, match=r"empty\.png' is empty"):
            open_rgb(tmp_path / "empty.png")

    def test_what_is_no_file(self, tmp_path):
        (tmp_path / "folder.png").mkdir()
        os.mkfifo(tmp_path / "pipe.png")
        (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
        for name, reason in (
            ("folder", "is not a regular file"),
            ("pipe", "is not a regular file"),
            ("loop", "symbolic links"),
            ("missing", "No such file"),
        ):
            for look in (open_rgb, size):
                with pytest.raises(UserError, match=rf"{name}\.png' .*{reason}"):
                    look(tmp_path / f"{name}.png")


LARGE = {
    "profile": (b"iCCP", b"p\0\0" + zlib.compress(bytes(3_000_000))),
    "compressed text": (b"zTXt", b"t\0\0" + zlib.compress(bytes(9_000_000))),
    "international text": (b"iTXt", b"t\0\1\0\0\0" + zlib.compress(bytes(9_000_000))),
    "text": (b"tEXt", b"t\0" + b"a" * 70_000_000),
    "EXIF": (b"eXIf", b"nonsense"),
    "animation": (b"acTL", b"\0\0\0\0\0\0\0\0"),
    "unknown": (b"abCD", b"x" * 100),
}


class TestMetadata:
    """What a file carries beside its pixels is no reason to refuse it."""

    @staticmethod
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    @pytest.mark.slow
    @pytest.mark.parametrize("what", LARGE)
    @pytest.mark.parametrize("before", [True, False])
    def test_of_a_png(self, tmp_path, pixels, what, before):
        whole = write(tmp_path / "a.png", pixels).read_bytes()
        place = 33 if before else len(whole) - 12  # behind the header, or before the end
        path = tmp_path / "b.png"
        path.write_bytes(whole[:place] + self.chunk(*LARGE[what]) + whole[place:])
        assert np.array_equal(open_rgb(path), pixels)
        assert size(path) == (24, 16)

    def test_of_a_deep_png(self, tmp_path):
        values = generator("deep").integers(0, 2**16, (12, 10, 3), dtype=np.uint16)
        whole = sixteen_bit_png(values)
        (tmp_path / "a.png").write_bytes(whole[:33] + self.chunk(*LARGE["profile"]) + whole[33:])
        assert np.array_equal(open_rgb(tmp_path / "a.png"), np.floor(values / 257 + 0.5))

    def test_of_a_jpeg(self, tmp_path, pixels):
        Image.fromarray(pixels).save(tmp_path / "plain.jpg", quality=95)
        exif = Image.Exif()
        exif[0x9286] = "x" * 60_000
        Image.fromarray(pixels).save(tmp_path / "large.jpg", quality=95, exif=exif, icc_profile=bytes(1_500_000))
        Image.fromarray(pixels).save(tmp_path / "damaged.jpg", quality=95, exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
        Image.fromarray(pixels).save(tmp_path / "odd.jpg", quality=95, exif=b"Exif\0\0nonsense")
        for name in ("large", "damaged", "odd"):
            assert np.array_equal(open_rgb(tmp_path / f"{name}.jpg"), open_rgb(tmp_path / "plain.jpg")), name
            assert size(tmp_path / f"{name}.jpg") == (24, 16)

    @pytest.mark.parametrize("mode", ["RGB", "CMYK"])
    @pytest.mark.parametrize("first", [True, False])
    @pytest.mark.parametrize(
        ("marker", "content"),
        [
            (0xE0, b"JFIF\0"),
            (0xE0, b"JFXX\0\x10"),
            (0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta"),
            (0xE2, b"ICC_PROFILE\0"),
            (0xE2, b"ICC_PROFILE\0\x03\x02" + bytes(70)),
            (0xED, b"Photoshop 3.0\x008BIM\x04"),
            (0xEE, b"Adobe\0"),
            (0xEF, b""),
            (0xFE, b"\xff" * 65_533),
        ],
    )
    def test_damaged_parts_of_a_jpeg(self, tmp_path, pixels, marker, content, first, mode):
        Image.fromarray(pixels).convert(mode).save(tmp_path / "a.jpg", quality=95)
        whole = (tmp_path / "a.jpg").read_bytes()
        behind = 2 if first else 4 + int.from_bytes(whole[4:6], "big")
        part = struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content
        (tmp_path / "b.jpg").write_bytes(whole[:behind] + part + whole[behind:])
        assert np.array_equal(open_rgb(tmp_path / "b.jpg"), open_rgb(tmp_path / "a.jpg"))
        assert size(tmp_path / "b.jpg") == (24, 16)

    @pytest.mark.parametrize("kind", ["PNG", "MPO"])
    def test_the_first_of_several_pictures_counts(self, tmp_path, pixels, kind):
        path = tmp_path / ("a.png" if kind == "PNG" else "a.jpg")
        others = [Image.fromarray(255 - pixels)] * 3
        Image.fromarray(pixels).save(path, kind, save_all=True, append_images=others)
        assert np.abs(open_rgb(path).astype(int) - pixels).mean() < (1 if kind == "PNG" else 30)

    def test_what_another_library_told_pillow_does_not_count(self, tmp_path, pixels, monkeypatch):
        path = write(tmp_path / "a.png", pixels)
        path.write_bytes(path.read_bytes()[:-400])
        monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
        with pytest.raises(UserError, match="truncated"):
            read(path)
        assert ImageFile.LOAD_TRUNCATED_IMAGES
