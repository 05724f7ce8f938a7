"""CPG: compact what a task has learned, pick what the next one can use of it, and grow where that is not enough.

Hung et al., "Compacting, Picking and Growing for Unforgetting Continual Learning", NeurIPS 2019. A task trains the free
weights of one network together with a mask over those of earlier tasks, which are frozen (picking)::

    W_k = M_k ⊙ W_{1:k-1} + W_k^free,   M_k = (m_k > 0),   ∂L/∂m_k := ∂L/∂W_k ⊙ W_{1:k-1}   (straight-through)

Then its free weights are pruned in small steps, up to the highest ratio at which it still meets a goal, and trained on
in between (compacting); those that remain are frozen, and the others are free for the next task. Where a task misses
the goal before anything is pruned, the network is widened (growing): its old weights become the leading channels, those
between old and new channels start at zero, so that the function stays, and earlier tasks go on to compute with the old
channels alone, at the old cost. What a task uses is kept as one bit a weight, and who owns a weight as int8.

The method was made for classes, where the goal is an accuracy that was reached before by a network for each task. Here
it is the PSNR of such a network, minus a tolerance: it is trained beside, on the same batches, with the weights that
``independent`` draws, which doubles the time of an update; nothing of it is stored once the task is learned. Both are
measured at the same update on the task's last training patches, which neither has been trained on then, unless
``samples`` are more than the last quarter of the updates has; strategies are shown no images for validation. The
original trains until each step is settled; here all happens within the updates that every strategy has. Between a
quarter and three quarters of them there are ten checks. One that is met prunes another tenth of what the task has
trained, in every layer, the smallest weights first. One that is missed takes the last step back, with the weights as
they were, and ends pruning; or, if nothing was pruned, it widens the network, once a task. All later updates retrain.

As in the authors' code, scores start above their threshold, so that a task begins with all frozen weights picked,
beside free ones at zero, and biases are the task's own. Our choices: biases start at those of the task before; scores
are trained by the same optimizer as weights, and go on while weights are pruned, where the authors hold them then; a
network with trained parameters outside of convolutions is refused.
"""

from functools import partial

import torch
from pydantic import Field
from torch import Tensor, nn

from benchmark.core.errors import UserError
from strategies.base import Settings, Strategy, Traits, evaluating
from strategies.copies import copied
from strategies.cpg.network import GrowingNetwork
from strategies.cpg.widening import check_that_it_widens
from strategies.separate import redrawn
from strategies.state import from_state, load_moments, load_network, moments, to_state
from strategies.tasks import MAX_TASKS
from strategies.trainer import Trainer, psnr

STEPS = 9
"""Steps of pruning, each of a tenth."""


class CPGSettings(Settings):
    """Settings of CPG."""

    tolerance: float = Field(
        0.5, ge=0, le=100, description="dB that a task may fall behind a network of its own, trained as long"
    )
    grow: float = Field(
        0.25, ge=0, le=4, description="widening at a missed goal, as a share of the backbone's width; 0 for never"
    )
    start: float = Field(
        0.1, gt=0, le=10, description="where scores start; Adam moves one by about the learning rate in an update"
    )
    samples: int = Field(32, ge=1, le=100_000, description="training patches on which the goal is measured")


class CPG(Strategy):
    """Compacting, picking and growing: prune to a goal, pick from frozen weights, widen if need be (Hung et al., 2019).

    Beside the network it trains one of the task alone, which sets the goal.
    """

    name = "cpg"
    relative_cost = 2.4
    Settings = CPGSettings
    traits = Traits(needs_task_id=True, grows=True, protects_exactly=True)
    settings: CPGSettings

    def adapt(self, backbone: nn.Module, tasks: int) -> nn.Module:
        """A network whose weights are picked from, pruned and added to.

        Raises:
            UserError: weights lie outside of convolutions, there are too many tasks, or the backbone cannot be widened.
        """
        if tasks > MAX_TASKS:
            raise UserError(f"{tasks} tasks: cpg keeps the owners of weights of at most {MAX_TASKS} tasks.")
        self.make = partial(redrawn, copied(backbone), self.seed)
        network = GrowingNetwork(backbone, self.settings.start)
        if self.settings.grow:
            check_that_it_widens(backbone)
        return network

    def before_training_exp(self, trainer: Trainer) -> None:
        """Begin with a network of the task alone, which sets the goal."""
        self.goal = self.make(trainer.experience.current_experience).to(trainer.device)
        self.goal.train()
        self.steps = torch.optim.Adam([p for p in self.goal.parameters() if p.requires_grad], foreach=True)
        self.pruned, self.settled, self.grown = 0, False, False

    def before_training_iteration(self, trainer: Trainer) -> None:
        """Train that network on the batch, as a whole where several processes share it."""
        self.steps.param_groups[0]["lr"] = trainer.optimizer.param_groups[0]["lr"]
        self.steps.zero_grad()
        with torch.enable_grad():
            trainer.loss_function(self.goal(trainer.mb_x.clone()), trainer.mb_y).backward()
        self.steps.step()

    def after_training_iteration(self, trainer: Trainer) -> None:
        """At a check, prune further or take the last step back, or widen the network."""
        updates = trainer.training_settings.updates
        checks = {max(1, round(updates * (0.25 + 0.5 * check / STEPS))) for check in range(STEPS + 1)}
        if self.settled or trainer.clock.train_exp_iterations + 1 not in checks:  # the clock counts after all plugins
            return
        network = trainer.model
        assert isinstance(network, GrowingNetwork)
        if self.meets_goal(trainer):
            self.settled = self.pruned == STEPS
            self.pruned += not self.settled
            network.prune(1 - self.pruned / (STEPS + 1))
        elif self.pruned:
            network.take_back()
            self.pruned, self.settled = self.pruned - 1, True
        elif self.settings.grow and not self.grown:
            network.grow(self.settings.grow, self.seed)
            self.grown = True
            trainer.make_optimizer()

    @torch.no_grad()
    def meets_goal(self, trainer: Trainer) -> bool:
        """Whether mean PSNR on the task's last training patches is that of the other network, but for the tolerance."""
        dataset, task = trainer.experience.dataset, trainer.experience.current_experience
        samples = min(self.settings.samples, len(dataset))
        gap = 0.0
        with evaluating([*trainer.model.modules(), *self.goal.modules()]):
            for index in range(len(dataset) - samples, len(dataset)):
                degraded, clean = (image[None].to(trainer.device) for image in dataset[index][:2])
                gap += (psnr(self.goal(degraded.clone()), clean) - psnr(trainer.model(degraded, task), clean)) / samples
        return gap <= self.settings.tolerance

    def progress(self) -> dict[str, Tensor]:
        """That network with its optimizer, and how far pruning and growing are."""
        stage = torch.tensor([self.pruned, self.settled, self.grown])
        goal = to_state("goal", self.goal.state_dict())
        return {**goal, **to_state("moments", moments(self.steps)), "stage": stage}

    def load_progress(self, progress: dict[str, Tensor]) -> None:
        """Go on from what :meth:`progress` gave."""
        load_network(self.goal, from_state("goal", progress))
        load_moments(self.steps, from_state("moments", progress))
        pruned, settled, grown = progress["stage"].tolist()
        self.pruned, self.settled, self.grown = pruned, bool(settled), bool(grown)
