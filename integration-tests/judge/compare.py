"""Compares what a job wrote with what DuckDB answers: the judge of every end-to-end test.

Reads one JSON request a line from standard input and answers one JSON line each, so that one process serves a whole test run:
    {"setup": ["SQL", ...], "expected": "SELECT ...", "actual": "SELECT ..."}
    -> {"expected_rows": n, "actual_rows": n, "missing": [...], "unexpected": [...]}, or {"error": "..."}
Rows are compared as a multiset, after both sides were cast to the expected side's types.
"""

import json
import sys

import duckdb

SHOWN = 5


def compare(request):
    connection = duckdb.connect(config={"threads": 2})
    connection.execute("SET TimeZone = 'UTC'")
    for statement in request.get("setup", []):
        connection.execute(statement)
    connection.execute(f"CREATE TEMP TABLE expected AS {request['expected']}")
    columns = connection.execute("SELECT column_name, column_type FROM (DESCRIBE expected)").fetchall()
    casts = ", ".join(f'CAST("{name}" AS {kind}) AS "{name}"' for name, kind in columns)
    connection.execute(f"CREATE TEMP TABLE actual AS SELECT {casts} FROM ({request['actual']})")
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
