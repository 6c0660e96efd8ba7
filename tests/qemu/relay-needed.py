#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""relay-needed.py TABLE TEST: no rule of the relay's sandbox is unneeded. Runs the relay's own
test with a relay that is traced, and looks at which rules let a call through. TABLE prints the
rules, in their order."""

import os
import subprocess
import sys
import tempfile

table, test = sys.argv[1:]
rules = [line for line in subprocess.run([table], capture_output=True, text=True, check=True)
         .stdout.splitlines() if line.startswith("| `")]
with tempfile.NamedTemporaryFile("r", prefix="relay-trace-") as trace:
    run = subprocess.run(
        [sys.executable, test], stdout=sys.stderr, check=False,
        env={**os.environ, "SANDBOX_TRACE_HELPER": os.environ["FDSET_RELAY"],
             "SANDBOX_TRACE_OUTPUT": trace.name, "FDSET_RELAY": os.environ["SANDBOX_TRACE"]})
    lines = trace.read().splitlines()
failed = 0


def report(number, good, text):
    global failed
    failed += not good
    print(f"{'' if good else 'not '}ok {number} - {text}")


print(f"1..{len(rules) + 2}")
for index, rule in enumerate(rules):
    report(index + 1, str(index) in lines, "needed: " + rule.split(" |")[0][3:])
report(len(rules) + 1, run.returncode == 0, "the relay's test, with a relay that is traced")
strange = [line for line in lines if line.startswith("?")]
report(len(rules) + 2, not strange, "nothing else: " + "; ".join(strange[:3]))
sys.exit(failed > 0)
