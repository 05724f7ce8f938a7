"""CPG: compacting, picking and growing (Hung et al., 2019)."""
