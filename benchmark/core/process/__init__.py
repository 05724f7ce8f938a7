"""The process that a command runs in: how it starts, its home folders, which suite it is, how it ends."""
