"""Experience replay: stored patches of earlier tasks in every batch."""

import torch

from strategies.rehearsal import Rehearsal
from strategies.trainer import Trainer


class Replay(Rehearsal):
    """Experience replay: every batch of new patches is joined by as many stored patches of earlier tasks.

    After Rolnick et al. (NeurIPS 2019) and Chaudhry et al. (2019, "On tiny episodic memories"). The number of updates
    and of new patches is that of every other strategy; from the second task on a batch is twice as large, so an
    update costs twice as much. The loss is the mean over the whole batch: old and new count the same.

    Not Avalanche's plugin, which replaces the loader by a pass over the whole data set (here: every patch of every
    epoch, in each epoch), draws from torch's global generator, and keeps indices where an honest count needs pixels.
    """

    name = "replay"
    relative_cost = 2.5

    def before_training_iteration(self, trainer: Trainer) -> None:
        """Join stored patches to the batch."""
        if len(self.stored):
            old = self.stored.draw(len(trainer.mb_x), self.rng(trainer, "replay"))
            trainer.mbatch = [
                torch.cat([new, stored.to(trainer.device)]) for new, stored in zip(trainer.mbatch, old, strict=True)
            ]
