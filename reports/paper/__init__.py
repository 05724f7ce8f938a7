"""The paper beside our runs: its tables and figures, and its claims."""
