"""DuckDB: whether two queries answer the same rows, and what it costs itself, in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path


class Verdict:
    """How two answers differ."""

    def __init__(self, answer):
        if "error" in answer:
            raise RuntimeError(answer["error"])
        self.answer = answer
        self.is_same = answer["expected_rows"] == answer["actual_rows"] > 0 and not answer["missing"] and not answer["unexpected"]

    def __str__(self):
        if self.is_same:
            return f"{self.answer['actual_rows']:,} rows"
        return json.dumps(self.answer)


def same_rows(setup, expected, actual):
    """Compares as the end-to-end tests do."""
    script = Path(__file__).parent.parent / "integration-tests/judge/compare.py"
    request = json.dumps({"setup": setup, "expected": expected, "actual": actual}) + "\n"
    result = subprocess.run([sys.executable, script], input=request, stdout=subprocess.PIPE, text=True, check=True)
    return Verdict(json.loads(result.stdout))


# EXPLAIN ANALYZE runs the query whole and throws its rows away, as a blackhole does.
MEASURED = """
import duckdb, json, sys, time
setup, query, runs, threads = json.load(sys.stdin)
connection = duckdb.connect(config={"threads": threads})
connection.execute("SET TimeZone = 'UTC'")
for statement in setup:
    connection.execute(statement)
samples = []
for _ in range(runs + 1):
    cpu, start = time.process_time(), time.monotonic()
    connection.execute("EXPLAIN ANALYZE " + query).fetchall()
    samples.append((time.process_time() - cpu, time.monotonic() - start))
print(json.dumps(samples[1:]))
"""


def cost(setup, query, runs, threads=2):
    """(CPU-seconds, seconds) of each run of a query after one warm-up."""
    request = json.dumps([setup, query, runs, threads])
    result = subprocess.run([sys.executable, "-c", MEASURED], input=request, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(result.stdout)
