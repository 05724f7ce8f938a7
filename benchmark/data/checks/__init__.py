"""What data must be before anything is trained on it, and what `data check` finds."""
