"""CMC as a strategy: the network does all of Algorithm 1, the strategy only converts the backbone."""

from dataclasses import replace
from functools import partial
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from benchmark.core.errors import UserError
from strategies.base import Settings, Strategy, Traits
from strategies.cmc.backward import CHOOSE, learn_from_later
from strategies.cmc.layer import CMCConv2d, Sharing
from strategies.cmc.network import CMCNetwork, convert
from strategies.copies import refuse_lazy
from strategies.rehearsal import StoredPatches
from strategies.tasks import MAX_TASKS
from strategies.trainer import Trainer

MOST_VALUES = 2**30
"""Values in all memories of a network, at most, which is 4 GiB, and three times as much again in training."""


class CMCSettings(Settings):
    """Settings of CMC."""

    fraction: float = Field(0.10, gt=0, le=1, description="share of every layer's memory that each task owns")
    t: int = Field(5, ge=1, le=1000, description="rows of memory in a layer; CMC-t in the paper")
    t_ends: int | None = Field(
        None, ge=1, le=1000, description="rows in the first and the last convolution, if not t (10 in Table 5)"
    )
    sharing: Sharing = Field(
        "fixed",
        description="what a task takes from earlier ones: nothing; a copy of the last kernel, to start from; their "
        "kernels (Eq. 4); or new vectors over theirs",
    )
    start: float | None = Field(
        None,
        ge=-10,
        le=10,
        description="T_n at the start of tasks after the first; by default 0 with sharing and 1 without (or of a copy)",
    )
    exhausted: Literal["error", "expand"] = Field("error", description="what to do when too little memory is free")
    backward: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="patches stored in all, on which earlier tasks learn from later ones after the last; 0 for never",
    )


class CMC(Strategy):
    """Continual Memory in Convolution: kernels estimated from one shared, partly frozen memory (the paper's).

    Every layer has a memory M of t rows, as long as its kernel has weights; task n owns a random share of its entries,
    ``H_n``, and has a vector T_n of t factors. Its kernel is ``K_n = Σ_{i<n} T_i·(M ⊙ H_i) + T_n·(M ⊙ H_n)`` (Eq. 1-4),
    of which it trains the last term, and the first is what earlier tasks know. Biases, and all that is outside of
    convolutions, belong to the task. Where T_n starts, how M is scaled, and the kinds of ``sharing`` beside the paper's
    (``fixed``, ``none``) are ours; docs/paper.md tells what the paper leaves open. With ``backward`` earlier tasks
    learn from later ones after the last, which section 5 names as future work: then patches are stored, old outputs
    change where that makes stored patches better, and each earlier task has one more epoch of updates.
    """

    name = "cmc"
    revision = 2
    """2: what a task owns is summed without the rest of the memory, and so in another order."""
    Settings = CMCSettings
    traits = Traits(needs_task_id=True, grows=True, protects_exactly=True)
    settings: CMCSettings

    def __init__(self, settings: CMCSettings, seed: int = 0) -> None:
        super().__init__(settings, seed)
        self.stored = StoredPatches(settings.backward)
        self.tasks = 0
        if settings.backward:
            self.traits = replace(self.traits, stores_data=True, protects_exactly=False)

    def adapt(self, backbone: nn.Module, tasks: int) -> nn.Module:
        """Convert every convolution; each keeps its shape.

        Raises:
            UserError: the tasks do not fit into the memory, or settings do not fit each other or the backbone.
        """
        chosen = self.settings
        refuse_lazy(backbone)
        if tasks > MAX_TASKS:
            raise UserError(f"{tasks} tasks: cmc keeps the owners of entries of at most {MAX_TASKS} tasks.")
        if chosen.fraction * tasks > 1 + 1e-9 and chosen.exhausted == "error":
            raise UserError(
                f"cmc.fraction = {chosen.fraction:g} for each of {tasks} tasks is {chosen.fraction * tasks:.0%} of the "
                f"memory. Use a fraction of at most {1 / tasks:.4g}, or set cmc.exhausted=expand."
            )
        rows = max(chosen.t, chosen.t_ends or 0)
        values = rows * sum(parameter.numel() for parameter in backbone.parameters())
        if values > MOST_VALUES:
            raise UserError(
                f"cmc.t = {rows} rows of memory for each weight of this network are {values:,} values; at most "
                f"{MOST_VALUES:,}. Use fewer rows, or a smaller network."
            )
        if chosen.sharing == "copy":
            _refuse_lost_copies(chosen, tasks)
        if 0 < chosen.backward < CHOOSE * (tasks - 1):
            raise UserError(
                f"cmc.backward = {chosen.backward} stores too few patches for {tasks - 1} earlier tasks to learn from "
                f"and to be judged on. Use {CHOOSE * (tasks - 1)} at least, or 0."
            )
        self.tasks = tasks
        begin = partial(
            CMCConv2d.begin,
            fraction=chosen.fraction,
            sharing=chosen.sharing,
            start=chosen.start,
            exhausted=chosen.exhausted,
        )
        network = CMCNetwork(convert(backbone, chosen.t, chosen.t_ends, self.seed), begin)
        for layer in network.layers:
            if layer.need(chosen.fraction) * tasks > layer.free and chosen.exhausted == "error":
                raise UserError(
                    f"Layer '{layer.name}' has {layer.free} entries of memory, and each of {tasks} tasks takes one at "
                    f"least. Use {-(-tasks // layer.m)} rows or more (cmc.t, cmc.t_ends), or set "
                    "cmc.exhausted=expand."
                )
        return network

    def after_training_exp(self, trainer: Trainer) -> None:
        """Store patches of the task if earlier tasks are to learn from later ones; after the last, let them."""
        if not self.settings.backward:
            return
        task = trainer.experience.current_experience
        if task < self.tasks - 1:
            self.stored.add(task, trainer.experience.dataset)
            return
        for earlier in range(task):
            learn_from_later(earlier, trainer, self.stored, self.seed)

    def state(self) -> dict[str, Tensor]:
        """The stored patches, if there are to be any."""
        return self.stored.state() if self.settings.backward else {}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take up the stored patches."""
        if self.settings.backward:
            self.stored.load_state(state)


def _refuse_lost_copies(chosen: CMCSettings, tasks: int) -> None:
    """Raise an error where tasks would start from much less than a copy of the kernel before."""
    if chosen.start is not None:
        raise UserError(
            f"cmc.start = {chosen.start:g} beside cmc.sharing = copy: T_n is 1 where a task starts from a copy. Leave "
            "cmc.start out, or use another sharing."
        )
    rows = min(chosen.t, chosen.t_ends or chosen.t)
    if rows < tasks:
        raise UserError(
            f"cmc.sharing = copy takes an entry of the same weights with every task, and {tasks} tasks do not fit into "
            f"{rows} row{'s' if rows > 1 else ''} of memory. Use at least {tasks} rows (cmc.t, cmc.t_ends)."
        )
