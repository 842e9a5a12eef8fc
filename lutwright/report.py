"""Results as tables for people; the same facts that `--json` prints."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console, Group
from rich.table import Table

Facts = dict[str, Any]


def plain(content: Any) -> str:
    """Rendered without colours, 140 columns wide."""
    stream = io.StringIO()
    Console(file=stream, width=140, color_system=None, highlight=False).print(content)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def _table(title: str, rows: list[dict[str, Any]]) -> Table:
    table = Table(title=title, title_justify="left")
    for name in rows[0] if rows else ():
        numeric = all(isinstance(row[name], int | float) for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    return table


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.10g}" if isinstance(value, float) else str(value)


def _summary(facts: Facts, names: dict[str, str]) -> Table:
    table = Table(show_header=False, box=None)
    for name, title in names.items():
        if facts.get(name) is not None:
            table.add_row(title, _cell(facts[name]))
    return table


def inspect_text(facts: Facts) -> Group:
    """The integer graph, the host's share, the scales, and the refusals."""
    nodes = [
        {
            "node": n["name"],
            "kind": n["kind"],
            "shape": "x".join(map(str, n["shape"])),
            "range": f"[{n['lo']}, {n['hi']}]",
            "bits": n["width"],
            "constants": n["constants"],
            "hardware": ", ".join(n["hardware"]) or "none yet",
        }
        for n in facts["nodes"]
    ]  # fmt: skip
    tensors = [
        {"tensor": t["name"], "node": t["node"], "scale": _span(t["scale"]), "offset": _span(t["offset"])}
        for t in facts["tensors"]
    ]
    hosts = [
        {"when": when, "operator": row["operator"], "node": row["name"]}
        for when, rows in (("before", facts["pre"]), ("after", facts["post"]))
        for row in rows
    ]
    parts: list[Any] = [_table("Integer graph", nodes), _table("Quantized tensors: real = scale · q + offset", tensors)]
    if hosts:
        parts.append(_table("Run by the host", hosts))
    if facts["refusals"]:
        parts.append(_table("Refused", facts["refusals"]))
    return Group(*parts)


def quantize_text(facts: Facts) -> Group:
    """What was quantized and how, what was not, and how close the outputs are."""
    layers = [
        {
            "layer": row["node"],
            "operator": row["operator"],
            "weights": "x".join(map(str, row["weights"])),
            "bits": row["bits"],
            "scales": row["scales"],
            "scale": _span(row["scale"]),
            "bias corrected": "yes" if row["bias_corrected"] else "no",
        }
        for row in facts["layers"]
    ]
    activations = [
        {
            "tensor": row["tensor"],
            "bits": f"{row['bits']} {'signed' if row['signed'] else 'unsigned'}",
            "zero point": row["zero_point"],
            "scale": f"{row['scale']:g}",
            "range": f"{row['lowest']:g} … {row['highest']:g}",
        }
        for row in facts["activations"]
    ]
    parts: list[Any] = [_table("Layers", layers), _table("Quantized tensors", activations)]
    if facts["not_quantized"]:
        parts.append(_table("Not quantized", facts["not_quantized"]))
    if facts["host"]:
        parts.append(_table("Before and after the quantized network, float", facts["host"]))
    title = f"Against the float model, on {facts['samples']} samples ({facts['executor']})"
    parts.append(_table(title, [_closeness(row) for row in facts["outputs"]]))
    return Group(*parts, f"Written to '{facts['quantized']}'. Next: lutwright inspect {facts['quantized']}")


def _closeness(row: Facts) -> Facts:
    shares = {"same class": "top1_agreement", "accuracy, float": "accuracy_float", "quantized": "accuracy_quantized"}
    return {
        "output": row["output"],
        "SQNR": "no noise" if row["sqnr_db"] is None else f"{row['sqnr_db']:.1f} dB",
        **{title: f"{row[name]:.2%}" for title, name in shares.items() if row[name] is not None},
    }


def _span(ends: tuple[float, float]) -> str:
    return f"{ends[0]:g}" if ends[0] == ends[1] else f"{ends[0]:g} … {ends[1]:g}"


def _nodes(facts: Facts) -> Table:
    rows = []
    for node in facts["nodes"]:
        row = {"part": node["name"], "engine": node["engine"] or node["kind"], "folding": node["folding"]}
        row |= {"in": node["input"], "out": node["output"], "cycles": node["cycles_per_frame"]}
        for name in ("lut", "ff", "bram", "dsp"):
            measured = node["measured"]
            row[name] = (
                node["predicted"][name] if measured is None else f"{measured[name]:,} ({node['predicted'][name]:,})"
            )
        rows.append(row)
    return _table(
        "Parts: measured (predicted) resources; lut: sites taken, by carry cells too"
        if facts["nodes"][0]["measured"]
        else "Parts, predicted",
        rows,
    )


CYCLES = {
    "device": "device",
    "board": "board",
    "clock_mhz": "clock, MHz",
    "fmax_mhz": "Fmax, MHz",
    "interval_cycles": "cycles a frame",
    "latency_cycles": "latency, cycles",
    "frames_per_second": "frames/s",
    "latency_us": "latency, µs",
    "link_frames_per_second": "frames/s over the UART",
}
COUNTS = {
    "lut": "LUT cells",
    "carry": "carry cells",
    "sites": "LUT sites taken",
    "ff": "FF",
    "bram": "BRAM",
    "dsp": "DSP",
}
END = {"bitstream": "bitstream", "verilog": "Verilog", "seconds": "seconds"}


def compile_text(facts: Facts) -> Group:
    """The plan and why."""
    return Group(_nodes(facts), *facts["explanation"], _summary(facts, CYCLES | END))


def synth_text(facts: Facts) -> Group:
    """The parts and the whole."""
    return Group(_nodes(facts), _summary(facts, CYCLES | COUNTS | END))


def simulate_text(facts: Facts) -> Table:
    """What was compared, and how it came out."""
    names = ("with", "device", "samples", "elements_compared", "mismatches", "reference_mismatches", "accuracy",
             "cycles_per_frame", "latency_cycles", "predicted_cycles_per_frame", "predicted_latency_cycles",
             "cycle_mismatches", "cycles", "processes", "build_seconds", "run_seconds", "cycles_per_second",
             "seconds")  # fmt: skip
    return _summary(facts, {name: name.replace("_", " ") for name in names})


def build_text(facts: Facts) -> Group:
    """The whole report."""
    share = [
        {
            "resource": name,
            "used": row["used"],
            "available": row["available"],
            "share": f"{row['used'] / row['available']:.1%}",
        }
        for name, row in facts["share"].items()
    ]
    proof = facts["verification"]
    text = f"Verilog == golden on {proof['samples']} frames, {proof['elements_compared']:,} elements, "
    text += f"{proof['mismatches']} mismatches"
    if proof["reference_mismatches"] is not None:
        text += f"; golden == reference, {proof['reference_mismatches']} mismatches"
    if proof["accuracy"] is not None:
        text += f"; accuracy {proof['accuracy']:.2%}"
    text += f". {proof['cycles']:,} cycles in {proof['run_seconds']:.1f} s, {proof['cycles_per_second']:,} a second, "
    text += f"after {proof['build_seconds']:.1f} s of building the simulator."
    return Group(
        _nodes(facts),
        *facts["explanation"],
        text,
        _table("Placed", share),
        f"Critical path: {facts['critical_path']}",
        _summary(facts, CYCLES | COUNTS | END),
    )


def program_text(facts: Facts) -> str:
    """What was loaded."""
    return f"{facts['bitstream']} is on '{facts['board']}'."


def run_text(facts: Facts) -> Table:
    """What the board answered."""
    names = ("samples", "elements_compared", "mismatches", "reference_mismatches", "accuracy", "resent", "seconds")
    return _summary(facts, {name: name.replace("_", " ") for name in names})
