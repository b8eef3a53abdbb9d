"""Parameters, paths, files, progress, used by the whole package. Nothing here computes a result."""
