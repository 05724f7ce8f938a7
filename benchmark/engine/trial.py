"""A backbone of one's own, tried on the sizes of images that a run restores, before anything is trained.

Training shows a network square patches alone. One that cannot take an image's size, or cannot work in tiles, would end
the run only when its first task is learned, hours later where networks are large.
"""

import torch

from benchmark import backbones
from benchmark.config import RunConfig
from benchmark.engine.tiling import reach, refuse_further
from benchmark.streams.build import Benchmark
from strategies.contract import check_restored


def try_sizes(config: RunConfig, benchmark: Benchmark, device: torch.device) -> None:
    """Have the untrained backbone restore an empty image of each size; those of the suite take any and are not tried.

    Of images that are restored in tiles, only whether the network can work in tiles is tried. Nothing is kept of it,
    and no random number is drawn of those that the run draws.

    Raises:
        UserError: the network gives another size, or cannot work in tiles.
    """
    backbone, tile = config.backbone, config.data.tile
    if not backbones.entries()[backbone.name].origin:
        return
    restored = [image.shape[:2] for images in (*benchmark.valid, *benchmark.test) for image in images.images.clean]
    with torch.random.fork_rng(), torch.no_grad():
        network = backbones.build(backbone.name, backbone.width, backbone.blocks, backbone.image_skip)
        network.to(device).eval()
        for height, width in sorted(set(restored)):
            image = torch.zeros(1, 3, height, width, device=device)
            try:
                if height * width > tile**2:
                    refuse_further(network, network, image, reach(network))
                else:
                    check_restored(f"Backbone '{backbone.name}'", network(image), image, image.shape)
            except Exception as error:
                error.add_note(
                    f"It was tried on an image of {width}×{height} pixels, which this run has to restore; nothing is "
                    "trained yet. A network may pad its input to the size that it needs, and cut its output."
                )
                raise
