"""One reader for each data set on disk."""
