"""The paper's tables, ours beside the printed one: one function of the evidence for each, or for each form."""
