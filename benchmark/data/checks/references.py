"""What the degraded test inputs of known datasets should score, in PSNR, before any network has touched them.

If a loader or a copy of a dataset disagrees with these, no result on it can be compared with anyone's.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

_OWN = "measured with this suite's protocol (RGB, clipped to 8 bit) on the published images"


@dataclass(frozen=True)
class Reference:
    """The mean PSNR of the degraded test images of one dataset.

    Args:
        dataset: the dataset's name.
        psnr: in dB, mean over the images.
        channel: on RGB, or on the Y channel.
        source: who says so.
        tolerance: greatest difference, in dB, that rounding and random numbers explain.
        degradation, parameters: how the clean test images are degraded; none if the dataset has degraded ones.
    """

    dataset: str
    psnr: float
    channel: Literal["RGB", "Y"]
    source: str
    tolerance: float
    degradation: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def setting(self) -> str:
        """The degradation in words, such as ``noise std=50``."""
        if self.degradation is None:
            return "as on disk"
        return " ".join([self.degradation, *(f"{name}={value}" for name, value in self.parameters.items())])


REFERENCES = (
    Reference(
        "CBSD68",
        *(15.00, "RGB", f"{_OWN}; 14.15 = 20 log10(255/50) before clipping", 0.02),
        *("noise", {"std": 50}),
    ),
    Reference("CBSD68", 28.15, "RGB", _OWN, 0.05, "jpeg", {"quality": 20}),
    Reference("CBSD68", 23.82, "RGB", _OWN, 0.02, "blur", {"std": 2.5}),
    Reference(
        "Rain100L",
        *(
            26.90,
            "Y",
            "Wang et al., 'A model-driven deep neural network for single image rain removal', CVPR 2020",
            0.2,
        ),
    ),
)
