"""The run directory: what one run leaves on disk, and how it is written and read back."""
