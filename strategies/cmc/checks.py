"""What a layer of CMC is given as a task begins, checked."""

from benchmark.core.errors import UserError, unknown


def check_settings(name: str, fraction: float, *chosen: tuple[str, tuple[str, ...]]) -> None:
    """Refuse settings that a task cannot begin with.

    Args:
        name: the layer's.
        fraction: share of the memory, in (0, 1].
        chosen: words, each with those that are accepted.

    Raises:
        UserError: the fraction lies outside, or a word is none of those accepted.
    """
    if not 0 < fraction <= 1:
        raise UserError(f"Layer '{name}': a task cannot own a fraction of {fraction:g}. Use one in (0, 1].")
    for word, accepted in chosen:
        if word not in accepted:
            raise unknown(f"setting of layer '{name}':", word, accepted, "Use one of these.")
