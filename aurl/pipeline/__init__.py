"""The only modules that know DVC and papermill: notebooks as stages, stages side by side, and the names of their files."""
