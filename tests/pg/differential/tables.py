# SPDX-License-Identifier: Apache-2.0
"""Random tables with random distributions for the random queries. The same seed gives
the same."""
import random

# Kinds: what a column can be compared with. "int" holds a domain, "text" a varchar.
COLUMNS = {
    "i": ("int", "int"), "a": ("int", "int"), "b": ("int", "int"), "m": ("small", "int"),
    "c": ("bigint", "bigint"), "n": ("numeric", "numeric"), "f": ("float8", "float"),
    "t": ("text", "text"), "w": ("varchar(9)", "text"), "v": ('text collate "C"', "ctext"),
    "d": ("date", "date"), "s": ("timestamp", "time"), "u": ("uuid", "uuid"),
    "o": ("bool", "bool"), "e": ("mood", "mood"), "j": ("jsonb", "json"), "r": ("int[]", "array"),
}
KINDS = {name: kind for name, (_, kind) in COLUMNS.items()}
MOODS = ("sad", "ok", "happy")

TABLE_COUNT = 7
MATERIALIZED, TEMPORARY = f"r{TABLE_COUNT}", f"r{TABLE_COUNT + 1}"  # of the coordinator
RELATIONS = [f"r{number}" for number in range(TABLE_COUNT)] + [MATERIALIZED, TEMPORARY]
SINK = "sink"  # what rows are inserted into

KEYS = ["i", "b", "m", "c", "n", "f", "t", "w", "v", "d", "s", "u", "o", "e", "j", "r", "a, b",
        "c, a", "t, d", "n, u", "v, t"]
PARTITIONS = {
    "hash (b)": ["with (modulus 2, remainder 0)", "with (modulus 2, remainder 1)"],
    "range (a)": ["from (minvalue) to (2)", "from (2) to (6)", "from (6) to (maxvalue)", "default"],
    "list (t)": ["in ('x0', 'x1')", "in ('x2', null)", "default"],
    "range (d, i)": ["from ('2020-01-01', 3) to ('2020-01-05', 9)", "default"],
}


def literal(kind, number):
    """A constant of that kind; the same number gives equal ones."""
    return {
        "int": f"{number}", "bigint": f"{number}::bigint",
        "numeric": f"{number}.{number % 4 * 25}::numeric",
        "float": f"'{'NaN' if number == 19 else number / 4}'::float8", "text": f"'x{number % 6}'::text",
        "ctext": f"('{'xX'[number % 2]}{number % 6}'::text collate \"C\")",
        "date": f"date '2020-01-{number % 28 + 1:02d}'",
        "time": f"timestamp '2020-01-{number % 5 + 1:02d} {number % 24:02d}:00'",
        "uuid": f"'00000000-0000-0000-0000-{number:012d}'::uuid",
        "bool": f"{number % 2 == 0}".lower(), "mood": f"'{MOODS[number % 3]}'::mood",
        "json": f"'{{\"k\": {number % 5}, \"x\": [{number % 2}]}}'::jsonb",
        "array": f"'{{{', '.join(str(number + i) for i in range(number % 4))}}}'::int[]",
    }[kind]


class Tables:
    """Tables of the same columns; at least one of each distribution."""

    def __init__(self, seed):
        self.random = random.Random(f"tables {seed}")
        self.names = [f"r{number}" for number in range(TABLE_COUNT)]

    def chance(self, probability):
        return self.random.random() < probability

    def script(self):
        yield "create type mood as enum ('sad', 'ok', 'happy')"
        yield "create domain small as int check (value < 1000)"
        keys = ["a", "b, t", "replicated", "random"]
        keys += [self.random.choice(KEYS) for _ in range(TABLE_COUNT - len(keys))]
        self.random.shuffle(keys)
        for name, key in zip(self.names, keys):
            yield from self._table(name, key)
        yield (f"create materialized view {MATERIALIZED} as select * from r0 union all "
               "select * from r1")
        columns = ", ".join(f"{column} {kind}" for column, (kind, _) in COLUMNS.items())
        yield f"create temp table {TEMPORARY} ({columns})"
        yield from self._rows(TEMPORARY, set(), self.random.choice([3, 20]))
        yield (f"create table {SINK} ({columns}) with (distributed_by = "
               f"'{self.random.choice(KEYS + ['replicated', 'random'])}')")
        for name, language, body in (
                ("looked", "sql", "select count(*) from random.r0 where a = $1"),
                ("looked_up", "plpgsql", "begin return (select count(*) from random.r1 where "
                                         "b > $1); end")):
            yield (f"create function {name} (int) returns bigint stable language {language} as "
                   f"$$ {body} $$")
        if not self.chance(0.2):  # else all is guessed
            yield "analyze"

    def _table(self, name, key):
        not_null = {column for column in ("a", "b", "t") if self.chance(0.15)}
        constraints = {column: " not null" for column in not_null}
        partition = self.random.choice(list(PARTITIONS)) if self.chance(0.35) else None
        if key == "replicated":
            partition = None
        if key in ("i", "replicated") and partition is None and self.chance(0.7):
            constraints["i"] = " primary key"
        columns = ", ".join(f"{column} {kind}{constraints.get(column, '')}"
                            for column, (kind, _) in COLUMNS.items())
        distribution = f"with (distributed_by = '{key}')"
        yield (f"create table {name} ({columns})"
               + (f" partition by {partition}" if partition else "") + f" {distribution}")
        for number, bound in enumerate(PARTITIONS.get(partition, [])):
            yield (f"create table {name}_{number} partition of {name} "
                   + (bound if bound == "default" else f"for values {bound}"))
        count = self.random.choice([0, 1, 4, 15, 25, 30, 40, 40, 40])
        yield from self._rows(name, not_null, count)
        if partition is None and key != "replicated" and self.chance(0.15):
            yield f"create table {name}_heir (more int) inherits ({name}) {distribution}"
            yield from self._rows(f"{name}_heir", not_null, 9)
        for _ in range(self.random.randint(0, 2)):
            columns = self.random.sample([column for column in COLUMNS if column != "r"],
                                         self.random.choice([1, 1, 2]))
            yield f"create index on {name} ({', '.join(columns)})"

    def _rows(self, name, not_null, count):
        rows = []
        for number in range(count):
            values = [str(number) if column == "i" else self._value(kind, column in not_null)
                      for column, kind in KINDS.items()]
            rows.append(f"({', '.join(values)})")
        if rows:
            yield (f"insert into {name} ({', '.join(COLUMNS)}) values " + ", ".join(rows))

    def _value(self, kind, not_null):
        number = self.random.randint(0, self.random.choice([3, 8, 20]))
        if not not_null and self.chance(0.12):
            return "null"
        return literal(kind, number)
