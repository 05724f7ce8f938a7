"""The pictures of a page: what is chosen, how it is stored, and what became of an image after each task."""

from dataclasses import replace
from pathlib import Path

import made_runs
import numpy as np
import pytest
from made_runs import ORDER, made_run
from PIL import Image

import reports
from reports import pictures
from reports.groups import Group, collect
from reports.page import album


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Group:
    """Strategies that keep and that forget."""
    folder = tmp_path_factory.mktemp("runs")
    made_run(folder, "cmc", seed=0)
    made_run(folder, "cmc", seed=1, shift=0.2)
    made_run(folder, "finetune", keeps=False, settings={})
    return collect([folder]).groups[0]


def test_pictures(group: Group) -> None:
    made = album.album(album.scenes(group), budget=10**7)
    strips = made.strips[group.key]
    assert [len(strips[task]) for task in ORDER] == [2] * len(ORDER)
    assert not made.left_out
    strip = strips["derain"][0]
    assert (strip.pictures[0].label, strip.pictures[-1].label) == ("degraded", "clean")
    by_label = {p.label: p.psnr for p in strip.pictures}
    assert by_label["cmc"] == pytest.approx(10 * np.log10(255**2 / 10**2), abs=0.5)  # noise of 10 grey levels
    assert by_label["finetune"] < by_label["cmc"]
    assert by_label["clean"] == np.inf
    assert (strip.size, strip.crop[2:]) == ((48, 40), (13, 13))


def test_a_picture_is_stored_once(group: Group) -> None:
    once, twice = (album.album(album.scenes(group) * times, budget=10**7) for times in (1, 2))
    assert once.stored == twice.stored
    names = [p.whole for strips in once.strips[group.key].values() for s in strips for p in s.pictures]
    clean = {s.pictures[-1].whole for strips in once.strips[group.key].values() for s in strips}
    assert len(clean) == 1  # the made runs have one clean picture for all tasks and images
    assert len(set(names)) < len(names)


def test_error_map_has_one_fixed_scale() -> None:
    clean = np.full((2, 3, 3), 100, dtype=np.uint8)
    restored = clean.copy()
    restored[0, 1] += 51  # a fifth of the full scale, in every channel
    restored[0, 2, 0] += 75  # 25 in the mean over the channels
    restored[1] = 255  # more than the scale holds
    shown = pictures.error_map(restored, clean).astype(int)
    brightest = pictures.error_map(np.full_like(clean, 255), np.zeros_like(clean))[0, 0]
    half = pictures.error_map(clean - np.uint8(25), clean)[0, 0]
    assert shown[0, 0].sum() < 10
    assert (shown[0, 1] == brightest).all()
    assert (shown[0, 2] == half).all()
    assert (shown[1] == brightest).all()
    assert shown[0, 0].sum() < half.astype(int).sum() < brightest.astype(int).sum()


def test_pictures_stay_within_their_budget(group: Group) -> None:
    def size(made: album.Album) -> int:
        shown = [picture for strips in made.strips[group.key].values() for s in strips for picture in s.pictures]
        films = [film for films in made.films.get(group.key, {}).values() for film in films]
        frames = [frame for film in films for reel in film.reels.values() for frame in reel]
        return sum(len(stored.uri) for stored in made.stored.values()) + album.MARKUP * len(shown + frames)

    whole = album.album(album.scenes(group), budget=10**7)
    strips_alone = size(replace(whole, films={}))
    fewer = album.album(album.scenes(group), strips_alone)
    assert fewer.strips == whole.strips, "films take what strips have left"
    assert 0 < fewer.left_out[group.key] <= 2 * (len(ORDER) - 1)
    budget = strips_alone * 3 // 5
    made = album.album(album.scenes(group), budget)
    shown = {task: len(strips) for task, strips in made.strips[group.key].items()}
    assert size(made) <= budget
    assert sum(shown.values()) + made.left_out[group.key] == 2 * len(ORDER)
    assert set(shown) == set(ORDER)  # every task keeps its first image
    nothing = album.album(album.scenes(group), budget=-1)
    assert (nothing.strips, nothing.films, nothing.stored) == ({}, {}, {})
    assert nothing.left_out == {group.key: 2 * len(ORDER)}


def test_a_film_shows_an_image_after_each_task(group: Group) -> None:
    films = album.album(album.scenes(group), budget=10**7).films[group.key]
    assert list(films) == ORDER[:3], "the last task has no later one"
    first, second = films["derain"]
    assert list(first.moments.values()) == ORDER
    assert {label: len(reel) for label, reel in first.reels.items()} == dict.fromkeys(first.reels, 4)
    assert set(first.reels) == {entry.label for entry in group.entries}
    assert list(second.moments.values()) == ["derain", "deblur"], "of the second image made runs keep the ends alone"
    kept, lost = first.reels["cmc"], first.reels["finetune"]
    assert abs(kept[-1].psnr - kept[0].psnr) < 0.5
    assert lost[-1].psnr < lost[0].psnr - 5
    assert list(films["denoise"][0].moments.values()) == ORDER[1:]


def test_runs_without_pictures_between_show_the_ends(tmp_path: Path) -> None:
    run = made_run(tmp_path)
    for path in run.path.glob("images/*--after-?.png"):
        path.unlink()
    (alone,) = collect([tmp_path]).groups
    films = album.album(album.scenes(alone), budget=10**7).films[alone.key]
    assert [list(film.moments.values()) for film in films["derain"]] == [["derain", "deblur"]] * 2


def test_what_is_learned_all_at_once_has_no_moment_before_the_end(tmp_path: Path) -> None:
    run = made_run(tmp_path, "together")
    metrics = run.metrics
    metrics[metrics["after"].isin([0, 4])].to_csv(run.path / "metrics.csv", index=False)
    (alone,) = collect([tmp_path]).groups
    assert album.moments(alone.entries[0].results[0], 1) == {4: "final"}
    assert not album.album(album.scenes(alone), budget=10**7).films


def test_a_picture_that_is_too_large_is_not_opened(tmp_path: Path) -> None:
    Image.new("L", (pictures.LARGEST + 1, 1)).save(tmp_path / "large.png")
    (tmp_path / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    Image.new("RGB", (4, 4)).save(tmp_path / "disguised.png", "JPEG")
    Image.new("L", (pictures.LARGEST, 1)).save(tmp_path / "fitting.png")
    for name in ("large", "damaged", "disguised", "absent"):
        assert pictures.open_picture(tmp_path / f"{name}.png") is None
    assert pictures.open_picture(tmp_path / "fitting.png") is not None


def test_names_turn_no_line_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turning = "\u202e\u2066\u2069\u200e\u200f"
    monkeypatch.setattr(made_runs, "IMAGES", [f"one{turning}", "two"])
    order = [f"first{turning}", "second"]
    made_run(tmp_path / "runs", "cmc", order=order)
    made_run(tmp_path / "runs", "finetune", keeps=False, order=order)
    page = reports.build([tmp_path / "runs"], tmp_path / "page").index.read_text(encoding="utf-8")
    assert not set(turning) & set(page)
    for name in ("first", "one"):
        assert name + ascii(turning)[1:-1] in page
