"""Training: the network with its training state, what it is fed, the recipes, what callbacks adapt."""
