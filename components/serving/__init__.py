"""What is exported, and the check that it serves."""
