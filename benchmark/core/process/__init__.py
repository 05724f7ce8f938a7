"""The process that a command runs in: its surroundings when it starts, its home folders, how it ends."""
