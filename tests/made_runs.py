"""Small synthetic run directories, whose every figure follows from a rule that a reader can compute by hand.

Task j (from 0) has a degraded input of ``INPUTS[j]`` dB and reaches ``LEARNED[j]`` dB right after it was learned. A
strategy that forgets loses 2 dB on every earlier task with each task it learns; one that keeps loses nothing. A task
not learned yet stands 1 dB below its input.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmark.core.runs.directory import Run, after_kind
from benchmark.core.runs.schemas import CURVES, LEDGER, METRICS, OUTPUTS
from benchmark.core.runs.seals import SEAL, digest
from benchmark.core.runs.writing import write_json, write_table
from benchmark.reference import records

ORDER = ["derain", "denoise", "deblock", "deblur"]
INPUTS = [25.0, 15.0, 27.0, 24.0]
LEARNED = [30.0, 25.0, 28.0, 26.0]
LOSS = 2.0
IMAGES = ["chelsea", "china"]
APART = [-0.5, 0.5]
"""dB by which each image is off the mean."""
PROTOCOL = "RGB, clamped to [0, 1], rounded to uint8, no border crop, mean over images"


def config(strategy: str = "cmc", seed: int = 0, **changes: Any) -> dict[str, Any]:
    """A resolved configuration; ``changes`` replace top-level entries."""
    return {
        "strategy": strategy,
        "stream": "four_tasks",
        "order": ORDER,
        "preset": "quick",
        "seed": seed,
        "data": {"source": "embedded"},
        "backbone": {"name": "resnet", "width": 16, "blocks": 6, "image_skip": False},
        "training": {"epochs": 2, "updates_per_epoch": 100, "batch_size": 8, "patch_size": 48, "learning_rate": 0.002},
        "settings": {"fraction": 0.1, "sharing": "fixed"},
    } | changes


def psnr(i: int, j: int, keeps: bool, shift: float = 0.0) -> float:
    """PSNR in dB on task j after learning task i, both from 0."""
    if i < j:
        return INPUTS[j] - 1.0
    return LEARNED[j] + shift - (0.0 if keeps else LOSS * (i - j))


def made_run(
    folder: Path,
    strategy: str = "cmc",
    keeps: bool = True,
    state: str = "finished",
    shift: float = 0.0,
    seed: int = 0,
    done: int | None = None,
    **changes: Any,
) -> Run:
    """Write one run directory below ``folder``.

    Args:
        folder: where the run's own directory is made.
        strategy: any name, also a hostile one.
        keeps: whether old tasks keep their PSNR.
        state: what ``status.json`` says.
        shift: dB added to all that was learned.
        seed: the run's seed.
        done: how many tasks were learned; all of them by default.
        changes: top-level entries of the configuration to replace.
    """
    order = changes.get("order", ORDER)
    done = len(order) if done is None else done
    name = f"run-{len(list(folder.glob('*'))) if folder.exists() else 0:02d}-seed{seed}"
    run = Run.create(
        folder / name,
        config(strategy, seed, **changes),
        {"python": "3.11.7", "torch": "2.15.0", "machine": "made", "threads": 2, "device": "cpu"},
    )
    write_table(run.path / "metrics.csv", _metrics(order, done, keeps, shift), METRICS)
    write_table(run.path / "curves.csv", _curves(order, done, shift), CURVES)
    write_table(run.path / "outputs.csv", _outputs(order, done, keeps, shift), OUTPUTS)
    write_table(run.path / "ledger.csv", _ledger(order, done), LEDGER)
    if done == len(order):
        _pictures(run, order, noise=10 if keeps else 25)
    more: dict[str, Any] = {"error": "RuntimeError: the loss is not finite"} if state == "failed" else {}
    if state == "finished":
        more = {"seconds": 60.0 * done}
    run.update_status(state=state, tasks_done=done, tasks=len(order), seconds_per_task=[60.0] * done, **more)
    if state == "finished":
        write_json(run.path / SEAL, {"sha256": {}})  # of no file, so that tests may change what they like
    return run


def made_records(folder: Path, *runs: Run) -> Path:
    """Pack the records of made runs into archives below ``folder``, as they are and sealed, whatever they say."""
    held: dict[str, dict[str, records.Files]] = {}
    for run in runs:
        found = [name for name in records.FILES if name != SEAL and (run.path / name).exists()]
        files = {name: (run.path / name).read_bytes() for name in found}
        files[SEAL] = json.dumps({"sha256": {name: digest(data) for name, data in files.items()}}).encode()
        held.setdefault(run.config["preset"], {})[run.name] = files
    for preset, members in held.items():
        records.pack(folder, preset, members)
    return folder


def _metrics(order: list[str], done: int, keeps: bool, shift: float) -> list[dict[str, Any]]:
    rows = []
    for j, task in enumerate(order):
        place = {"place": j + 1, "task": task, "images": len(IMAGES), "unit": "", "protocol": PROTOCOL}
        rows.append({"after": 0, **place, "subject": "input", "metric": "psnr", "value": INPUTS[j], "unit": "dB"})
        rows.append({"after": 0, **place, "subject": "input", "metric": "ssim", "value": INPUTS[j] / 40})
        for i in range(done):
            after = {"after": i + 1, "after_task": order[i], **place, "subject": "output"}
            value = psnr(i, j, keeps, shift)
            rows.append({**after, "metric": "psnr", "value": value, "unit": "dB"})
            rows.append({**after, "metric": "ssim", "value": value / 40})
            if i > j:
                changed = 0 if keeps else len(IMAGES)
                rows.append({**after, "metric": "outputs_changed", "value": changed, "unit": "count"})
    return rows


def _curves(order: list[str], done: int, shift: float) -> list[dict[str, Any]]:
    return [
        {
            "after": j + 1,
            "place": j + 1,
            "task": order[j],
            "epoch": epoch,
            "update": 100 * epoch,
            "loss": None if epoch == 0 else 0.01 / epoch,
            "psnr": LEARNED[j] + shift - 4.0 * (2 - epoch),
            "learning_rate": 0.002,
        }
        for j in range(done)
        for epoch in range(3)
    ]


def _outputs(order: list[str], done: int, keeps: bool, shift: float) -> list[dict[str, Any]]:
    return [
        {
            "after": i + 1,
            "place": j + 1,
            "task": task,
            "image": image,
            "sha256": "0" * 64,
            "psnr": value,
            "ssim": value / 40,
            "psnr_y": value + 1.0,
            "ssim_y": value / 40,
        }
        for i in range(done)
        for j, task in enumerate(order)
        for image, apart in zip(IMAGES, APART, strict=True)
        for value in [psnr(i, j, keeps, shift) + apart]
    ]


def _ledger(order: list[str], done: int) -> list[dict[str, Any]]:
    quantities = {"stored_parameters": (1000.0, ""), "stored_bytes": (4096.0, "bytes"), "macs_per_pixel": (29000.0, "")}
    return [
        {"after": i + 1, "task": order[i], "quantity": name, "value": value * (i + 1), "unit": unit}
        for i in range(done)
        for name, (value, unit) in quantities.items()
    ]


def _pictures(run: Run, order: list[str], noise: float) -> None:
    """Pictures of 48×40 pixels: stripes, and noise of some standard deviation in grey levels.

    After later tasks but the last, of the first image alone, there is as much noise as when the task was learned.
    """
    generator = np.random.default_rng(0)
    y, x = np.mgrid[0:40, 0:48]
    clean = np.stack([128 + 80 * np.sin(x / 3), 128 + 80 * np.sin(y / 4), 3.0 * x + y], axis=-1)
    for place, task in enumerate(order, 1):
        for image in IMAGES:
            between = (
                [(after_kind(after), 10.0) for after in range(place + 1, len(order))] if image == IMAGES[0] else []
            )
            ends = (("clean", 0.0), ("degraded", 40.0), ("learned", 10.0), ("final", noise))
            for kind, strength in (*ends, *between):
                picture = clean + generator.normal(0, strength, clean.shape) if strength else clean
                path = run.image(task, image, kind)
                path.parent.mkdir(exist_ok=True)
                Image.fromarray(np.clip(np.rint(picture), 0, 255).astype(np.uint8)).save(path)
