"""Everything that depends on DVC or papermill: notebooks as stages, and stages in parallel."""
