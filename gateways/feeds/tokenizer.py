"""Delimited text to int64 columns: one pass over the bytes, line numbers for free, an error code a row.

A row is good (code 0) or carries the code and the field of its first error (gateways/feeds/fields.py).
"""

from typing import NamedTuple

import numpy as np

from domain.kernel import kernel
from gateways.feeds.fields import GOOD, I8, SKIP, U1, WRONG_FIELDS, parse_field


class Rows(NamedTuple):
    """One entry a data row. `values[c, r]` is column c; `begin[r]:end[r]` are the row's bytes in the text."""

    values: I8
    line: I8
    begin: I8
    end: I8
    code: U1
    field: U1


@kernel
def _scan(text: U1, start: int, delimiter: int, kinds: I8, header: bool, rows: Rows) -> int:
    """Fill the arrays of `rows`, which have room for every line, and return the number of rows."""
    values, line, begin, end, code, field = rows
    size, columns = len(text), len(kinds)
    row, number, i = 0, 0, start
    while i < size:
        number += 1
        a = i
        while i < size and text[i] != 10:
            i += 1
        b = i
        i += 1
        while b > a and (text[b - 1] == 13 or text[b - 1] == 32):
            b -= 1
        if a == b:
            continue
        if header:
            header = False
            continue
        error, wrong, f, p = GOOD, 0, 0, a
        while True:
            q = p
            while q < b and text[q] != delimiter:
                q += 1
            if f < columns and error == GOOD and kinds[f] != SKIP:
                error, value = parse_field(text, p, q, kinds[f])
                values[f, row] = value
                wrong = f
            f += 1
            if q >= b:
                break
            p = q + 1
        if f != columns:
            error = WRONG_FIELDS
        if error != GOOD:
            values[:, row] = 0
        line[row], begin[row], end[row], code[row], field[row] = number, a, b, error, wrong
        row += 1
    return row


def read_rows(text: U1, start: int, delimiter: str, kinds: tuple[int, ...], header: bool) -> Rows:
    """Every non-blank line of text[start:] (after the header line, if there is one) as a row of `kinds`."""
    room = int(np.count_nonzero(text[start:] == 10)) + 1
    values = np.zeros((len(kinds), room), np.int64)
    line, begin, end = (np.zeros(room, np.int64) for _ in range(3))
    code, field = np.zeros(room, np.uint8), np.zeros(room, np.uint8)
    rows = Rows(values, line, begin, end, code, field)
    count = _scan(text, start, ord(delimiter), np.array(kinds, np.int64), header, rows)
    return Rows(values[:, :count], line[:count], begin[:count], end[:count], code[:count], field[:count])
