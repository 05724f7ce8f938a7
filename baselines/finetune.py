"""Training on without any protection: what every comparison begins with."""

from strategies.base import Strategy


class Finetune(Strategy):
    """One plain network, trained on each task in turn; nothing protects what it learned before."""

    name = "finetune"
