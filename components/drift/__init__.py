"""How images of one kind differ from others: what is kept of a model's validation images, and how it is compared."""
