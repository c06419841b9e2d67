"""Runs pytest, and appends every skipped test to the file that CURT_SKIP_LOG names, as the Rust tests do."""

import os
import sys

import pytest


class SkipLog:
    def __init__(self, path):
        self.path = path

    def pytest_runtest_logreport(self, report):
        self.note(report)

    def pytest_collectreport(self, report):
        self.note(report)

    def note(self, report):
        # An expected failure also counts as skipped, and is none.
        if not report.skipped or hasattr(report, "wasxfail"):
            return
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        why = " ".join(why.removeprefix("Skipped: ").split())
        with open(self.path, "a", encoding="utf-8") as log:
            log.write(f"{report.nodeid}\t{why}\n")


sys.exit(pytest.main(sys.argv[1:], plugins=[SkipLog(os.environ["CURT_SKIP_LOG"])]))
