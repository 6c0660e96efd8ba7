# SPDX-License-Identifier: MIT
"""Runs the unit tests of a program and says TAP, one line a test, as meson reads it."""

import sys
import unittest


class Tap(unittest.TextTestResult):
    """One line a test, as meson reads it."""

    def __init__(self, stream, descriptions, verbosity):
        super().__init__(stream, descriptions, 0)
        self.count = 0

    def stopTest(self, test):
        super().stopTest(test)
        self.count += 1
        bad = any(test.id() in str(t.id()) for t, _ in self.failures + self.errors)
        reason = next((why for t, why in self.skipped if t is test), None)
        print(
            f"{'not ok' if bad else 'ok'} {self.count} - {test.id().removeprefix('__main__.')}"
            + (f" # SKIP {reason}" if reason else ""),
            flush=True,
        )


def main():
    """The tests of the program that calls; with arguments, those of these names."""
    loader, module = unittest.defaultTestLoader, sys.modules["__main__"]
    names = sys.argv[1:]
    suite = loader.loadTestsFromNames(names, module) if names else loader.loadTestsFromModule(module)
    result = unittest.TextTestRunner(stream=sys.stderr, resultclass=Tap).run(suite)
    print(f"1..{result.testsRun}")
    sys.exit(not result.wasSuccessful())
