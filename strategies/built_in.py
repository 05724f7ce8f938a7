"""The suite's own strategies: where the class of each is, one line about it, and what it declares.

It stands in a table, so that lists, and reports on older runs, know them without importing torch or Avalanche.
"""

from dataclasses import dataclass

from benchmark.core.plugins import catalogue
from strategies.traits import Traits


@dataclass(frozen=True)
class Entry(catalogue.Entry):
    """Where a strategy is, one line about it, and what it declares.

    Args:
        traits: what the class declares; None where it is not known before the class is imported.
    """

    traits: Traits | None = None


OWN_PARTS = Traits(needs_task_id=True, grows=True, protects_exactly=True)
"""Traits of what adds a part of its own for every task."""

BUILT_IN = {
    "cmc": Entry(
        "strategies.cmc.strategy:CMC", "kernels from one shared, partly frozen memory (the paper's)", traits=OWN_PARTS
    ),
    "packnet": Entry(
        "strategies.packnet:PackNet",
        "each task keeps the largest free weights and prunes the rest",
        traits=Traits(needs_task_id=True, protects_exactly=True),
    ),
    "lora": Entry(
        "strategies.lora:LoRA", "adds a product of low rank to the first task's kernels for each task", traits=OWN_PARTS
    ),
    "dan": Entry("strategies.dan:DAN", "combines the first task's filters anew for each task", traits=OWN_PARTS),
    "piggyback": Entry(
        "strategies.piggyback:Piggyback", "chooses by a mask among the first task's weights", traits=OWN_PARTS
    ),
    "wsn": Entry(
        "strategies.wsn:WSN", "each task chooses a share of the weights, and trains those still free", traits=OWN_PARTS
    ),
    "mini": Entry(
        "strategies.mini:MINI", "kernels of its own for every task, pulled towards the earlier ones", traits=OWN_PARTS
    ),
    "pnn": Entry("strategies.pnn:PNN", "a column per task, which reads what earlier columns compute", traits=OWN_PARTS),
    "cpg": Entry(
        "strategies.cpg.strategy:CPG",
        "prunes to a goal, picks frozen weights, widens where a task needs it",
        traits=OWN_PARTS,
    ),
    "mas": Entry("strategies.mas:MAS", "holds weights that earlier tasks' outputs are sensitive to", traits=Traits()),
    "ewc": Entry(
        "strategies.ewc:EWC",
        "holds weights that earlier tasks' losses are sensitive to (Fisher)",
        traits=Traits(grows=True),
    ),
    "si": Entry(
        "strategies.si:SI", "holds weights by what they contributed to earlier tasks' learning", traits=Traits()
    ),
    "lwf": Entry("strategies.lwf:LwF", "distils the old network's outputs on the new task's images", traits=Traits()),
    "pigwm": Entry(
        "strategies.pigwm:PIGWM", "charges changes of weights by what they may cost earlier tasks", traits=Traits()
    ),
    "generative_replay": Entry(
        "strategies.generative_replay:GenerativeReplay",
        "mixes generated patches, restored by the network of before, into every batch",
        traits=Traits(),
    ),
    "lira": Entry(
        "strategies.lira:LIRA", "a frozen base, and a small expert joined by a gate for every task", traits=OWN_PARTS
    ),
    "replay": Entry(
        "strategies.replay:Replay",
        "mixes stored patches of earlier tasks into every batch",
        traits=Traits(stores_data=True),
    ),
    "agem": Entry(
        "strategies.agem:AGEM",
        "projects gradients that would raise the loss on stored patches",
        traits=Traits(stores_data=True),
    ),
    "gem": Entry(
        "strategies.gem:GEM",
        "projects gradients until they raise no earlier task's loss on stored patches",
        traits=Traits(stores_data=True),
    ),
    "der": Entry(
        "strategies.der:DER",
        "distils stored outputs of the old network on stored patches",
        traits=Traits(stores_data=True),
    ),
    "derpp": Entry(
        "strategies.der:DERpp",
        "distils stored outputs, and replays stored patches beside them",
        traits=Traits(stores_data=True),
    ),
    "kr": Entry(
        "strategies.kr:KnowledgeReplay",
        "distils outputs and projected features on stored degraded patches",
        traits=Traits(stores_data=True),
    ),
    "together": Entry(
        "baselines.together:Together",
        "one network, all tasks at once, never told the task",
        traits=Traits(stores_data=True),
    ),
    "together_task_id": Entry(
        "baselines.together:TogetherTaskId",
        "all tasks at once, each with its own biases; ours, told the task",
        traits=Traits(stores_data=True, needs_task_id=True),
    ),
    "cumulative": Entry(
        "baselines.cumulative:Cumulative",
        "trains on with all earlier data kept and mixed in",
        traits=Traits(stores_data=True),
    ),
    "independent": Entry(
        "baselines.independent:Independent", "a full network of its own for every task", traits=OWN_PARTS
    ),
    "deform": Entry(
        "baselines.deform:Deform", "a smaller network with deformable convolutions for every task", traits=OWN_PARTS
    ),
    "finetune": Entry(
        "baselines.finetune:Finetune", "plain training on each task in turn, without protection", traits=Traits()
    ),
}
"""The strategies of the suite by name; their traits are those that the classes declare."""
