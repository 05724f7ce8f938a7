"""What a layer costs, measured: the table behind the paper's Table 6."""
