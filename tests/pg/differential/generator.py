# SPDX-License-Identifier: Apache-2.0
"""Random tables with random distributions, and random queries over them whose answer
does not depend on the order of rows. The same seed gives the same."""
import random

TYPES = ("int", "text", "numeric", "date", "bigint")
COLUMNS = {"a": "int", "b": "int", "c": "bigint", "t": "text", "n": "numeric", "d": "date"}
TABLE_COUNT = 6
RELATION_COUNT = TABLE_COUNT + 1  # the last is a materialized view, of the coordinator
RELATIONS_MAX = 5


class Tables:
    """Six tables of the same columns; at least one of each distribution."""

    def __init__(self, seed):
        self.random = random.Random(f"tables {seed}")
        self.names = [f"r{number}" for number in range(TABLE_COUNT)]

    def script(self):
        keys = ["a", "b, t", "replicated", "random"]
        keys += [self.random.choice(["b", "c", "t", "n", "d", "a, b", "c, a"])
                 for _ in range(TABLE_COUNT - len(keys))]
        self.random.shuffle(keys)
        for name, key in zip(self.names, keys):
            columns = ", ".join(f"{column} {kind}" for column, kind in COLUMNS.items())
            partitioned = self.random.random() < 0.25 and key != "replicated"
            yield (f"create table {name} ({columns})"
                   + (" partition by hash (b)" if partitioned else "")
                   + f" with (distributed_by = '{key}')")
            for number in range(2 if partitioned else 0):
                yield (f"create table {name}_{number} partition of {name} for values with "
                       f"(modulus 2, remainder {number})")
            yield from self._rows(name)
            if self.random.random() < 0.5:
                yield f"create index on {name} ({self.random.choice(list(COLUMNS))})"
        yield f"create materialized view r{TABLE_COUNT} as select * from r0 union all select * from r1"
        yield "analyze"

    def _rows(self, name):
        count = self.random.choice([0, 4, 15, 25, 30, 40, 40, 40])
        rows = [", ".join(self._value(kind) for kind in COLUMNS.values()) for _ in range(count)]
        if rows:
            yield f"insert into {name} values " + ", ".join(f"({row})" for row in rows)

    def _value(self, kind):
        number = self.random.randint(0, self.random.choice([3, 8, 20]))
        if self.random.random() < 0.12:
            return "null"
        return {"int": str(number), "bigint": str(number), "text": f"'x{number % 6}'",
                "numeric": f"{number}.{number % 4 * 25}",
                "date": f"date '2020-01-{number % 28 + 1:02d}'"}[kind]


class Queries:
    """Queries over such tables."""

    def __init__(self, seed):
        self.random = random.Random(f"queries {seed}")
        self._names = 0
        self._relations_left = 0  # joins of many multiply their rows

    def chance(self, probability):
        return self.random.random() < probability

    def pick(self, *choices):
        return self.random.choice(choices)

    def name(self, prefix):
        self._names += 1
        return f"{prefix}{self._names}"

    # ---- whole queries: each gives text and the list of (column, type) ----

    def next(self):
        self._names, self._relations_left = 0, RELATIONS_MAX
        if self.chance(0.15):
            return self.with_query()
        text, columns = self.select(depth=2)
        return self.ordered(text, columns)

    def ordered(self, text, columns):
        """With every column in the order, a limit cuts off rows that are equal at most."""
        if not self.chance(0.35):
            return text
        keys = ", ".join(f"{number} {self.pick('', 'desc', 'nulls first')}"
                         for number in range(1, len(columns) + 1))
        limit = f" limit {self.random.randint(0, 12)}" if self.chance(0.6) else ""
        offset = f" offset {self.random.randint(0, 4)}" if limit and self.chance(0.3) else ""
        return f"select * from ({text}) o order by {keys}{limit}{offset}"

    def with_query(self):
        name = self.name("w")
        inner, columns = self.select(depth=1)
        kind = self.pick("", "", "materialized ", "not materialized ")
        listed = ", ".join(f"{column}" for column, _ in columns)
        outer, _ = self.select(depth=1, extra=(name, columns))
        return f"with {name} ({listed}) as {kind}({inner}) {outer}"

    def select(self, depth, extra=None):
        shape = self.random.random()
        if depth > 0 and shape < 0.12:
            return self.set_operation(depth)
        if shape < 0.5:
            return self.plain_select(depth, extra)
        if shape < 0.9:
            return self.grouped_select(depth, extra)
        return self.window_select(depth, extra)

    def set_operation(self, depth):
        kinds = [self.random.choice(TYPES) for _ in range(self.random.randint(1, 3))]
        parts = [self.of_types(kinds, depth - 1) for _ in range(2)]
        operation = self.pick("union", "union all", "intersect", "except", "except all",
                              "intersect all")
        columns = [(f"k{number}", kind) for number, kind in enumerate(kinds)]
        return f"({parts[0]}) {operation} ({parts[1]})", columns

    def of_types(self, kinds, depth):
        source, scope = self.from_clause(depth, None)
        listed = ", ".join(f"{self.expression(scope, kind)} as k{number}"
                           for number, kind in enumerate(kinds))
        return f"select {listed} from {source}{self.where(scope, depth)}"

    def plain_select(self, depth, extra):
        source, scope = self.from_clause(depth, extra)
        columns, listed = [], []
        for number in range(self.random.randint(1, 4)):
            kind = self.random.choice(TYPES)
            listed.append(f"{self.expression(scope, kind, depth)} as k{number}")
            columns.append((f"k{number}", kind))
        if self.chance(0.08):
            listed.append(f"generate_series(0, {self.column(scope, 'int')} % 3) as g")
            columns.append(("g", "int"))
        distinct = "distinct " if self.chance(0.2) else ""
        return (f"select {distinct}{', '.join(listed)} from {source}{self.where(scope, depth)}",
                columns)

    def grouped_select(self, depth, extra):
        source, scope = self.from_clause(depth, extra)
        keys = []
        for number in range(self.random.randint(0, 3)):
            text, kind = self.random.choice(scope)
            keys.append((f"k{number}", kind, text))
        listed = [f"{text} as {name}" for name, _, text in keys]
        columns = [(name, kind) for name, kind, _ in keys]
        for number in range(self.random.randint(1, 3)):
            text, kind = self.aggregate(scope)
            listed.append(f"{text} as s{number}")
            columns.append((f"s{number}", kind))
        group = ", ".join(str(number) for number in range(1, len(keys) + 1))
        if len(keys) > 1 and self.chance(0.15):
            texts = ", ".join(text for _, _, text in keys)
            group = f"{self.pick('rollup', 'cube')} ({texts})"
        text = f"select {', '.join(listed)} from {source}{self.where(scope, depth)}"
        if keys:
            text += f" group by {group}"
        if self.chance(0.25):
            text += f" having {self.aggregate(scope, 'bigint')[0]} > {self.random.randint(0, 4)}"
        return text, columns

    def window_select(self, depth, extra):
        source, scope = self.from_clause(depth, extra)
        partition = f"partition by {self.column(scope)}" if self.chance(0.7) else ""
        function = self.pick(f"sum({self.column(scope, 'int')})", "count(*)",
                             f"max({self.column(scope, 'text')})")
        # Peers get the same value: ties do not matter.
        order = f" order by {self.column(scope)}" if self.chance(0.6) else ""
        if order and self.chance(0.3):
            function = self.pick("rank()", "dense_rank()")
        first = self.column(scope, "int")
        kind = "text" if function.startswith("max") else "bigint"
        return (f"select {first} as k0, {function} over ({partition}{order}) as k1 "
                f"from {source}{self.where(scope, depth)}", [("k0", "int"), ("k1", kind)])

    # ---- what they are made of; a scope is a list of (qualified column, type) ----

    def relation(self, depth, extra):
        alias = self.name("q")
        self._relations_left -= 1
        if extra and self.chance(0.6):
            return f"{extra[0]} {alias}", [(f"{alias}.{name}", kind) for name, kind in extra[1]]
        if depth > 0 and self.chance(0.25):
            text, columns = self.select(depth - 1)
            return f"({text}) {alias}", [(f"{alias}.{name}", kind) for name, kind in columns]
        if self.chance(0.04):
            return f"generate_series(0, {self.random.randint(0, 6)}) {alias}(g)", [(f"{alias}.g", "int")]
        table = f"r{self.random.randrange(RELATION_COUNT)}"
        return f"{table} {alias}", [(f"{alias}.{name}", kind) for name, kind in COLUMNS.items()]

    def from_clause(self, depth, extra):
        text, scope = self.relation(depth, extra)
        for _ in range(min(self.pick(0, 0, 1, 1, 1, 2, 3), self._relations_left)):
            other, other_scope = self.relation(depth - 1, extra)
            kind = self.pick("join", "join", "join", "left join", "left join", "right join",
                             "full join")
            # A full join needs a condition that merges or hashes.
            condition = self.equality(scope, other_scope)
            if condition is None:
                text = f"{text} cross join {other}"
            else:
                if kind != "full join" and self.chance(0.25):
                    condition += f" and {self.predicate(scope + other_scope, 0)}"
                text = f"{text} {kind} {other} on {condition}"
            scope = scope + other_scope
        if self.chance(0.06):
            alias = self.name("v")
            values = ", ".join(f"({self.column(scope, 'int')})" for _ in range(2))
            kind = self.pick("cross join lateral (values {}) {}(g)",
                             "left join lateral (values {}) {}(g) on g > 2")
            text += " " + kind.format(values, alias)
            scope = scope + [(f"{alias}.g", "int")]
        return text, scope

    def equality(self, left, right):
        pairs = [(one, other) for one, kind in left for other, other_kind in right
                 if kind == other_kind or {kind, other_kind} == {"int", "bigint"}]
        if not pairs:
            return None
        chosen = self.random.sample(pairs, min(len(pairs), self.pick(1, 1, 1, 2)))
        return " and ".join(f"{one} = {other}" for one, other in chosen)

    def where(self, scope, depth):
        if self.chance(0.55):
            return ""
        predicates = [self.predicate(scope, depth) for _ in range(self.pick(1, 1, 1, 2))]
        return " where " + self.pick(" and ", " and ", " or ").join(predicates)

    def predicate(self, scope, depth):
        column, kind = self.random.choice(scope)
        choice = self.random.random()
        if depth > 0 and choice < 0.25:
            return self.subquery_predicate(scope, depth)
        if choice < 0.35:
            return f"{column} is {self.pick('', 'not ')}null"
        if choice < 0.45:
            listed = ", ".join(self.constant(kind) for _ in range(3))
            return f"{column} {self.pick('', 'not ')}in ({listed})"
        if choice < 0.55:
            return f"not ({column} {self.pick('<', '=', '>=')} {self.constant(kind)})"
        if choice < 0.7:
            return (f"{column} {self.pick('=', '<', '<>', '>=')} {self.column(scope, kind)}")
        return f"{column} {self.pick('=', '<', '>', '<=', '<>', '<>')} {self.constant(kind)}"

    def subquery_predicate(self, scope, depth):
        column, kind = self.random.choice(scope)
        alias = self.name("x")
        table = f"r{self.random.randrange(RELATION_COUNT)}"
        inner = [(f"{alias}.{name}", inner_kind) for name, inner_kind in COLUMNS.items()]
        where = f" where {self.predicate(inner, 0)}" if self.chance(0.5) else ""
        form = self.random.random()
        if form < 0.4:
            return (f"{column} {self.pick('', '', 'not ')}in (select {self.column(inner, kind)} "
                    f"from {table} {alias}{where})")
        correlation = self.equality(scope, inner)
        if form < 0.75 and correlation:
            more = f" and {self.predicate(inner, 0)}" if self.chance(0.4) else ""
            return (f"{self.pick('', 'not ')}exists (select 1 from {table} {alias} where "
                    f"{correlation}{more})")
        if correlation and self.chance(0.6):
            where = f" where {correlation}"
        function = self.pick("max", "min") if kind != "numeric" else self.pick("max", "sum", "avg")
        return (f"{column} {self.pick('=', '<', '>')} (select {function}({self.column(inner, kind)}) "
                f"from {table} {alias}{where})")

    def aggregate(self, scope, wanted=None):
        choices = [("count(*)", "bigint"), (f"count({self.column(scope)})", "bigint"),
                   (f"count(distinct {self.column(scope)})", "bigint"),
                   (f"sum({self.column(scope, 'int')})", "bigint")]
        if wanted is None:
            kind = self.random.choice(TYPES)
            choices += [(f"{self.pick('min', 'max')}({self.column(scope, kind)})", kind),
                        (f"sum({self.column(scope, 'numeric')})", "numeric"),
                        (f"avg({self.column(scope, 'numeric')})", "numeric"),
                        (f"count(*) filter (where {self.predicate(scope, 0)})", "bigint"),
                        (f"sum(distinct {self.column(scope, 'int')})", "bigint")]
        return self.random.choice(choices)

    def column(self, scope, kind=None):
        """A column of that type, or something that can stand for one."""
        of_kind = [name for name, other in scope if kind is None or other == kind]
        if of_kind:
            return self.random.choice(of_kind)
        if kind == "bigint":
            ints = [name for name, other in scope if other == "int"]
            if ints:
                return f"{self.random.choice(ints)}::bigint"
        return self.constant(kind)

    def expression(self, scope, kind, depth=0):
        column = self.column(scope, kind)
        choice = self.random.random()
        if choice < 0.6:
            return column
        if depth > 0 and choice < 0.68:
            return self.scalar_subquery(scope, kind)
        if choice < 0.8:
            return f"coalesce({column}, {self.constant(kind)})"
        if choice < 0.9:
            return (f"case when {self.predicate(scope, 0)} then {column} "
                    f"else {self.column(scope, kind)} end")
        if kind in ("int", "bigint", "numeric"):
            return f"{column} {self.pick('+', '-', '*')} {self.random.randint(0, 5)}"
        return f"{column} || 'y'" if kind == "text" else f"{column} + {self.random.randint(0, 9)}"

    def scalar_subquery(self, scope, kind):
        alias = self.name("y")
        inner = [(f"{alias}.{name}", inner_kind) for name, inner_kind in COLUMNS.items()]
        correlation = self.equality(scope, inner) if self.chance(0.6) else None
        where = f" where {correlation}" if correlation else ""
        return (f"(select max({self.column(inner, kind)}) from "
                f"r{self.random.randrange(TABLE_COUNT)} {alias}{where})")

    def constant(self, kind):
        number = self.random.randint(0, 6)
        return {"int": str(number), "bigint": f"{number}::bigint", "text": f"'x{number % 6}'",
                "numeric": f"{number}.{number % 4 * 25}::numeric", None: str(number),
                "date": f"date '2020-01-{number + 1:02d}'"}[kind]
