"""What networks are trained and tested on: images, how they are degraded, and the patches drawn from them.

Words, here and everywhere: an *image* is pixels in memory; a *picture* is an image in a file, opened or not; a
*dataset* is a set of pictures on disk; a *patch* is a square cut from an image; a *source* is where a task's images
come from, datasets or the embedded photographs (:mod:`benchmark.streams.sources`).
"""
