"""MGG-Net: its loss, and what the network attends to."""
