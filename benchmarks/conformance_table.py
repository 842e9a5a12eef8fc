"""The conformance table as Markdown: counts by operator, and one row for cases of an operator with equal outcomes."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from conformance_check import EQUAL, HOST, NONE, REFUSED, WRONG, Network, Outcome

Result = tuple[Network, Outcome]
KINDS = (EQUAL, HOST, REFUSED, NONE, WRONG)
MOST_NAMES, MOST_VARIANTS, LONGEST = 12, 8, 300


def counts(results: Iterable[Result]) -> str:
    """Networks by operator and kind of outcome, and elements compared."""
    kinds, cases, elements = defaultdict[str, Counter[str]](Counter), defaultdict[str, set[str]](set), Counter[str]()
    for network, outcome in results:
        for operator in (network.operator, "all"):
            kinds[operator][outcome.kind] += 1
            cases[operator].add(f"{network.operator} {network.case}")
            elements[operator] += outcome.elements
    lines = [f"| operator | cases | networks | {' | '.join(KINDS)} | elements compared |", "| --- |" + " ---: |" * 8]
    for operator in ["all", *sorted(set(kinds) - {"all"})]:
        numbers = [len(cases[operator]), kinds[operator].total(), *(kinds[operator][kind] for kind in KINDS)]
        cells = " | ".join(f"{number:,}" if number else "" for number in (*numbers, elements[operator]))
        lines.append(f"| {operator} | {cells} |")
    return "\n".join(lines)


def sections(results: Sequence[Result]) -> str:
    """A heading and a table for each operator."""
    by_operator = defaultdict[str, list[Result]](list)
    for result in results:
        by_operator[result[0].operator].append(result)
    parts = []
    for operator, held in sorted(by_operator.items()):
        rows = [f"| {names} | {cell} |" for names, cell in _rows(held)]
        parts.append("\n".join([f"### {operator}\n", "| cases | outcome of the variants |", "| --- | --- |", *rows]))
    return "\n\n".join(parts)


def _rows(results: Sequence[Result]) -> Iterable[tuple[str, str]]:
    """Cases whose variants have the same outcomes, numbers in messages aside, share a row and show the first's."""
    by_case = defaultdict[str, list[Result]](list)
    for network, outcome in results:
        by_case[network.case].append((network, outcome))
    groups = defaultdict[tuple[tuple[str, str, str], ...], list[str]](list)
    for case, held in by_case.items():
        key = tuple((n.variant, o.kind, re.sub(r"'[^']*'|[\d.e-]+", "#", o.text)) for n, o in held)
        groups[key].append(case)
    for names in groups.values():
        held = [result for name in names for result in by_case[name]]
        yield _names(names, MOST_NAMES), _outcomes(by_case[names[0]], held)


def _outcomes(first: Sequence[Result], held: Sequence[Result]) -> str:
    lines: Mapping[tuple[str, str], list[str]] = defaultdict(list)
    for network, outcome in first:
        lines[outcome.kind, short(outcome.text)].append(network.variant)
    parts = []
    for kind, text in sorted(lines, key=lambda line: KINDS.index(line[0])):
        elements = sum(o.elements for n, o in held if o.kind == kind and n.variant in lines[kind, text])
        what = f"**{kind}**" + (f" ({elements:,})" if elements else "")
        message = f": {text}" if text else ""
        parts.append(f"{_names(lines[kind, text], MOST_VARIANTS)}: {what}{message}")
    return "<br>".join(parts)


def _names(names: Sequence[str], most: int) -> str:
    between = "; " if any("," in name for name in names) else ", "
    shown = between.join(names[:most])
    return shown if len(names) <= most else f"{shown}{between}… ({len(names)} in all)"


def short(text: str) -> str:
    """The first refusal, the number of others, and nothing that breaks a table."""
    first, *others = text.split(" | ")
    first = " ".join(first.split())
    first = first if len(first) <= LONGEST else first[: LONGEST - 1] + "…"
    return (first + (f" (and {len(others)} more)" if others else "")).replace("|", "\\|").replace("<", "&lt;")
