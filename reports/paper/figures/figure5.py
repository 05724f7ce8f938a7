"""Figure 5: pictures of each task, learned without sharing and learned last with it."""

from typing import TYPE_CHECKING

import numpy as np

from benchmark.core.metrics import psnr
from benchmark.experiments import paper
from reports.items.drawing import WIDTH, drawing
from reports.items.item import Item
from reports.items.style import MUTED
from reports.paper.evidence import FOUR_TASKS, Evidence
from reports.paper.figures.sharing import WITH, WITHOUT
from reports.pictures import Scene, Shown, error_map, kept_images, look
from reports.text import fixed, listed

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def scenes(evidence: Evidence) -> list[Scene]:
    """For each task a test image, restored without sharing and by the run that learned the task last.

    Both are of the smallest seed that both have, or else each of its own smallest.
    """
    (without,) = paper.load("figure5").combinations()
    alone, orders = evidence.entry(without), list(paper.load("table3").combinations())
    found = []
    for task in FOUR_TASKS:
        last = evidence.entry(next(one for one in orders if paper.stream(one.stream).order[-1] == task))
        if alone is None or last is None:
            continue
        common = {result.seed for result in alone.results} & {result.seed for result in last.results}
        one, other = (
            next((result.run for result in entry.results if result.seed in common), entry.results[0].run)
            for entry in (alone, last)
        )
        runs = {WITHOUT: one, f"{WITH}, learned last": other}
        images = kept_images(list(runs.values())).get(task, [])
        found += [Scene(f"{evidence.key}-figure5", task, image, runs) for image in images[:1]]
    return found


def item(evidence: Evidence) -> Item | None:
    """For each task the whole picture, and the enlarged part as restored and its errors."""
    shown = [(scene, picture) for scene in scenes(evidence) if (picture := look(scene)) and not picture.missing]
    if not shown:
        return None
    share = paper.load("figure5").set["cmc.fraction"]
    seeds = [
        listed(sorted({str(run.config.get("seed", 0)) for run in runs}))
        for runs in zip(*(scene.runs.values() for scene, _ in shown), strict=True)
    ]

    def draw(figure: "Figure") -> None:
        columns = max(len(picture.pictures) for _, picture in shown) + 2
        grid = figure.subplots(2 * len(shown), columns, squeeze=False)
        for axis in grid.flat:
            axis.set_axis_off()
        for row, (scene, picture) in enumerate(shown):
            _scene(grid[2 * row : 2 * row + 2], scene, picture)

    figure = drawing(
        f"Test images at {100 * share:g} % of the memory: restored without sharing, and by the run that learned the "
        f"task last, with what three tasks before had taught (seed {' / '.join(dict.fromkeys(seeds))}). Of a large "
        "image the middle is shown, as the runs keep it, and PSNR is that of what is shown. The framed part is "
        "enlarged; below it its error, bright where it is far off.",
        "Pictures of " + ", ".join(scene.task for scene, _ in shown),
        (WIDTH, 3.1 * len(shown)),
        draw,
    )
    return Item("figure5", evidence.key, "Figure 5: pictures without and with sharing", drawing=figure)


def _scene(axes: np.ndarray, scene: Scene, shown: Shown) -> None:
    from matplotlib.patches import Rectangle

    left, top, side = shown.crop
    part = np.s_[top : top + side, left : left + side]
    whole, below = axes[:, 0]
    whole.imshow(shown.clean, interpolation="nearest")
    whole.add_patch(Rectangle((left, top), side, side, facecolor="none", edgecolor="#d55e00", linewidth=1.2))
    whole.set_title(scene.task, fontsize=9)
    below.text(0.5, 0.9, scene.image, ha="center", va="top", fontsize=8, color=MUTED, transform=below.transAxes)
    for (above, error), (label, picture) in zip(
        axes.T[1:], [*shown.pictures.items(), ("clean", shown.clean)], strict=False
    ):
        above.imshow(picture[part], interpolation="nearest")
        value = "" if label == "clean" else f"\n{fixed(psnr(shown.clean, picture))} dB"
        above.set_title(f"{label}{value}", fontsize=8, fontweight="normal")
        if label != "clean":
            error.imshow(error_map(picture[part], shown.clean[part]), interpolation="nearest")
