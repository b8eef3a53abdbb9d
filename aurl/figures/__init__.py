"""The figures, one file a chapter."""
