"""Picture files: formats, metadata, names of sequences."""
