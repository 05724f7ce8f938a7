"""What strategies are compared with: plain ways to train one network, or several, on a stream."""

import benchmark  # noqa: F401 (prepares for the import of Avalanche)
