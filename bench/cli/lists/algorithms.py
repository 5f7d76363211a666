"""``trainfit algorithms``; describes rules without importing them, or torch."""

from __future__ import annotations

from trainfit._text import plain
from trainfit.algorithms import algorithm_names, describe_algorithm
from trainfit.bench.cli.output import Column, Row, drawn, output

COLUMNS = (
    Column("algorithm"),
    Column("option", "    option", lambda name: f"    {name}"),
    Column("default", "default"),
    Column("allowed", "allowed"),
)


def algorithms() -> None:
    """List algorithms with their options and papers."""
    found: list[Row] = []
    out = output()
    for name in algorithm_names():
        rule = describe_algorithm(name)
        schema = rule.options_type.model_json_schema()
        rows: list[Row] = [
            {
                "algorithm": name,
                "option": option,
                "default": plain(field.default),
                "allowed": _allowed(schema["properties"][option], schema),
            }
            for option, field in rule.options_type.model_fields.items()
        ]
        found += rows
        out.show(f"{name}: {rule.summary}", f"    paper: {rule.paper}")
        out.show(drawn(COLUMNS, rows), "")
    out.table("options", COLUMNS, found, printed=())


def _allowed(shape: dict[str, object], schema: dict[str, dict[str, dict[str, object]]]) -> str:
    """What an option may be, from its JSON schema."""
    reference = shape.get("$ref")
    if isinstance(reference, str):
        shape = schema["$defs"][reference.rpartition("/")[2]]
    choices = shape.get("enum")
    if isinstance(choices, list):
        return " | ".join(plain(choice) for choice in choices)
    words = {
        "minimum": "at least {}",
        "exclusiveMinimum": "more than {}",
        "maximum": "at most {}",
        "exclusiveMaximum": "less than {}",
    }
    limits = [text.format(shape[key]) for key, text in words.items() if key in shape]
    return f"{shape.get('type', 'any')}{', ' if limits else ''}{', '.join(limits)}"
