"""What stores say differently: a handful of expressions, each spelled once for each of them. Everything else is SQLAlchemy's."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Text
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

DUCKDB, POSTGRES, CLICKHOUSE = "duckdb", "postgresql", "clickhousedb"


class DuckDBDialect(PGDialect):
    """DuckDB's SQL, which is PostgreSQL's as far as questions go. It is compiled only; whoever has a connection asks."""

    name = DUCKDB
    supports_statement_cache = True
    default_paramstyle = "numeric_dollar"


class Seconds(FunctionElement[int]):
    """A time in whole seconds since the epoch."""

    type = BigInteger()
    inherit_cache = True


class Moment(FunctionElement[Any]):
    """A time of so many seconds since the epoch: what a column of times is compared with."""

    inherit_cache = True


class Quotient(FunctionElement[int]):
    """A whole number divided by another, without the rest; neither is negative."""

    type = BigInteger()
    inherit_cache = True


class Variable(FunctionElement[str]):
    """The value of a name in a map of text; NULL or empty where it is not there."""

    type = Text()
    inherit_cache = True


class Distinct(FunctionElement[int]):
    """How many different values there are, exactly; NULL is none of them."""

    type = BigInteger()
    inherit_cache = True


class DistinctNumbers(FunctionElement[int]):
    """The same of numbers from 1 to a given one. Where callers have numbers, which is in DuckDB only."""

    type = BigInteger()
    inherit_cache = True


class Bytewise(FunctionElement[str]):
    """A text that is ordered by its characters' numbers, whatever language the database sorts in."""

    type = Text()
    inherit_cache = True


def _of(element: FunctionElement[Any], compiler: SQLCompiler, **kw: Any) -> list[str]:
    return [compiler.process(clause, **kw) for clause in element.clauses]


@compiles(Seconds, DUCKDB)
def _(element: Seconds, compiler: SQLCompiler, **kw: Any) -> str:
    return f"(epoch_us({_of(element, compiler, **kw)[0]}) // 1000000)"


@compiles(Seconds, POSTGRES)
def _(element: Seconds, compiler: SQLCompiler, **kw: Any) -> str:
    return f"CAST(floor(extract(epoch FROM {_of(element, compiler, **kw)[0]})) AS bigint)"


@compiles(Seconds, CLICKHOUSE)
def _(element: Seconds, compiler: SQLCompiler, **kw: Any) -> str:
    return f"toInt64(toUnixTimestamp({_of(element, compiler, **kw)[0]}))"


@compiles(Moment, DUCKDB)
@compiles(Moment, POSTGRES)
def _(element: Moment, compiler: SQLCompiler, **kw: Any) -> str:
    return f"to_timestamp({_of(element, compiler, **kw)[0]})"


@compiles(Moment, CLICKHOUSE)
def _(element: Moment, compiler: SQLCompiler, **kw: Any) -> str:
    return f"toDateTime64({_of(element, compiler, **kw)[0]}, 6, 'UTC')"


@compiles(Quotient, DUCKDB)
def _(element: Quotient, compiler: SQLCompiler, **kw: Any) -> str:
    return "(({}) // ({}))".format(*_of(element, compiler, **kw))


@compiles(Quotient, POSTGRES)
def _(element: Quotient, compiler: SQLCompiler, **kw: Any) -> str:
    return "(({}) / ({}))".format(*_of(element, compiler, **kw))


@compiles(Quotient, CLICKHOUSE)
def _(element: Quotient, compiler: SQLCompiler, **kw: Any) -> str:
    return "intDiv({}, {})".format(*_of(element, compiler, **kw))


@compiles(Variable, DUCKDB)
@compiles(Variable, CLICKHOUSE)
def _(element: Variable, compiler: SQLCompiler, **kw: Any) -> str:
    return "{}[{}]".format(*_of(element, compiler, **kw))


@compiles(Variable, POSTGRES)
def _(element: Variable, compiler: SQLCompiler, **kw: Any) -> str:
    return "({} ->> {})".format(*_of(element, compiler, **kw))


@compiles(Distinct)
def _(element: Distinct, compiler: SQLCompiler, **kw: Any) -> str:
    return f"count(DISTINCT {_of(element, compiler, **kw)[0]})"


@compiles(Distinct, CLICKHOUSE)
def _(element: Distinct, compiler: SQLCompiler, **kw: Any) -> str:
    # What count(DISTINCT) is there, a setting says; this one is exact.
    return f"uniqExact({_of(element, compiler, **kw)[0]})"


@compiles(DistinctNumbers, DUCKDB)
def _(element: DistinctNumbers, compiler: SQLCompiler, **kw: Any) -> str:
    column, most = _of(element, compiler, **kw)
    return f"coalesce(bit_count(bitstring_agg({column}, 1, {most})), 0)"


@compiles(Bytewise)
def _(element: Bytewise, compiler: SQLCompiler, **kw: Any) -> str:
    return _of(element, compiler, **kw)[0]


@compiles(Bytewise, POSTGRES)
def _(element: Bytewise, compiler: SQLCompiler, **kw: Any) -> str:
    return f'({_of(element, compiler, **kw)[0]} COLLATE "C")'
