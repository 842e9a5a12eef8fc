"""The conformance table: ONNX's own operator cases and QONNX's operators, each equal to its reference, or refused.

Run: python benchmarks/conformance.py (writes docs/conformance.md; about a minute; needs the extra `dev`), or with
--operator Conv for one operator, printed. Exits with 1 where a network is wrong.
"""

from __future__ import annotations

import argparse
import resource
import sys
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

import conformance_cases
import conformance_qonnx
from conformance_cases import Case
from conformance_check import WRONG, outcome
from conformance_table import Result, counts, sections, short

DOCUMENT = Path(__file__).parents[1] / "docs" / "conformance.md"
MOST_MEMORY = 6 * 2**30  # an import that needs more fails, and is wrong, instead of taking the machine's
TEXT = """\
# Conformance

Made by `python benchmarks/conformance.py` with {versions}; do not edit.

Every case of `onnx.backend.test` for the operators that carry quantized networks, and every option of QONNX's
operators, is made into networks with one activation input, imported, evaluated on the golden model, and compared with
the reference, all elements (`lutwright.frontend.compare`).

**Outcomes.** *equal*: integers in the hardware's graph give the reference's outputs. *host only*: equal too, but
nothing is left for the hardware (a function of the input that only outputs follow). *refused*: a typed error with its
message, of which the first refusal is shown. *no reference*: no executor runs the network. *WRONG*: a mismatch, or an
exception that is no typed error; the command then exits with 1. In brackets: elements compared. Cases with the same
outcomes share a row; where numbers in their messages differ, the first case's message is shown.

**ONNX cases.** The operator, its attributes and its opset are the case's.

- *alone*: the first input is the activations; the others are constants with the case's data, float weights of linear
  operators rounded to multiples of 1/8. *output 1*, …: the same with another of its outputs. *second operand*: the
  second input is the activations.
- Activations of an integer type are integers as they are (wider than 16 bits: on the grid uint8, int8 or int16). Float
  activations lie on the first of these grids that holds the case's data: ufixed<8,4> (no negative data), fixed<8,4>,
  int8, int16. Each network runs on the case's data rounded to the grid, on random values of the grid, and on its two
  ends; values for which the operator is infinite or NaN are replaced.
- *… quantized*: QuantizeLinear to int8 and DequantizeLinear follow, so that the function becomes a staircase.
- *QDQ*: activations, weights, bias and output pass through QuantizeLinear and DequantizeLinear, zero points not 0; the
  reference is onnxruntime with its default optimizations (integer operators), else without any.
- *two activations*: all operands are cut (Slice, Reshape) out of one input; *QDQ*: through quantizers of unequal scales
  and zero points.
- *no grid*: no grid is named for a float input, so that only a quantizer can make it integers.
- Quantizers are added at the case's opset where it has 19 to 25, else at 21 where the operator exists there.
- A case of a function's body ("expanded") belongs to the function.

**References.** The unmodified case runs first: {executors}
Where onnxruntime computes something else than the case's outputs, onnx's reference evaluator is the reference.

**QONNX.** Networks of one node; inputs take all 1,024 values of a grid of halves, so that all ties occur, on nine
channels with scales 1, 2 and 0.3 and zero points 0, 1 and -3; rounding modes, signed, narrow and 1 to 8 bits in all
combinations. *inside*: on integers; *at the input*: as the input's quantizer, which the host runs. The reference is
qonnx.

## Counts

{counts}

## ONNX

{onnx}

## QONNX

{qonnx}

## Not in the table

Operators of `onnx.backend.test` that the import does not register and that carry no quantized networks: {others}.
"""


def chosen(name: str, every: int) -> bool:
    """Whether a case belongs to a sample of one in `every`, the same one each time."""
    return zlib.crc32(name.encode()) % every == 0


def onnx_results(cases: Sequence[Case]) -> Iterator[Result]:
    for case in cases:
        for network in conformance_cases.networks(case):
            yield network, outcome(network)


def qonnx_results(operator: str | None = None, every: int = 1) -> Iterator[Result]:
    for network in conformance_qonnx.networks():
        picked = chosen(f"{network.operator} {network.case} {network.variant}", every)
        if operator in (None, network.operator) and picked:
            yield network, outcome(network)


def executors(cases: Sequence[Case]) -> str:
    """Which executor reproduces how many cases, and the cases that one of them does not."""
    lines, found = [], sorted((case.executor, case.name) for case in cases)
    for kind, held in groupby(found, key=lambda item: item[0]):
        names = [name for _, name in held]
        listed = f" ({', '.join(names)})" if ":" in kind else ""
        lines.append(f"{len(names)} cases: {kind}{listed}")
    return "; ".join(lines) + "."


def document(cases: Sequence[Case], others: dict[str, int], onnx: Sequence[Result], qonnx: Sequence[Result]) -> str:
    return TEXT.format(
        versions=", ".join(f"{name} {version(name)}" for name in ("onnx", "onnxruntime", "qonnx")),
        executors=executors(cases),
        counts=counts([*onnx, *qonnx]),
        onnx=sections(onnx),
        qonnx=sections(qonnx),
        others=", ".join(f"{name} {count}" for name, count in sorted(others.items())),
    )


def wrong(results: Sequence[Result]) -> list[str]:
    """A line for each network that is wrong."""
    return [
        f"{network.operator}: {network.case}, {network.variant}: {short(found.text)}"
        for network, found in results
        if found.kind == WRONG
    ]


def main() -> int:
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operator", help="only this one, printed and not written")
    operator = parser.parse_args().operator
    cases, others = conformance_cases.collect()
    cases = [case for case in cases if operator in (None, case.operator)]
    onnx, qonnx = list(onnx_results(cases)), list(qonnx_results(operator))
    if operator is not None:
        print(sections([*onnx, *qonnx]))
    else:
        DOCUMENT.parent.mkdir(exist_ok=True)
        DOCUMENT.write_text(document(cases, others, onnx, qonnx), encoding="utf-8")
    lines = wrong([*onnx, *qonnx])
    print("\n".join(lines), dict(Counter(found.kind for _, found in [*onnx, *qonnx])), file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
