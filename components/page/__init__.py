"""Self-contained HTML pages of figures, tables and images. Knows nothing of faces, tasks or runs."""
