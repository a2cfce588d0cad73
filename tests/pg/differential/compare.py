# SPDX-License-Identifier: Apache-2.0
"""The same SQL on a cluster and on one plain PostgreSQL, and whether they agree.

Rows are compared as multisets unless the order is part of the question; floating
point numbers with a tolerance, since a sum depends on the order of its terms. An
error agrees with an error of the same SQLSTATE.
"""
import os
import re
import sys
from decimal import Decimal

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from cluster import Cluster, psycopg2  # noqa: E402
from servers import Server  # noqa: E402

STATEMENT_TIMEOUT_S = 120
# Rows of a distributed table come in another order every time.
COMMON = {"statement_timeout": f"{STATEMENT_TIMEOUT_S}s", "extra_float_digits": "1",
          "timezone": "UTC"}
DISTRIBUTION = re.compile(r"\s+with\s*\(\s*distributed_by\s*=\s*'[^']*'\s*\)", re.I)


def plain(sql):
    """A statement as plain PostgreSQL takes it: without the distribution."""
    return DISTRIBUTION.sub("", sql)


class Result:
    def __init__(self, columns=None, rows=None, count=None, error=None, message=""):
        self.columns, self.rows, self.count = columns, rows, count
        self.error, self.message = error, message

    def describe(self, limit=6):
        if self.error:
            return f"error {self.error}: {self.message}"
        if self.rows is None:
            return f"{self.count} rows affected"
        head = "\n    ".join(str(row) for row in self.rows[:limit])
        return f"{len(self.rows)} rows of {self.columns}\n    {head}"


def _sort_key(value):
    if value is None:
        return (1, "")
    if isinstance(value, float):
        return (0, f"{value + 0.0:.6e}")  # -0.0 and 0.0 are equal
    if isinstance(value, Decimal):  # 0.0 and 0.00 are equal: which one comes is open
        return (0, str(value.normalize()))
    return (0, str(value))


def _same_value(left, right):
    if isinstance(left, float) and isinstance(right, float):
        if left != left or right != right:
            return left != left and right != right
        return left == right or abs(left - right) <= 1e-9 * max(abs(left), abs(right))
    return left == right


def same(left, right, ordered=False):
    """Why two results differ; None if they agree."""
    if left.error or right.error:
        return None if left.error == right.error else "one is an error, or another error"
    if left.columns != right.columns:
        return f"columns {left.columns} and {right.columns}"
    if left.rows is None or right.rows is None:
        return None if left.count == right.count else "other numbers of rows affected"
    if len(left.rows) != len(right.rows):
        return f"{len(left.rows)} rows and {len(right.rows)} rows"
    if ordered:
        pairs = zip(left.rows, right.rows)
    else:
        def key(row):
            return tuple(map(_sort_key, row))
        pairs = zip(sorted(left.rows, key=key), sorted(right.rows, key=key))
    for number, (one, other) in enumerate(pairs):
        if not all(map(_same_value, one, other)):
            return f"row {number}: {one} and {other}"
    return None


def describe_difference(sql, left, right, ordered=False):
    """What differs, for people; None if nothing does."""
    reason = same(left, right, ordered)
    if reason is None:
        return None
    return f"{sql}\n  {reason}\n  cluster: {left.describe()}\n  plain: {right.describe()}"


class Side:
    """A session of one of the two."""

    def __init__(self, connect):
        self._connect = connect
        self.connection = None

    def open(self):
        self.connection = self._connect()
        with self.connection.cursor() as cursor:
            for name, value in COMMON.items():
                cursor.execute(f"set {name} = '{value}'")

    def run(self, sql):
        if self.connection is None or self.connection.closed:
            self.open()
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(sql)
                if cursor.description is None:
                    return Result(count=cursor.rowcount)
                return Result([column.name for column in cursor.description], cursor.fetchall())
        except psycopg2.Error as error:
            return Result(error=error.pgcode or "no connection", message=str(error).strip())

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


class Pair:
    """A cluster and a plain server that have been told the same."""

    def __init__(self, tree, segments=2, **cluster_options):
        self.server = Server(tree, "plain").init().start()
        self.cluster = Cluster(tree, segments, **cluster_options)
        self.left = Side(self.cluster.connect)
        self.right = Side(self.server.connect)
        self.left.open()
        self.right.open()

    def both(self, sql):
        return self.left.run(sql), self.right.run(plain(sql))

    def set_up(self, sql):
        """Statements that must succeed on both."""
        for statement in split(sql):
            for result in self.both(statement):
                if result.error:
                    raise AssertionError(f"{statement}\n{result.describe()}")

    def difference(self, sql, ordered=False):
        """What differs, for people; None if nothing does."""
        return describe_difference(sql, *self.both(sql), ordered)


def split(sql):
    """The statements of a script. Quotes, dollar quotes and comments are respected."""
    token = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|\"[^\"]*\"|(\$\w*\$).*?\1|;", re.S)
    statements, start = [], 0
    for match in token.finditer(sql):
        if match.group() == ";":
            statements.append(sql[start:match.start()].strip())
            start = match.end()
    statements.append(sql[start:].strip())
    return [statement for statement in statements
            if re.sub(r"--[^\n]*|\s", "", statement)]
