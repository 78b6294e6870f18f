"""The tables of a knowledge base and of a parsed trace. What a column means is read from the comment beside it."""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path

import analysis.tables
import kb.tables

_OWN_WORDS = {
    "cards": "One row a pull request.",
    "chunks": "Pieces of the merged diffs, for full-text search and to show lines.",
    "links": "Relations between pull requests.",
    "commits": "The ledger: one row a commit that was walked. A batch of the other tables counts once its rows stand here.",
    "postings": "The words of the card fields, a row a field.",
    "pulls": "Descriptions of pull requests, also of those without a card.",
    "threads": "Review threads.",
    "meta": "Schema, encoder, who made the store.",
}  # fmt: skip


def tables_page() -> str:
    """The page of tables."""
    said = _comments(Path(kb.tables.__file__))
    lines = [
        "# Tables", "",
        f"A knowledge base is a folder of LanceDB tables, schema {kb.tables.STORE_SCHEMA}. LanceDB, DuckDB, Polars and pandas read them;",
        "only prlore should write them. `vectors` and `vectors_…` hold `id`, `repo`, `batch` and a unit vector of float16, one row a card.", "",
    ]  # fmt: skip
    for name, schema in kb.tables.SCHEMAS.items():
        lines += [f"## {name}", "", _OWN_WORDS[name], "", "| column | type | meaning |", "|---|---|---|"]
        for field in schema:
            kind = f"{field.type}{' or null' if field.nullable else ''}".replace("<", "\\<")
            meaning = said.get((name.upper(), field.name), "").replace("|", "\\|")
            lines.append(f"| `{field.name}` | {kind} | {meaning} |")
        lines.append("")
    lines += [
        "# Columns of a parsed trace", "",
        f"Beside the knowledge base: `prlore trace` keeps the columns of a trace as files of little-endian numbers (`<i8` is int64), schema {analysis.tables.SCHEMA}.",
        " ".join((analysis.tables.__doc__ or "").split("\n\n", 1)[1].split()), "",
    ]  # fmt: skip
    for name, columns in analysis.tables.TABLES.items():
        lines += [f"- `{name}`: " + ", ".join(f"`{c}` `{t}`" for c, t in columns.items())]
    return "\n".join(lines).rstrip() + "\n"


def _comments(path: Path) -> dict[tuple[str, str], str]:
    """(name of the schema, name of the column) -> the comment on its lines."""
    source = path.read_text("utf-8")
    by_line = {
        token.start[0]: token.string.lstrip("# ").strip()
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    found = {}
    for statement in ast.parse(source).body:
        if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
            continue
        for call in ast.walk(statement.value):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "pa.field" and isinstance(call.args[0], ast.Constant):  # fmt: skip
                lines = range(call.lineno, (call.end_lineno or call.lineno) + 1)
                note = next(
                    (by_line[n] for n in lines if n in by_line and not by_line[n].startswith("fmt:")), ""
                )
                found[statement.targets[0].id, str(call.args[0].value)] = note
    return found
