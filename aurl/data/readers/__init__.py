"""The readers of data sets on disk, by the name that a parameter file calls them.

Each is one function ``read(root, classes=..., split=None)``, with ``annotations`` too where the data set has files that
say what its videos are. A reader lists folders and opens nothing but those files. It returns one row for each video, or
segment of one, sorted by ``id``:

``id``      unique and the same wherever ``root`` lies: the path relative to it, without extension
``path``    the file
``class``   the data set's own name of the class
``split``   "train", "val", "test", or "" where the layout does not tell
``begin``   where in the file the segment begins, in seconds; NaN for the whole file
``end``     where it ends

``classes`` is how many classes there must be, or a list of their names, which also restores names that a downloader has
changed ("playing_drums"); None takes what there is. ``split`` reads only that split; a layout that does not tell
splits is all of it. ``table.attrs`` says what was left out: ``skipped``, a list of paths, each with its reason, and the
counts that each reader describes.

With ``features`` the root is a file (`aurl.data.readers.features`), and rows of its table need no probing.

All raise UserError, with the expected layout: a root that is missing or is no folder, a folder that cannot be read, a
class folder without videos, other classes than expected, two files with the same id, a broken annotation file.
"""
