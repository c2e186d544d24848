import threading

import pytest

from ahead import THREADS, read_ahead


def test_files_come_in_their_order_however_long_each_takes():
    second = threading.Event()

    def read(number):
        if number == 1 or THREADS == 1:
            second.set()
        if number == 0 and THREADS > 1:
            assert second.wait(10)  # the first is not there before the second is read
        return number

    assert list(read_ahead(range(20), read)) == list(range(20))


def test_few_files_are_read_ahead_of_the_one_that_is_worked_on():
    begun = []

    def read(number):
        begun.append(number)
        return number

    for number in read_ahead(range(50), read):
        assert len(begun) <= number + 1 + THREADS


def test_nothing_gives_nothing():
    assert list(read_ahead([], open)) == []


def test_an_error_is_raised_in_the_place_of_its_file_and_ends_the_reading():
    begun = []

    def read(number):
        begun.append(number)
        if number == 3:
            raise ValueError("3.csv is missing")
        return number

    found = []
    with pytest.raises(ValueError, match=r"3\.csv is missing"):
        found.extend(read_ahead(range(50), read))
    assert found == [0, 1, 2]
    assert len(begun) <= 4 + THREADS


def test_who_stops_early_waits_for_no_file_that_is_not_begun():
    begun = []

    def read(number):
        begun.append(number)
        return number

    assert next(read_ahead(range(50), read)) == 0
    assert len(begun) <= 1 + THREADS
