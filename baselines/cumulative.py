"""Training on with all data kept: what unlimited room for images would give."""

from strategies.base import Strategy, Traits


class Cumulative(Strategy):
    """One plain network, trained on in every round on the new task and all earlier ones, mixed evenly.

    The same procedure as avalanche-lib's ``Cumulative``, as rounds, so that batches keep their addresses and the number
    of updates is that of every other strategy, where there it grows with the data. So of k tasks each has a k-th of the
    patches of round k, the new one, too: the first ones of those that it has where it is trained by itself.
    """

    name = "cumulative"
    traits = Traits(stores_data=True)

    def rounds(self, tasks: int) -> list[list[int]]:
        """Round k holds tasks 0 to k."""
        return [list(range(task + 1)) for task in range(tasks)]
