"""A stream of the suite under a strategy of avalanche-lib: the same network, patches, test images and measures.

Call it with a preset, which is smoke if none is named: python docs/examples/plain_avalanche.py quick
"""

import sys

import numpy as np
import torch
from avalanche.training.plugins import EvaluationPlugin, MASPlugin
from avalanche.training.supervised import Naive

from benchmark.core.metrics import backward_transfer, forgetting, recorded
from benchmark.engine.setup import prepare, resolve
from benchmark.planning import plan
from benchmark.streams.build import TestImages, build


def psnr(network: torch.nn.Module, images: TestImages) -> float:
    """Mean PSNR (dB) of restored test images."""
    network.eval()
    with torch.no_grad():
        outputs = [network(images[index][0][None])[0].permute(1, 2, 0).numpy() for index in range(len(images))]
    return float(np.mean([recorded(output, images.clean(index))["psnr"] for index, output in enumerate(outputs)]))


preset = sys.argv[1] if len(sys.argv) > 1 else "smoke"
(planned,) = plan("finetune", "four_tasks", preset, "0", order=None, data=None, config_file=None, assignments=[])
config = resolve(planned)
benchmark, (_, network) = build(config), prepare(config)
training = config.training
strategy = Naive(
    model=network,
    optimizer=torch.optim.Adam(network.parameters(), lr=training.learning_rate),
    criterion=torch.nn.MSELoss(),
    train_mb_size=training.batch_size,
    train_epochs=1,
    evaluator=EvaluationPlugin(),
    plugins=[MASPlugin(lambda_reg=1.0)],
)
matrix = []
for experience, task in zip(benchmark.scenario.train_stream, config.order, strict=True):
    strategy.train(experience, shuffle=False)
    matrix.append([psnr(network, images) for images in benchmark.test])
    print(f"after {task}:", *(f"{name} {value:.2f} dB" for name, value in zip(config.order, matrix[-1], strict=True)))
print("forgetting:", *(f"{lost:.2f} dB" for lost in forgetting(np.array(matrix))[:-1]))
print(f"backward transfer: {backward_transfer(np.array(matrix)):.2f} dB")
