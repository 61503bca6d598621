"""Fuzz targets: a moderate number of inputs in every test run, and as many as one likes.

A target is a function of hypothesis' values that fails where the library does not keep its promise,
and returns whether the library accepted the values. `fuzz` makes it a test that pytest runs on the
same inputs every time, and puts it on the list that ``make fuzz`` works through with new ones.
`tried` and `accepted` count the inputs of both. A target whose inputs are nearly all refused tests
little: it fails as well.
"""

from __future__ import annotations

import functools
import warnings
from collections import Counter

from hypothesis import HealthCheck, given, seed, settings

TARGETS = {}
SHARES = {}
tried = Counter()
accepted = Counter()


def assert_accepted(name, share):
    """At least that share of the inputs that were tried has been accepted."""
    assert accepted[name] >= share * tried[name], (
        f"{name}: {accepted[name]} of {tried[name]} inputs were accepted, "
        f"expected at least {share:.0%}"
    )


def fuzz(examples, share=0.05, **strategies):
    """Decorate a target: `examples` inputs as a test, drawn from strategies by name.

    share: the least share of the inputs that the library must accept.
    """

    def decorate(target):
        name = target.__name__.removeprefix("test_")

        def once(**values):
            tried[name] += 1
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                accepted[name] += bool(target(**values))

        def run(count, start=None):
            # Inputs of a target that draws files are large, and slow to make.
            chosen = settings(
                max_examples=count,
                deadline=None,
                database=None,
                report_multiple_bugs=False,
                derandomize=start is None,
                suppress_health_check=list(HealthCheck),
            )
            test = chosen(given(**strategies)(once))
            (test if start is None else seed(start)(test))()

        TARGETS[name] = run
        SHARES[name] = share

        @functools.wraps(target, updated=())
        def test():
            run(examples)
            assert_accepted(name, share)

        del test.__wrapped__  # its arguments are hypothesis', not pytest's fixtures
        return test

    return decorate
