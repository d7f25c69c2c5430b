"""From encoded images to network input: one function for Transform, evaluation and serving."""
