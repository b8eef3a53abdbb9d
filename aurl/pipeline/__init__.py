"""The only modules that know DVC and papermill: notebooks as stages, and stages side by side."""
