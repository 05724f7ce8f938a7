"""What all backbones have in common."""

from torch import Tensor, nn

from benchmark.core.errors import UserError, told


class Backbone(nn.Module):
    """An input convolution, a body, and an output convolution, all at full resolution; subclasses make the body.

    Args:
        width: channels between the input and the output convolution (64 in the paper).
        blocks: blocks of the body (6 in the paper).
        image_skip: add the input image to the output, so that the network predicts a correction. The paper does
            not; with it, every task starts from the degraded image and the gain of sharing is hidden.
    """

    def __init__(self, width: int = 64, blocks: int = 6, image_skip: bool = False) -> None:
        super().__init__()
        self.width, self.blocks, self.image_skip = width, blocks, image_skip
        self.head = nn.Conv2d(3, width, 3, padding=1)
        self.body = self.make_body()
        self.tail = nn.Conv2d(width, 3, 3, padding=1)

    def make_body(self) -> nn.Module:
        """A module of ``blocks`` blocks that maps (N, width, H, W) to the same shape."""
        raise NotImplementedError

    def at_width(self, width: int) -> "Backbone":
        """One like this at another width, with new weights.

        Raises:
            UserError: it cannot be made so.
        """
        try:
            return type(self)(width=width, blocks=self.blocks, image_skip=self.image_skip)
        except Exception as error:
            raise UserError(
                f"{type(self).__name__} cannot be made {width} channels wide: {told(error)}. This strategy makes it at "
                "other widths, too: let its layers take any, or use a strategy that keeps the width, such as cmc."
            ) from error

    def forward(self, x: Tensor) -> Tensor:
        """Restore images (N, 3, H, W) with values around [0, 1]; the output has the same shape and is not clamped."""
        restored = self.tail(self.body(self.head(x)))
        return x + restored if self.image_skip else restored
