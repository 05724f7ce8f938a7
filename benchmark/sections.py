"""The groups of settings that every run has, each with its help and its range beside it."""

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from benchmark import backbones
from benchmark.core.errors import meant
from benchmark.core.printing import gib
from benchmark.core.validation import Closed
from benchmark.core.yaml_files import as_path

SOURCES = {
    "embedded": "photographs that ship inside scikit-image, scikit-learn and matplotlib, and dead leaves; "
    "data.photographs says whether few or all are used",
    "datasets": "datasets on disk, found under --data-root: published ones such as DIV2K, and folders of your own",
}
"""Where images come from: name → one line about it."""

MOST_UPDATES = 100_000_000
"""Batch updates for one task, at most; the paper makes 125,000."""
MOST_PATCHES = 4 * 2**30
"""Bytes of a batch's patches and their targets, at most; the paper's take 6 MiB."""


class Section(Closed):
    """A group of settings."""


class Training(Section):
    """How long, with what and how fast a task is learned."""

    epochs: int = Field(125, ge=1, description="epochs per task")
    updates_per_epoch: int = Field(1000, ge=1, validate_default=True, description="batch updates in an epoch")
    batch_size: int = Field(16, ge=1, description="patches in a batch")
    patch_size: int = Field(128, ge=8, le=1024, validate_default=True, description="side of a training patch in pixels")
    learning_rate: float = Field(1e-4, gt=0, le=1, description="Adam's learning rate at the start of a task")
    schedule: Literal["halving", "cosine", "constant"] = Field(
        "halving", description="learning rate: halved every halve_every epochs, cosine decay to zero, or constant"
    )
    halve_every: int = Field(25, ge=1, description="epochs between two halvings")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="where to train; auto takes a GPU if there is one"
    )
    deterministic: bool = Field(
        True, description="on a GPU, ask torch for deterministic algorithms, which may be slower; on a CPU they are"
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "fp32", description="of the forward pass in training; auto takes bf16 where the device computes it natively"
    )
    patches_on: Literal["auto", "cpu", "device"] = Field(
        "cpu",
        description="where patches are cut and degraded; what is random about them is drawn on the CPU in any case, "
        "and JPEG and camera noise are computed there. auto takes a GPU on which the training images fit",
    )
    save_seconds: int = Field(
        5, ge=1, description="seconds after which training is saved within an epoch; longer if that took over 1 % of it"
    )

    @field_validator("updates_per_epoch")
    @classmethod
    def _within_a_life(cls, updates: int, info: ValidationInfo) -> int:
        epochs = info.data.get("epochs", 1)
        if epochs * updates > MOST_UPDATES:
            many = f"With training.epochs = {epochs:,} a task has {epochs * updates:,} updates"
            raise ValueError(f"{many}; at most {MOST_UPDATES:,}")
        return updates

    @field_validator("patch_size")
    @classmethod
    def _within_memory(cls, side: int, info: ValidationInfo) -> int:
        batch = info.data.get("batch_size", 1)
        pair = 2 * 3 * 4 * side**2  # bytes of a patch and its target in float32
        needed = batch * pair
        if needed > MOST_PATCHES:
            raise ValueError(
                f"A batch of {batch:,} patches of this side takes {gib(needed)}; at most {gib(MOST_PATCHES)}, "
                f"which is training.batch_size = {MOST_PATCHES // pair:,}"
            )
        return side

    @property
    def updates(self) -> int:
        """Batch updates for one task."""
        return self.epochs * self.updates_per_epoch


class Data(Section):
    """Where the images come from."""

    source: str = Field("embedded", description="embedded photographs, or the datasets that each task names")
    root: str | None = Field(None, description="folder that holds the datasets")
    fallback: Literal["none", "embedded"] = Field(
        "none", description="what stands in for a dataset that is not under the root"
    )
    cache: str | None = Field(
        None, description="folder for decoded training images of large datasets; by default beside the data"
    )
    photographs: Literal["few", "all"] = Field(
        "few",
        description="embedded photographs: few, 3 to test and 2 to validate on; or all, 8 to test on and 4, with six "
        "crops, to validate on. The same 6 are trained on",
    )
    dead_leaves: int = Field(12, ge=0, le=1000, description="generated dead-leaves images on the training side")
    validation_size: int = Field(256, ge=32, description="side of the centre crop of a validation image, in pixels")
    test_size: int | None = Field(
        None, ge=32, description="side of the centre crop of a test image, in pixels; by default whole images"
    )
    tile: int = Field(
        2048,
        ge=64,
        description="side of overlapping tiles for test images of more than tile × tile pixels",
    )
    workers: int | None = Field(
        None,
        ge=0,
        le=64,
        description="processes that draw patches ahead; results do not depend on it. By default none on a CPU, and "
        "beside a GPU one for each core but one, at most 8",
    )

    @field_validator("source")
    @classmethod
    def _known(cls, source: str) -> str:
        if source not in SOURCES:
            raise ValueError(f"{meant(source, SOURCES)} Those accepted: {', '.join(SOURCES)}".lstrip())
        return source

    @field_validator("root", "cache")
    @classmethod
    def _place(cls, written: str | None) -> str | None:
        return None if written is None else str(as_path(written))


class Backbone(Section):
    """The network that every strategy starts from."""

    name: str = Field("resnet", description="which network")
    width: int = Field(64, ge=1, le=1024, description="channels inside the network")
    blocks: int = Field(6, ge=0, le=100, description="residual blocks")
    image_skip: bool = Field(False, description="add the input image to the output")

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in backbones.CATALOGUE:
            known = backbones.entries()
            raise ValueError(f"{meant(name, known)} Those accepted: {', '.join(known)}".lstrip())
        return name


class Evaluation(Section):
    """What is measured beside quality on every task after every task."""

    identify: bool = Field(
        default=False,
        description="after the last task, restore every test image under every task's label, too, and under that which "
        "a task identifier gives it; for strategies that are told the task",
    )
    mixtures: bool = Field(
        default=False,
        description="after the last task, restore the test images of a mixture of earlier tasks also by one of these "
        "after the other, and by the mean of their kernels; for strategies that are told the task",
    )
    stability_gap: bool = Field(
        default=False,
        description="after every epoch, measure the validation images of the tasks learned before, too: how far each "
        "sinks while another is learned",
    )


class Revisions(Section):
    """Which code makes a run: numbers that are raised when results change."""

    strategy: int = Field(default=1, ge=1, description="the strategy's own, see benchmark.core.plugins.catalogue")
    backbone: int = Field(default=1, ge=1, description="that of a backbone that is not built in")
    training: int = Field(default=1, ge=1, description="that of the shared code, see benchmark.engine.setup.TRAINING")
