"""Compares what a job wrote with what DuckDB answers: the judge of every end-to-end test.

Reads one JSON request a line from standard input and answers one JSON line each, so that one process serves a whole test run:
    {"setup": ["SQL", ...], "expected": "SELECT ...", "actual": "SELECT ..."}
    -> {"expected_rows": n, "actual_rows": n, "missing": [...], "unexpected": [...]}, or {"error": "..."}
Rows are compared as a multiset, after both sides were cast to the expected side's types. What is expected of views is worked out once
for all the actual answers that it is compared with, as in the matrix of queries and inputs.
"""

import json
import sys

import duckdb

SHOWN = 5
# Expected answers that are kept, and how many rows each may have.
KEPT = 16
KEPT_ROWS = 200_000
kept = {}


def expected(request):
    """A connection that holds the table `expected`."""
    setup = request.get("setup", [])
    key = json.dumps([setup, request["expected"]])
    if key in kept:
        return kept[key]
    connection = duckdb.connect(config={"threads": 2})
    connection.execute("SET TimeZone = 'UTC'")
    for statement in setup:
        connection.execute(statement)
    connection.execute(f"CREATE TEMP TABLE expected AS {request['expected']}")
    rows = connection.execute("SELECT count(*) FROM expected").fetchone()[0]
    if rows <= KEPT_ROWS and setup and all(statement.startswith("CREATE VIEW") for statement in setup):
        while len(kept) >= KEPT:
            kept.pop(next(iter(kept)))
        kept[key] = connection
    return connection


def compare(request):
    connection = expected(request)
    columns = connection.execute("SELECT column_name, column_type FROM (DESCRIBE expected)").fetchall()
    casts = ", ".join(f'CAST("{name}" AS {kind}) AS "{name}"' for name, kind in columns)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE actual AS SELECT {casts} FROM ({request['actual']})")
    count = lambda table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    difference = lambda a, b: [
        [str(value) for value in row]
        for row in connection.execute(f"(FROM {a}) EXCEPT ALL (FROM {b}) LIMIT {SHOWN}").fetchall()
    ]
    return {
        "expected_rows": count("expected"),
        "actual_rows": count("actual"),
        "missing": difference("expected", "actual"),
        "unexpected": difference("actual", "expected"),
    }


def main():
    for line in sys.stdin:
        try:
            answer = compare(json.loads(line))
        except Exception as error:  # the caller fails the test with it
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
