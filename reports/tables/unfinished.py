"""The runs that did not finish."""

from reports.groups import Group
from reports.items.item import Item
from reports.items.table import Cell, Column, Table
from reports.text import NOTHING, fixed, plain


def item(group: Group) -> Item | None:
    """Runs that did not finish, with the last PSNR they have for each task they learned; None where all did."""
    if not group.unfinished:
        return None
    rows = []
    for result in group.unfinished:
        status = result.run.status
        place = result.learned
        order = [plain(task) for task in result.config["order"]]
        have = [f"{task} {fixed(result.psnr[place - 1, j])}" for j, task in enumerate(order[:place]) if place]
        rows.append(
            [
                Cell(result.run.name, small=f"{result.strategy}, seed {result.seed}"),
                Cell(result.state),
                Cell(f"{place} of {len(order)}", place),
                Cell(", ".join(have) or "nothing was measured"),
                Cell(plain(status["error"], 400) if status.get("error") else NOTHING),
            ]
        )
    heads = ["run", "state", "tasks measured", "PSNR after the last of them (dB)", "error"]
    table = Table("Runs that did not finish", [Column(head) for head in heads], rows, kind="words")
    text = "These runs take no part in the comparison. All that they measured is in the CSV files."
    return Item("unfinished", group.key, "Unfinished runs", table=table, text=text)
