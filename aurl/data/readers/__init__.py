"""The readers of data sets on disk; a parameter file chooses them by name.

Each is one function ``read(root, classes=None, split=None, lists=...)``, with ``annotations`` too where a data set has
files that label its videos. A reader lists folders and opens nothing but those files. It returns one row for each
video, or segment of one, sorted by ``id``:

``id``      unique and the same wherever ``root`` lies: the path relative to it, without extension
``path``    the file
``class``   the name of the class, in the spelling of its official list, if there is one
``split``   "train", "val", "test", or "" where the layout does not tell
``begin``   where in the file the segment begins, in seconds; NaN for the whole file
``end``     where it ends

``classes`` is how many classes there must be, or names, which select some of those that are there. ``lists`` names
official lists of `aurl.data.names`, of which the one with most of the classes is taken. Unless ``classes`` says
otherwise, all of its classes must be there and no others. ``split`` reads only that split; where the layout tells no
splits, all videos are of it.

``table.attrs`` counts what was merged or left out: ``merged`` spellings of a class, videos of ``unselected`` classes,
``others``, which maps extensions that no video has to numbers of files, and the counts that each reader describes.
``skipped`` is a list of paths, each with the reason. ``list`` is the official list that was taken, or None.

With ``features`` the root is a file (`aurl.data.readers.features`), and rows of its table need no probing.

All raise UserError, with the expected layout: a root that is missing or is no folder, a folder that cannot be read, a
class folder without videos, folders that may be classes or splits, one class in two spellings, other classes than
expected, two files with the same id, a broken annotation file.
"""
