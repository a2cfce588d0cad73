# SPDX-License-Identifier: Apache-2.0
"""What the random queries compute and ask of rows. A scope is what expressions may refer
to: a list of (text, kind)."""
import random

from tables import KINDS, MOODS, RELATIONS, literal

ORDERED_KINDS = ("int", "bigint", "numeric", "float", "text", "ctext", "date", "time", "mood",
                 "array")  # that have min() and max()
NUMBERS = ("int", "bigint", "numeric", "float")
RELATED = {"int", "bigint", "numeric"}  # kinds that compare with each other


def columns_of(alias):
    return [(f"{alias}.{name}", kind) for name, kind in KINDS.items()]


class Expressions:
    """Of one stream of queries, which counts names."""

    def __init__(self, seed):
        self.random = random.Random(f"queries {seed}")
        self._names = 0
        self._parameters = None  # kinds of $1, $2, ... of a statement to be prepared

    def chance(self, probability):
        return self.random.random() < probability

    def pick(self, *choices):
        return self.random.choice(choices)

    def name(self, prefix):
        self._names += 1
        return f"{prefix}{self._names}"

    # ---- values ----

    def constant(self, kind):
        if self._parameters is not None and len(self._parameters) < 5 and self.chance(0.4):
            self._parameters.append(kind)
            number = f"${len(self._parameters)}"
            return f'({number} collate "C")' if kind == "ctext" else number
        return literal(kind, self.random.randint(0, 6))

    def column(self, scope, kind=None):
        """A column of that kind, or something that can stand for one."""
        of_kind = [name for name, other in scope if kind is None or other == kind]
        if of_kind:
            return self.random.choice(of_kind)
        if kind == "bigint":
            ints = [name for name, other in scope if other == "int"]
            if ints:
                return f"{self.random.choice(ints)}::bigint"
        return self.constant(kind or "int")

    def expression(self, scope, kind, depth=0):
        column = self.column(scope, kind)
        choice = self.random.random()
        if choice < 0.5:
            return column
        if depth > 0 and choice < 0.62:
            return self.scalar_subquery(scope, kind, depth)
        if choice < 0.7:
            return f"coalesce({column}, {self.constant(kind)})"
        if choice < 0.82:
            return (f"case when {self.predicate(scope, depth - 1)} then {column} "
                    f"else {self.column(scope, kind)} end")
        if choice < 0.86:
            return f"nullif({column}, {self.column(scope, kind)})"
        if kind in ORDERED_KINDS and choice < 0.89:
            return f"{self.pick('greatest', 'least')}({column}, {self.column(scope, kind)})"
        return self.computed(scope, kind, column)

    def computed(self, scope, kind, column):
        """By what only this kind has."""
        if kind == "int":
            return self.pick(f"length({self.column(scope, 'text')})",
                             f"extract(day from {self.column(scope, 'date')})::int",
                             f"cardinality({self.column(scope, 'array')})",
                             f"({self.column(scope, 'json')} ->> 'k')::int",
                             f"{column} % 3", f"({column} + {self.random.randint(0, 5)})")
        if kind == "bigint" and self.chance(0.2):
            return f"{self.pick('looked', 'looked_up')}({self.column(scope, 'int')})"
        if kind in NUMBERS:
            return f"({column} {self.pick('+', '-', '*')} {self.random.randint(0, 5)})"
        if kind == "text":
            return self.pick(f"({column} || 'y')", f"upper({column})", f"left({column}, 1)",
                             f"({self.column(scope, 'json')} ->> 'k')",
                             f"{self.column(scope, 'mood')}::text",
                             f"to_char({self.column(scope, 'time')}, 'DD HH24')",
                             f"{self.column(scope, 'int')}::text")
        if kind == "date":
            return f"({column} + {self.random.randint(0, 9)})"
        if kind == "time":
            return self.pick(f"({column} + {self.random.randint(0, 9)} * interval '1 hour')",
                             f"date_trunc('day', {column})")
        if kind == "bool":
            return self.pick(f"({self.predicate(scope, 0)})",
                             f"({self.column(scope, 'time')} < now())",
                             f"({self.column(scope, 'date')} < current_date)")
        if kind == "array":
            return self.pick(f"({column} || {self.column(scope, 'int')})",
                             f"array[{self.column(scope, 'int')}::int]")
        if kind == "json":
            return f"jsonb_build_array({self.column(scope, 'int')}, {self.column(scope, 'text')})"
        return column

    def kind(self):
        return self.random.choice(("int", "int", "text", "numeric", "date", "bigint")
                                  + tuple(KINDS.values()))

    # ---- conditions ----

    def equality(self, left, right):
        """Between two scopes; None where nothing compares."""
        pairs = [(one, other) for one, kind in left for other, other_kind in right
                 if kind == other_kind or {kind, other_kind} <= RELATED]
        if not pairs:
            return None
        chosen = self.random.sample(pairs, min(len(pairs), self.pick(1, 1, 1, 2)))
        return " and ".join(f"{one} = {other}" + (" + 1" if self.plus_one(one, other, left) else "")
                            for one, other in chosen)

    def plus_one(self, one, other, left):
        return dict(left).get(one) == "int" and ":" not in other and self.chance(0.06)

    def where(self, scope, depth):
        if self.chance(0.5):
            return ""
        predicates = [self.predicate(scope, depth) for _ in range(self.pick(1, 1, 1, 2, 3))]
        return " where " + self.pick(" and ", " and ", " or ").join(
            f"({predicate})" for predicate in predicates)

    def predicate(self, scope, depth):
        if depth > 0 and self.chance(0.28):
            return self.subquery_predicate(scope, depth)
        column, kind = self.random.choice(scope)
        choice = self.random.random()
        if choice < 0.12:
            return f"{column} is {self.pick('', 'not ')}null"
        if choice < 0.24:
            return self.among_constants(column, kind)
        if choice < 0.34:
            return f"not ({column} {self.pick('<', '=', '>=')} {self.constant(kind)})"
        if choice < 0.48:
            return f"{column} {self.pick('=', '<', '<>', '>=')} {self.column(scope, kind)}"
        if choice < 0.54:
            return (f"{column} is {self.pick('', 'not ')}distinct from "
                    f"{self.pick(self.column(scope, kind), self.constant(kind))}")
        if choice < 0.6:
            return f"{column} between {self.constant(kind)} and {self.column(scope, kind)}"
        if choice < 0.66:
            return self.row_comparison(scope)
        if choice < 0.72:
            return self.of_a_kind(scope)
        return f"{column} {self.pick('=', '<', '>', '<=', '<>', '<>')} {self.constant(kind)}"

    def among_constants(self, column, kind):
        listed = ", ".join(self.constant(kind) for _ in range(3))
        form = self.random.random()
        if form < 0.6 or kind == "array":
            return f"{column} {self.pick('', 'not ')}in ({listed})"
        return f"{column} {self.pick('= any', '<> all', '< any', '>= all')} (array[{listed}])"

    def row_comparison(self, scope):
        chosen = [self.random.choice(scope) for _ in range(2)]
        left = ", ".join(column for column, _ in chosen)
        right = ", ".join(self.pick(self.column(scope, kind), self.constant(kind))
                          for _, kind in chosen)
        return f"({left}) {self.pick('=', '<', '>=', '<>')} ({right})"

    def of_a_kind(self, scope):
        """By operators that only some kinds have."""
        return self.pick(f"{self.column(scope, 'bool')}",
                         f"{self.column(scope, 'text')} like '{self.pick('%', '_')}1'",
                         f"{self.column(scope, 'int')} = any ({self.column(scope, 'array')})",
                         f"{self.column(scope, 'array')} && {self.constant('array')}",
                         f"{self.column(scope, 'json')} @> '{{\"k\": 1}}'",
                         f"{self.column(scope, 'mood')} > '{MOODS[0]}'")

    # ---- subqueries in expressions ----

    def inner(self, depth):
        """FROM of a subquery: (text, scope)."""
        alias = self.name("x")
        table = f"{self.random.choice(RELATIONS)} {alias}"
        if depth < 2 or self.chance(0.75):
            return table, columns_of(alias)
        other = self.name("x")
        scope = columns_of(alias) + columns_of(other)
        condition = self.equality(columns_of(alias), columns_of(other))
        return (f"{table} {self.pick('join', 'left join')} {self.random.choice(RELATIONS)} {other} "
                f"on {condition}", scope)

    def correlation(self, scope, inner):
        """WHERE of a subquery that refers to the rows outside, or to none; maybe empty."""
        clauses = []
        if self.chance(0.55):
            clauses.append(self.equality(scope, inner))
        elif self.chance(0.2):
            column, kind = self.random.choice(scope)
            clauses.append(f"{column} {self.pick('<', '<>', '>=')} {self.column(inner, kind)}")
        if self.chance(0.4):
            clauses.append(self.predicate(inner, 0))
        clauses = [clause for clause in clauses if clause]
        return " where " + " and ".join(clauses) if clauses else ""

    def subquery_predicate(self, scope, depth):
        column, kind = self.random.choice(scope)
        source, inner = self.inner(depth)
        where = self.correlation(scope, inner)
        form = self.random.random()
        if form < 0.3:
            return (f"{column} {self.pick('', '', 'not ')}in (select {self.column(inner, kind)} "
                    f"from {source}{where})")
        if form < 0.4:
            chosen = [self.random.choice(scope) for _ in range(2)]
            left = ", ".join(text for text, _ in chosen)
            right = ", ".join(self.column(inner, other) for _, other in chosen)
            return f"({left}) {self.pick('', 'not ')}in (select {right} from {source}{where})"
        if form < 0.65:
            return f"{self.pick('', 'not ')}exists (select 1 from {source}{where})"
        if form < 0.73:
            return (f"{column} {self.pick('= any', '<> all', '< any', '>= all', '> any')} "
                    f"(select {self.column(inner, kind)} from {source}{where})")
        if form < 0.77 and kind != "array":
            return (f"{column} {self.pick('= any', '<> all')} (array(select "
                    f"{self.column(inner, kind)} from {source}{where}))")
        if form < 0.82:
            return (f"({self.column(scope, 'bigint')}, {self.column(scope, 'int')}) "
                    f"{self.pick('=', '<', '>')} (select count(*), max({self.column(inner, 'int')}) "
                    f"from {source}{where})")
        if kind not in ORDERED_KINDS:
            return f"(select count(*) from {source}{where}) {self.pick('<', '>', '=')} 3"
        return (f"{column} {self.pick('=', '<', '>')} (select {self.pick('max', 'min')}"
                f"({self.column(inner, kind)}) from {source}{where})")

    def scalar_subquery(self, scope, kind, depth):
        source, inner = self.inner(depth)
        where = self.correlation(scope, inner)
        column = self.column(inner, kind)
        if kind == "bool":
            return self.pick(f"exists (select 1 from {source}{where})",
                             f"(select {self.pick('bool_and', 'bool_or')}({column}) "
                             f"from {source}{where})")
        if kind == "bigint" and self.chance(0.4):
            return f"(select count({self.column(inner)}) from {source}{where})"
        if kind == "array" and self.chance(0.5):
            return f"array(select {self.column(inner, 'int')}::int from {source}{where} order by 1)"
        if kind in ORDERED_KINDS and self.chance(0.6):
            return f"(select {self.pick('max', 'min')}({column}) from {source}{where})"
        return (f"(select {column} from {source}{where} order by 1 "
                f"{self.pick('', 'desc', 'nulls first')} limit 1)")

    # ---- aggregates: (text, kind) ----

    def aggregate(self, scope, wanted=None):
        """Over rows in any order; wanted "bigint": of that kind."""
        choice = self.random.random()
        if wanted == "bigint" or choice < 0.4:
            text, kind = self.pick(
                ("count(*)", "bigint"), (f"count({self.column(scope)})", "bigint"),
                (f"count(distinct {self.column(scope)})", "bigint"),
                (f"count(distinct ({self.column(scope)}, {self.column(scope)}))", "bigint"),
                (f"sum({self.column(scope, 'int')})", "bigint"),
                (f"sum(distinct {self.column(scope, 'int')})", "bigint"))
        elif choice < 0.6:
            kind = self.random.choice(ORDERED_KINDS)
            text = f"{self.pick('min', 'max')}({self.column(scope, kind)})"
        elif choice < 0.7:
            function, kind = self.pick(("sum", "numeric"), ("avg", "numeric"), ("sum", "float"))
            text = f"{function}({self.column(scope, kind)})"
        elif choice < 0.78:
            text, kind = (f"{self.pick('bool_and', 'bool_or', 'every')}"
                          f"({self.column(scope, 'bool')})", "bool")
        else:
            return self.ordered_aggregate(scope)
        if self.chance(0.15):
            text += f" filter (where {self.predicate(scope, 0)})"
        return text, kind

    def ordered_aggregate(self, scope):
        number, text = self.column(scope, "int"), self.column(scope, "text")
        direction = self.pick("", " desc", " nulls first")
        return self.pick(
            (f"array_agg({number}::int order by {number}{direction})", "array"),
            (f"array_agg(distinct {number}::int)", "array"),
            (f"string_agg({text}, ',' order by {text}{direction})", "text"),
            (f"string_agg(distinct {text}, ',')", "text"),
            (f"jsonb_agg({number} order by {number}{direction})", "json"),
            (f"percentile_disc(0.5) within group (order by {number}{direction})", "int"),
            (f"mode() within group (order by {text})", "text"),
            (f"rank({self.random.randint(0, 5)}) within group (order by {number})", "bigint"))
