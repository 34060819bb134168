"""A small Python parser with two bugs, for fuzzers to find: pip install atheris."""
import sys

import atheris


@atheris.instrument_func
def header(data):
    # Bug: an index into a table that is too short.
    kinds = ["text", "list", "map"]
    return kinds[data[1] & 7]


@atheris.instrument_func
def ratio(data):
    # Bug: a division by what the input says.
    return 100 // (data[1] - 7)


@atheris.instrument_func
def TestOneInput(data):
    if len(data) < 2:
        return
    if data[0] == ord("h"):
        header(data)
    elif data[0] == ord("r"):
        ratio(data)


if __name__ == "__main__":
    atheris.Setup(sys.argv, TestOneInput)
    atheris.Fuzz()
