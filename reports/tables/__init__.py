"""Tables of runs, and how they are written as CSV, Markdown and LaTeX."""
