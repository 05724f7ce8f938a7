"""Images: embedded photographs, generated dead leaves, and the patches drawn from them."""
