"""Markdown tables, from texts."""


def markdown_table(columns, rows, left=None):
    """A Markdown table: its header ``columns``, and a list of texts per row.

    The first ``left`` columns are aligned left and the others right; all are aligned left if it is ``None``.

    >>> print(markdown_table(["set", "top-1 %"], [["ucf101", "48.2"]], left=1), end="")
    | set | top-1 % |
    |---|---:|
    | ucf101 | 48.2 |
    """
    left = len(columns) if left is None else left
    rule = "|---" * left + "|---:" * (len(columns) - left) + "|"
    header, *lines = (f"| {' | '.join(cells)} |" for cells in [columns, *rows])
    return "\n".join([header, rule, *lines]) + "\n"
