"""One run in several processes, each on its own GPU: how they find each other, share a batch, and stay equal."""
