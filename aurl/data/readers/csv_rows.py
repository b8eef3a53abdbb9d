"""Read CSV files written by people; an error names the row whose number of fields differs from the header's."""

import csv

from aurl import UserError


def read_csv(path, needed, described):
    """Yield (where, row) for every row that is not empty; a row maps the header's names to stripped texts.

    ``where`` is "PATH, line N". Extra commas at the end of a row are ignored.

    Args:
        path: the file, in UTF-8.
        needed: the columns that must be there.
        described: a phrase for messages that describes the expected file.

    Raises:
        UserError: a file that cannot be read, lacks a column, has one twice, or has a row of another length.
    """
    fix = f"name {described}; see DATA.md."
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            missing = [name for name in needed if name not in header]
            if missing:
                raise UserError(
                    f"{path} has no column {missing[0]}, its columns are {', '.join(header) or 'none'}: {fix}"
                )
            if twice := [name for name in header if name and header.count(name) > 1]:
                raise UserError(f"{path} has two columns {twice[0]!r}: {fix}")
            for row in reader:
                if row and len(row) > len(header) and not any(row[len(header) :]):
                    row = row[: len(header)]
                where = f"{path}, line {reader.line_num}"
                if row and len(row) != len(header):
                    raise UserError(
                        f"{where} has {len(row)} fields where the first line has {len(header)}: correct the line, or "
                        f"{fix}"
                    )
                if row:
                    yield where, dict(zip(header, map(str.strip, row)))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): {fix}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a CSV file in UTF-8 ({error}): {fix}") from None
