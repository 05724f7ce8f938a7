"""Random numbers by address.

Every random draw of a run has an address, for example ``("train", seed, "denoise", epoch, patch)``, and the
address alone decides the numbers. Nothing depends on how many draws came before, on the number of data
workers, or on where an interrupted run was taken up again.
"""

import hashlib

import numpy as np


def entropy(*address: str | int) -> int:
    """128 bits drawn from an address; different addresses give unrelated numbers on every machine.

    >>> entropy("test", "derain", "chelsea") == entropy("test", "derain", "chelsea")
    True
    >>> entropy("a", "bc") == entropy("ab", "c")
    False
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in address)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")


def generator(*address: str | int) -> np.random.Generator:
    """The NumPy generator that belongs to an address."""
    return np.random.Generator(np.random.PCG64(entropy(*address)))


def torch_seed(*address: str | int) -> int:
    """A non-negative 63-bit seed for ``torch.Generator.manual_seed``."""
    return entropy(*address) >> 65
