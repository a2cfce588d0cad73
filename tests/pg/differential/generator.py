# SPDX-License-Identifier: Apache-2.0
"""Random queries whose answer does not depend on the order of rows. The same seed gives
the same."""
from expressions import Expressions, ORDERED_KINDS, columns_of
from tables import COLUMNS, KINDS, RELATIONS, SINK, TEMPORARY, literal

RELATIONS_MAX = 5  # of a query: joins of many multiply their rows
TYPE_NAMES = {"time": "timestamp", "float": "float8", "json": "jsonb", "array": "int[]",
              "ctext": "text"}

# What makes the planner choose otherwise; plain PostgreSQL takes names it does not know.
SETTINGS = {
    "sluice.motion_setup_cost": ("0", "0", "20", "1000"),
    "sluice.motion_tuple_cost": ("0", "0.015", "1"),
    "sluice.enable_two_stage_agg": ("on", "on", "off"),
    "sluice.enable_direct_dispatch": ("on", "on", "off"),
    "sluice.enable_decorrelation": ("on", "on", "off"),
    "enable_hashjoin": ("on", "on", "off"), "enable_mergejoin": ("on", "on", "off"),
    "enable_nestloop": ("on", "on", "off"), "enable_hashagg": ("on", "on", "off"),
    "enable_sort": ("on", "on", "off"), "enable_material": ("on", "on", "off"),
    "enable_memoize": ("on", "on", "off"), "enable_seqscan": ("on", "on", "off"),
    "enable_partitionwise_join": ("off", "off", "on"),
    "enable_partitionwise_aggregate": ("off", "off", "on"),
    "geqo_threshold": ("12", "12", "2"), "join_collapse_limit": ("8", "8", "1"),
    "from_collapse_limit": ("8", "8", "1"), "work_mem": ("4MB", "64kB"),
    "plan_cache_mode": ("auto", "force_generic_plan", "force_custom_plan"),
    "cursor_tuple_fraction": ("0.1", "1"), "jit": ("off",),
}


class Queries(Expressions):
    """Queries over the tables of tables.py."""

    def __init__(self, seed):
        super().__init__(seed)
        self._relations_left = 0

    def settings(self):
        """Statements that make plans of another shape."""
        return [f"set {name} = '{self.random.choice(values)}'"
                for name, values in SETTINGS.items()]

    def next(self):
        """The statements of a step; what they leave behind is what was there before."""
        self._names, self._relations_left = 0, RELATIONS_MAX
        shape = self.random.random()
        if shape < 0.08:
            return self.prepared()
        if shape < 0.13:
            return self.insertion()
        if shape < 0.15:
            return self.changed_here()
        if shape < 0.17:
            return self.cursor()
        if shape < 0.2:
            return self.transaction()
        return [self.single()]

    def single(self):
        """One statement that leaves nothing behind."""
        self._names, self._relations_left = 0, RELATIONS_MAX
        return self.query()[0]

    def query(self, depth=2):
        if self.chance(0.15):
            return self.with_query(depth)
        text, columns = self.select(depth)
        return self.ordered(text, columns), columns

    # ---- statements ----

    def prepared(self):
        self._parameters = []
        text, _ = self.query()
        kinds, self._parameters = self._parameters, None
        name = self.name("p")
        types = ", ".join(TYPE_NAMES.get(kind, kind) for kind in kinds)
        steps = [f"prepare {name}" + (f" ({types})" if types else "") + f" as {text}"]
        for _ in range(self.pick(1, 2, 7)):
            values = ", ".join("null" if self.chance(0.05) else
                               literal(kind, self.random.randint(0, 6)) for kind in kinds)
            steps.append(f"execute {name}" + (f" ({values})" if values else ""))
        return steps + [f"deallocate {name}"]

    def insertion(self):
        kinds = self.random.sample(list(COLUMNS), self.random.randint(1, 5))
        text, _ = self.of_kinds([KINDS[column] for column in kinds], self.pick(0, 1, 2))
        returning = f" returning {self.column(list(KINDS.items()))}" if self.chance(0.3) else ""
        source = self.pick(text, text, f"select * from ({text}) o order by {self.all(len(kinds))} "
                           f"limit {self.random.randint(0, 20)}")
        where = self.predicate([(f"q.{column}", KINDS[column]) for column in kinds], 0)
        return [f"insert into {SINK} ({', '.join(kinds)}) {source}{returning}",
                f"select * from {SINK}", f"select count(*) from {SINK} q where {where}",
                f"truncate {SINK}"]

    def cursor(self):
        text, columns = self.select(2)
        return ["begin", f"declare c scroll cursor for select * from ({text}) o "
                         f"order by {self.all(len(columns))}",
                "fetch 3 c", "fetch backward 2 c", "fetch all c", "commit"]

    def transaction(self):
        """Queries see what their own transaction has inserted, and not what it took back."""
        filled = (SINK, list(KINDS.items()))
        fill = [f"insert into {SINK} ({', '.join(COLUMNS)}) select {', '.join(COLUMNS)} from "
                f"{self.random.choice(RELATIONS)}" for _ in range(2)]
        queries = []
        for _ in range(3):
            self._relations_left = RELATIONS_MAX
            queries.append(self.select(1, filled)[0])
        return ["begin", fill[0], queries[0], "savepoint s", fill[1], queries[1],
                "rollback to s", queries[2], "rollback"]

    def changed_here(self):
        """A table of the coordinator, by what is on segments."""
        source, scope = self.from_clause(1, None)
        table = [(f"{TEMPORARY}.{name}", kind) for name, kind in KINDS.items()]
        condition = " and ".join(filter(None, (self.equality(table, scope),
                                               self.predicate(table + scope, 1))))
        change = self.pick(f"update {TEMPORARY} set b = {TEMPORARY}.b + 1 from {source} "
                           f"where {condition}",
                           f"delete from {TEMPORARY} using {source} where {condition}")
        return ["begin", change, f"select * from {TEMPORARY}", "rollback"]

    # ---- whole queries: each gives text and the list of (column, kind) ----

    def all(self, count):
        """ORDER BY: with every column in the order, a limit cuts off rows that are equal at
        most."""
        return ", ".join(f"{number} {self.pick('', 'desc', 'nulls first')}"
                         for number in range(1, count + 1))

    def ordered(self, text, columns, probability=0.35):
        if not self.chance(probability):
            return text
        limit = f" limit {self.random.randint(0, 12)}" if self.chance(0.6) else ""
        offset = f" offset {self.random.randint(0, 4)}" if limit and self.chance(0.3) else ""
        if limit and self.chance(0.1):
            limit = (f" limit (select count(*) from {self.random.choice(RELATIONS)} z where "
                     f"{self.predicate(columns_of('z'), 0)})")
        elif limit and self.chance(0.1):
            limit = f" fetch first {self.random.randint(1, 5)} rows with ties"
        return f"select * from ({text}) o order by {self.all(len(columns))}{offset}{limit}"

    def with_query(self, depth):
        name = self.name("w")
        if self.chance(0.15):
            inner, columns = self.recursion()
            kind, recursive = "", "recursive "
        else:
            inner, columns = self.select(depth - 1)
            if self.chance(0.3):
                inner = self.ordered(inner, columns, 1)
            kind, recursive = self.pick("", "", "materialized ", "not materialized "), ""
        listed = ", ".join(column for column, _ in columns)
        outer, outer_columns = self.select(depth - 1, extra=(name, columns))
        text = f"with {recursive}{name} ({listed}) as {kind}({inner}) {outer}"
        return self.ordered(text, outer_columns, 0.2), outer_columns

    def recursion(self):
        table, column = self.random.choice(RELATIONS), self.pick("a", "b", "m")
        return (f"select 1, 0 union {self.pick('', 'all ')}select r.{column}, k1 + 1 from {table} r "
                f"join {{}} on {{}}.k0 = r.i where k1 < 2".replace("{}", f"w{self._names}"),
                [("k0", "int"), ("k1", "int")])

    def select(self, depth, extra=None):
        shape = self.random.random()
        if depth > 0 and shape < 0.14:
            return self.set_operation(depth, extra)
        if shape < 0.48:
            return self.plain_select(depth, extra)
        if shape < 0.82:
            return self.grouped_select(depth, extra)
        if shape < 0.9:
            return self.distinct_on(depth, extra)
        return self.window_select(depth, extra)

    def set_operation(self, depth, extra=None):
        kinds = [self.kind() for _ in range(self.random.randint(1, 3))]
        text, columns = self.of_kinds(kinds, depth - 1, extra)
        for _ in range(self.pick(1, 1, 1, 2, 3)):
            operation = self.pick("union", "union all", "union all", "intersect", "except",
                                  "except all", "intersect all")
            text = f"({text}) {operation} ({self.arm(kinds, depth - 1, extra)})"
        return text, columns

    def arm(self, kinds, depth, extra):
        if self.chance(0.12):
            rows = ", ".join(f"({', '.join(self.constant(kind) for kind in kinds)})"
                             for _ in range(2))
            return f"values {rows}"
        text, columns = self.of_kinds(kinds, depth, extra)
        return self.ordered(text, columns, 0.15)

    def of_kinds(self, kinds, depth, extra=None):
        source, scope = self.from_clause(depth, extra)
        listed = ", ".join(f"{self.expression(scope, kind, depth)} as k{number}"
                           for number, kind in enumerate(kinds))
        return (f"select {self.pick('', '', '', 'distinct ')}{listed} from {source}"
                f"{self.where(scope, depth)}",
                [(f"k{number}", kind) for number, kind in enumerate(kinds)])

    def plain_select(self, depth, extra):
        source, scope = self.from_clause(depth, extra)
        columns, listed = [], []
        for number in range(self.random.randint(1, 4)):
            kind = self.kind()
            listed.append(f"{self.expression(scope, kind, depth)} as k{number}")
            columns.append((f"k{number}", kind))
        if self.chance(0.08):
            listed.append(self.pick(f"generate_series(0, {self.column(scope, 'int')} % 3) as h",
                                    f"unnest({self.column(scope, 'array')}) as h"))
            columns.append(("h", "int"))
        distinct = "distinct " if self.chance(0.2) else ""
        return (f"select {distinct}{', '.join(listed)} from {source}{self.where(scope, depth)}",
                columns)

    def distinct_on(self, depth, extra):
        """The first row of each group, in an order of all that is shown."""
        kinds = [self.kind() for _ in range(self.random.randint(1, 4))]
        source, scope = self.from_clause(depth, extra)
        texts = [self.expression(scope, kind) for kind in kinds]
        first = self.random.randint(1, len(kinds))
        order = ", ".join(f"k{number} {self.pick('', 'desc', 'nulls first')}"
                          for number in range(len(kinds)))
        on = ", ".join(f"k{number}" for number in range(first))
        listed = ", ".join(f"{text} as k{number}" for number, text in enumerate(texts))
        return (f"select distinct on ({on}) * from (select {listed} from {source}"
                f"{self.where(scope, depth)}) y order by {order}",
                [(f"k{number}", kind) for number, kind in enumerate(kinds)])

    def group_keys(self, scope, depth):
        """[(text, kind)]: columns mostly."""
        keys = []
        for _ in range(self.random.randint(0, 3)):
            if self.chance(0.2):
                kind = self.kind()
                text = self.expression(scope, kind)
                if text.startswith("$") or not any(column in text for column, _ in scope):
                    continue  # a number would be a position
                keys.append((text, kind))
            else:
                keys.append(self.random.choice(scope))
        return list(dict(keys).items())

    def grouped_select(self, depth, extra):
        source, scope = self.from_clause(depth, extra)
        keys = self.group_keys(scope, depth)
        listed = [f"{text} as k{number}" for number, (text, _) in enumerate(keys)]
        columns = [(f"k{number}", kind) for number, (_, kind) in enumerate(keys)]
        for number in range(self.random.randint(1, 3)):
            text, kind = self.aggregate(scope)
            listed.append(f"{text} as s{number}")
            columns.append((f"s{number}", kind))
        if keys and self.chance(0.12):
            listed.append(f"sum(count(*)) over (partition by {keys[0][0]}) as z")
            columns.append(("z", "numeric"))
        text = f" from {source}{self.where(scope, depth)}"
        if keys:
            text += f" group by {self.grouping(keys, listed, columns)}"
        if self.chance(0.25):
            text += f" having {self.having(scope, keys, depth)}"
        return f"select {', '.join(listed)}{text}", columns

    def grouping(self, keys, listed, columns):
        texts = [text for text, _ in keys]
        if not self.chance(0.2):
            return ", ".join(texts)
        if self.chance(0.5):
            listed.append(f"grouping({', '.join(texts)}) as g")
            columns.append(("g", "int"))
        form = self.pick("rollup", "cube", "sets", "mixed")
        if form == "sets":
            sets = [self.random.sample(texts, self.random.randint(0, len(texts)))
                    for _ in range(self.random.randint(0, 2))] + [texts]
            return f"grouping sets ({', '.join('(' + ', '.join(one) + ')' for one in sets)})"
        if form == "mixed" and len(texts) > 1:
            return f"{texts[0]}, rollup ({', '.join(texts[1:])})"
        return f"{'cube' if form == 'cube' else 'rollup'} ({', '.join(texts)})"

    def having(self, scope, keys, depth):
        aggregate = self.aggregate(scope, "bigint")[0]
        if depth > 0 and self.chance(0.3):
            source, inner = self.inner(1)
            columns = [key for key in keys if key in scope]  # others are not known as groups
            condition = self.equality(columns, inner) if self.chance(0.6) else None
            where = f" where {condition}" if condition else ""
            return self.pick(f"{aggregate} > (select count(*) from {source}{where}) - 3",
                             f"exists (select 1 from {source}{where})",
                             f"{aggregate} in (select {self.column(inner, 'int')} from {source})")
        return f"{aggregate} {self.pick('>', '<>', '<=')} {self.random.randint(0, 4)}"

    # ---- windows: what is shown is of the order, so that ties do not matter ----

    def window_select(self, depth, extra):
        source, scope = self.from_clause(depth, extra)
        partition = [self.random.choice(scope) for _ in range(self.pick(0, 1, 1, 2))]
        order = [self.random.choice(scope) for _ in range(self.random.randint(0, 2))]
        shown = (partition + order) or [self.random.choice(scope)]
        listed = [f"{text} as k{number}" for number, (text, _) in enumerate(shown)]
        columns = [(f"k{number}", kind) for number, (_, kind) in enumerate(shown)]
        definition = " ".join(part for part in (
            f"partition by {', '.join(text for text, _ in partition)}" if partition else "",
            "order by " + ", ".join(f"{text} {self.pick('', 'desc', 'nulls first')}"
                                    for text, _ in order) if order else "") if part)
        for number in range(self.random.randint(1, 2)):
            text, kind = self.window_function(scope, order)
            frame = self.frame(order) if self.chance(0.4) else ""
            listed.append(f"{text} over ({definition}{frame}) as s{number}")
            columns.append((f"s{number}", kind))
        text = f"select {', '.join(listed)} from {source}{self.where(scope, depth)}"
        if self.chance(0.3):
            text = f"select * from ({text}) y where s0 {self.pick('<', '=', '>')} {self.zero(columns)}"
        return text, columns

    def zero(self, columns):
        return literal(dict(columns)["s0"], self.random.randint(0, 4))

    def window_function(self, scope, order):
        """The same for all peers, or told by numbers that ties may swap unseen."""
        choices = [(f"sum({self.column(scope, 'int')})", "bigint"), ("count(*)", "bigint"),
                   (f"max({self.column(scope, 'text')})", "text"),
                   (f"min({self.column(scope, 'date')})", "date"),
                   (f"count(*) filter (where {self.predicate(scope, 0)})", "bigint")]
        if order:
            choices += [("rank()", "bigint"), ("dense_rank()", "bigint"), ("cume_dist()", "float"),
                        ("percent_rank()", "float"), ("row_number()", "bigint"),
                        ("ntile(3)", "int")]
            text, kind = order[0]
            if len(order) == 1:
                choices += [(f"{function}({text})", kind)
                            for function in ("first_value", "last_value", "lag", "lead")]
        return self.random.choice(choices)

    def frame(self, order):
        if not order:
            return ""
        start = self.pick("unbounded preceding", "1 preceding", "current row")
        end = self.pick("unbounded following", "1 following", "current row")
        units = "groups"
        if len(order) == 1 and order[0][1] in ("int", "bigint", "numeric"):
            units = self.pick("groups", "range")
        return f" {units} between {start} and {end}{self.pick('', '', ' exclude group')}"

    # ---- FROM ----

    def relation(self, depth, extra):
        alias = self.name("q")
        self._relations_left -= 1
        if extra and self.chance(0.6):
            return f"{extra[0]} {alias}", [(f"{alias}.{name}", kind) for name, kind in extra[1]]
        if depth > 0 and self.chance(0.28):
            text, columns = self.query(depth - 1)
            return (f"({text}) {alias}",
                    [(f"{alias}.{name}", kind) for name, kind in columns])
        if self.chance(0.03):
            return (f"generate_series(0, {self.random.randint(0, 6)}) {alias}(g)",
                    [(f"{alias}.g", "int")])
        if self.chance(0.02):
            kinds = [self.kind(), "int"]
            rows = ", ".join(f"({', '.join(self.constant(kind) for kind in kinds)})"
                             for _ in range(3))
            return (f"(values {rows}) {alias}(g0, g1)",
                    [(f"{alias}.g{number}", kind) for number, kind in enumerate(kinds)])
        return f"{self.random.choice(RELATIONS)} {alias}", columns_of(alias)

    def from_clause(self, depth, extra):
        text, scope = self.relation(depth, extra)
        count = min(self.pick(0, 0, 1, 1, 1, 2, 3), self._relations_left)
        for number in range(count):
            if number + 1 < count and self.chance(0.15):
                other, other_scope = self.nested_join(depth - 1, extra)
            else:
                other, other_scope = self.relation(depth - 1, extra)
            text = self.joined(text, scope, other, other_scope, depth)
            scope = scope + other_scope
        if self.chance(0.14):
            return self.with_lateral(text, scope, depth)
        return text, scope

    def nested_join(self, depth, extra):
        left, scope = self.relation(depth, extra)
        right, right_scope = self.relation(depth, extra)
        return f"({self.joined(left, scope, right, right_scope, depth)})", scope + right_scope

    def joined(self, text, scope, other, other_scope, depth):
        kind = self.pick("join", "join", "join", "left join", "left join", "right join",
                         "full join")
        condition = self.equality(scope, other_scope)
        if condition is None:
            return f"{text} cross join {other}"
        # A full join needs a condition that merges or hashes.
        if kind != "full join" and self.chance(0.3):
            depth = 1 if depth > 0 and self.chance(0.3) else 0
            condition += f" and {self.predicate(scope + other_scope, depth)}"
        return f"{text} {kind} {other} on {condition}"

    def with_lateral(self, text, scope, depth):
        alias = self.name("v")
        form = self.random.random()
        if form < 0.25:
            values = ", ".join(f"({self.column(scope, 'int')})" for _ in range(2))
            inner, columns = f"values {values}", [("g", "int")]
        elif form < 0.35:
            inner, columns = f"select unnest({self.column(scope, 'array')})", [("g", "int")]
        else:
            inner, columns = self.lateral_select(scope, depth)
        names = ", ".join(name for name, _ in columns)
        join = self.pick("cross join lateral ({}) {} ({})",
                         "left join lateral ({}) {} ({}) on " + self.pick("true", f"{alias}.g > 2"))
        return (f"{text} {join.format(inner, alias, names)}",
                scope + [(f"{alias}.{name}", kind) for name, kind in columns])

    def lateral_select(self, scope, depth):
        source, inner = self.inner(depth)
        where = self.correlation(scope, inner)
        number = self.column(inner, "int")
        if self.chance(0.5):
            text, kind = self.aggregate(inner)
            group = f" group by {self.column(inner, 'date')}" if self.chance(0.2) else ""
            return (f"select count({number}), {text} from {source}{where}{group}",
                    [("g", "bigint"), ("h", kind)])
        kind = self.random.choice(ORDERED_KINDS)
        return (f"select {number}, {self.column(inner, kind)} from {source}{where} "
                f"order by {self.all(2)}" + self.pick("", f" limit {self.random.randint(1, 3)}",
                                                      f" limit {self.random.randint(1, 3)}"),
                [("g", "int"), ("h", kind)])
