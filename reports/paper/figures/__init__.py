"""The paper's figures, drawn from our runs: one function of the evidence for each."""
