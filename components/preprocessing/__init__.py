"""From encoded pictures to network input: one function for Transform, evaluation and serving."""
