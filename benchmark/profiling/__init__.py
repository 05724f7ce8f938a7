"""What a layer, a patch, a training step, an image and a start cost, measured."""
