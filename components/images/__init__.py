"""Images and the part of them that is used: one decoding for Transform, evaluation and serving."""
