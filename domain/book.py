"""The book: the whole hot state of a desk, as numpy records, and the journal that its kernels write."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from domain.account import POSITION, new_account
from domain.calendar import RELEASE
from domain.journal import Journal, clear, new_journal
from domain.market import MARKET
from domain.orders import MAX_ORDERS, ORDER
from domain.performance import MAX_SHADOWS, PERFORMANCE, SHADOW
from domain.policy import POLICY
from domain.rules import FACTS

DESK = np.dtype(
    [
        ("ordinal", "<i8"),  # of the record that is decided on
        ("now", "<i8"),  # its time, ns
        ("number", "<i8"),  # of the newest entry
        ("trading", "<i8"),  # 1: there are an account and a policy
        ("halted", "<i8"),
        ("sessions_open", "<i8"),  # marks
        ("orders", "<i8"),  # working, the first so many of the array
        ("shadows", "<i8"),
        ("next_expiry", "<i8"),  # the earliest of the working orders; 0: none
        ("next_blackout", "<i8"),  # when the next one begins, if the account may not trade near news; 0: none
    ]
)

Records = npt.NDArray[np.void]


class Book(NamedTuple):
    """State first, each an array of its record; `markets` and `positions` are indexed by instrument number,
    `performance` by strategy slot. `facts` is scratch."""

    desk: Records
    policy: Records
    account: Records
    markets: Records
    positions: Records
    orders: Records
    shadows: Records
    performance: Records
    releases: Records
    facts: Records
    journal: Journal


CHANGING = ("desk", "account", "markets", "positions", "orders", "shadows", "performance")  # by records of the tape
STATE = ("desk", "policy", "account", "markets", "positions", "orders", "shadows", "performance", "releases")


def new_book() -> Book:
    """A desk that has seen nothing; record 0 of what is indexed by number is never used."""
    return Book(
        np.zeros(1, DESK),
        np.zeros(1, POLICY),
        new_account(),
        np.zeros(1, MARKET),
        np.zeros(1, POSITION),
        np.zeros(MAX_ORDERS, ORDER),
        np.zeros(MAX_SHADOWS, SHADOW),
        np.zeros(1, PERFORMANCE),
        np.zeros(0, RELEASE),
        np.zeros(1, FACTS),
        new_journal(),
    )


def used(book: Book, name: str) -> Records:
    """Of arrays that are filled from the front, only what is in use."""
    array: Records = getattr(book, name)
    return array[: book.desk[0][name]] if name in ("orders", "shadows") else array


def keep(book: Book) -> list[bytes]:
    """What records of the tape may change, for `take_back`."""
    return [used(book, name).tobytes() for name in CHANGING]


def take_back(book: Book, kept: list[bytes]) -> None:
    """Everything is as it was when it was kept, and the journal is empty."""
    for name, data in zip(CHANGING, kept, strict=True):
        array: Records = getattr(book, name)
        records = np.frombuffer(data, array.dtype)
        array[: len(records)] = records
    clear(book.journal)
