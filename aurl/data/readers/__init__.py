"""The readers of data sets on disk; a parameter file chooses them by name.

`aurl.data.prepare.READERS` maps their names to functions ``read(root, classes=..., split=..., lists=...)``, with
``annotations`` too if separate files label the videos of the data set. A reader lists folders and opens only those
files. It returns a table with one row for each video, or segment of a video, sorted by ``id``:

``id``      unique and the same wherever ``root`` lies: the path relative to it, without extension
``path``    the file
``class``   the name of the class, in the spelling of its official list, if there is one
``split``   "train", "val", "test", or "" where the layout does not tell
``begin``   where in the file the segment begins, in seconds; NaN for the whole file
``end``     where the segment ends, in seconds; NaN for the whole file

``classes`` is the required number of classes, or the names of some classes to select. ``lists`` names official lists
of `aurl.data.names`; the list with most of the classes is used. Unless ``classes`` is given, all classes of this list
must be there and no others. ``split`` reads only that split. If the layout has no splits, all videos belong to it.

``table.attrs`` has counts: ``merged`` spellings of a class, videos of ``unselected`` classes, ``others`` (extension of
other files -> their number), and each reader's own counts. ``skipped`` is a list of paths, each with the reason.
``list`` is the official list that was used, or None.

For the reader ``features``, the root is a file (`aurl.data.readers.features`), and its videos need no probing.

All readers raise UserError, which states the expected layout, for a root that is missing or no folder, a folder that
cannot be read, a class folder without videos, folders that could be classes or splits, one class in two spellings,
unexpected classes, two files with the same id, and a broken annotation file.
"""
