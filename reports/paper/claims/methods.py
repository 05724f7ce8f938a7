"""Claims about CMC's outputs and about CMC among other methods: sections 1 and 3.2.2, and Table 2."""

from statistics import fmean

import numpy as np

from reports.groups import Entry, added
from reports.paper.claims.claim import Measured, claim
from reports.paper.claims.pairs import Pair, compared, final, gains, share, words
from reports.paper.evidence import DEFAULTS, FOUR_TASKS, Evidence
from reports.text import count, fixed


@claim(
    "never-changes",
    "Outputs of old tasks never change",
    rule="no hash of an output on a test image differs, in any run of CMC: evidence on those images; nor one of a "
    "tensor that they depend on (proof), in runs that recorded these (exact)",
    source="sections 1 and 3.2.2",
    paper="by construction",
    run="table1",
)
def never_changes(evidence: Evidence) -> Measured | None:
    """Changed and compared outputs, and the tensors that they depend on, over all runs of CMC.

    Not over those that let old tasks learn from later ones, which the paper's module does not.

    Exact: it says that none ever changes, so that one that did is against it, in whatever seed.
    """
    results = [
        result
        for result in evidence.results
        if result.strategy == "cmc" and result.changed is not None and not result.config["settings"].get("backward")
    ]
    changed, total = added([result.changed for result in results]) or (0, 0)
    if not total:
        return None
    runs = f"{len(results)} run{'s' if len(results) > 1 else ''} of CMC"
    figures = f"{count(changed)} of {count(total)} outputs on test images of earlier tasks changed, over {runs}"
    hashed = [result.owned for result in results if result.owned is not None]
    tensors, owned = added(hashed) or (0, 0)
    if hashed:
        figures += f"; and {count(tensors)} of {count(owned)} tensors on which such outputs depend"
        figures += f", in the {len(hashed)} where they were compared" if len(hashed) < len(results) else ""
    return Measured(figures, [Entry("cmc", results)], exact=changed == 0 and tensors == 0)


@claim(
    "mas-forgets",
    "MAS forgets, and deraining the most",
    rule="what it loses of a task once learned lies above 0 in the mean over the tasks but the last, and what it "
    "loses on deraining above what it loses on each of the others",
    source="section 4.3, Table 2",
    paper="dB lost: derain 10.56, denoise 6.43, deblock 1.72",
    run="table2",
)
def mas_forgets(evidence: Evidence) -> Measured | None:
    """What MAS lost on each task but the last since it was learned: in the mean, and on deraining over each other.

    Not since the best moment, as forgetting is told elsewhere: the best of several is above the last by luck alone.
    """
    mas = evidence.find("mas")
    if mas is None:
        return None
    tasks = FOUR_TASKS[:-1]
    lost = {task: {one.seed: -float(one.change[-1, place]) for one in mas.results} for place, task in enumerate(tasks)}
    mean = {one.seed: -one.backward_transfer for one in mas.results}
    derain = lost["derain"]
    over = [{seed: derain[seed] - loss[seed] for seed in derain} for task, loss in lost.items() if task != "derain"]
    figures = ", ".join(f"{task} {words(values, sign=False)}" for task, values in lost.items())
    return Measured(f"dB lost since learned: {figures}; in the mean {words(mean, sign=False)}", [mas], [mean, *over])


@claim(
    "together-fails",
    "One network trained on all tasks together fails on denoising (it is below every other method)",
    rule="every other method of Table 2 lies above it on denoising",
    source="section 4.3, Table 2",
    paper="denoise: together 15.66 dB, CMC 27.53, PackNet 27.45, deform 27.26, MAS 18.99",
    run="table2",
)
def together_fails(evidence: Evidence) -> Measured | None:
    """PSNR of denoising of joint training, and what every other method has over it, seed by seed."""
    together = evidence.find("together")
    others = {name: evidence.find(name) for name in ("cmc", "packnet", "deform", "mas")}
    known = {name: entry for name, entry in others.items() if entry is not None}
    pairs = {name: pair for name, entry in known.items() if (pair := compared(entry, together))}
    if together is None or not pairs:
        return None
    place = FOUR_TASKS.index("denoise")
    over = {name: pair.at(place) for name, pair in pairs.items()}
    reached = {name: final(pair.one, place) for name, pair in pairs.items()}
    listed = ", ".join(
        f"{name} {fixed(fmean(reached[name][seed] for seed in gaps))} ({words(gaps)})" for name, gaps in over.items()
    )
    ours = fixed(float(together.mean("final_psnr")[place]))
    figures = f"denoise: together, not told the task, {ours} dB; others, and what they have over it: {listed}"
    told = evidence.find("together_task_id")
    if told:
        figures += f"; told the task, together reaches {fixed(float(told.mean('final_psnr')[place]))} dB"
    entries = [together, *(pair.one for pair in pairs.values())]
    return Measured(figures, entries, list(over.values()), part=(len(pairs), len(others)))


@claim(
    "cmc-leads-packnet",
    "CMC leads PackNet on deraining, denoising and deblurring",
    rule="the gain of CMC over PackNet lies above 0 on each of deraining, denoising and deblurring",
    source="section 4.3, Table 2",
    paper="CMC over PackNet: derain +2.58, denoise +0.08, deblock −0.04, deblur +0.14 dB; CMC-5 with 10 % of its "
    "memory, PackNet with 12.5 % of the weights: CMC trains four times as many parameters for a task (“our model has "
    "more parameters”)",
    run="table2",
)
def cmc_leads_packnet(evidence: Evidence) -> Measured | None:
    """CMC over PackNet, with what each trains for a task, and the two at equal size where that was run."""
    pair = compared(evidence.find("cmc"), evidence.find("packnet"))
    if pair is None:
        return None
    figures = "CMC over PackNet: " + ", ".join(
        f"{task} {words(pair.at(place))} dB" for place, task in enumerate(FOUR_TASKS)
    )
    above = [pair.at(FOUR_TASKS.index(task)) for task in ("derain", "denoise", "deblur")]
    return Measured(f"{figures}{_capacity(pair)}{_at_equal_size(evidence)}", [pair.one, pair.other], above)


def _capacity(pair: Pair) -> str:
    """What the two train for a task, where their runs say."""
    cmc, packnet = (float(entry.mean("task_parameters")) for entry in (pair.one, pair.other))
    if np.isnan([cmc, packnet]).any():
        return ""
    times = fixed(cmc / packnet, 1)
    return f"; for a task CMC trains {count(cmc)} parameters, {times} times PackNet’s {count(packnet)}"


def _at_equal_size(evidence: Evidence) -> str:
    """The two where a task of CMC owns as many values of memory as one of PackNet keeps weights, if that was run."""
    packnet, rows = evidence.find("packnet"), DEFAULTS["cmc"]["t"]
    kept = packnet.results[0].config["settings"].get("fraction") if packnet else None
    pair = compared(evidence.find(fraction=kept / rows), packnet) if isinstance(kept, float) else None
    if not pair:
        return ""
    size = f"CMC-{rows} with {share(kept / rows)} of its memory{_capacity(pair)}"
    return f"; at equal size ({size}): {gains(FOUR_TASKS, [pair.at(place) for place in range(len(FOUR_TASKS))])}"
