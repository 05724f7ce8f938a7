"""Tables of runs, one file each, and what they share."""
