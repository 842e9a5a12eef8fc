"""The command line: the only part of the package that prints.

Exit codes: 0 all well, 1 a mismatch, 2 a user's error, 130 interrupted. With `--json` standard output holds one object,
and everything else goes to standard error.
"""

from __future__ import annotations

import functools
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console

import lutwright
from lutwright import flow, quantizing, report
from lutwright.errors import LutwrightError, Mismatch
from lutwright.frontend.device import DEVICES
from lutwright.frontend.plan import parse_fold, parse_goal, parse_pin
from lutwright.frontend.quantize.settings import FORMATS, LEAST_BITS, METHODS, MOST_BITS, Settings
from lutwright.progress import Progress

err = Console(stderr=True, highlight=False)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(lutwright.__version__, prog_name="lutwright")
def cli() -> None:
    """Compressed neural networks (ONNX) to FPGA hardware, exact, with open tools only."""


def command(text: Callable[[dict[str, Any]], Any]) -> Callable[[Callable[..., dict[str, Any]]], click.Command]:
    """A command of the group whose function returns the `--json` object; `text` renders it for people.

    A result whose `failed` is not empty exits with 1, one with `refusals` with 2, after it was printed.
    """

    def decorate(function: Callable[..., dict[str, Any]]) -> click.Command:
        @functools.wraps(function)
        def run(as_json: bool, **arguments: Any) -> None:
            try:
                result = function(**arguments)
            except (LutwrightError, Mismatch) as error:
                if as_json:
                    _echo_error(error, str(error))
                err.print(f"lutwright: {error}", style="red", markup=False, soft_wrap=True)
                sys.exit(1 if isinstance(error, Mismatch) else 2)
            if as_json:
                click.echo(json.dumps(result, indent=2))
            else:
                Console(highlight=False).print(text(result))
            if result.get("failed"):
                err.print(f"lutwright: {result['failed']}", style="red", markup=False, soft_wrap=True)
                sys.exit(1)
            if result.get("refusals"):
                sys.exit(2)

        option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
        return cli.command()(option(run))

    return decorate


def _echo_error(error: Exception, message: str) -> None:
    click.echo(json.dumps({"error": {"type": type(error).__name__, "message": message}}, indent=2))


MODEL = click.argument("model", type=click.Path(path_type=Path))
GRID = click.option(
    "--input",
    "grid",
    metavar="GRID",
    help="Grid of an input that the graph does not quantize, such as int8, uint8, fixed<16,6>, ufixed<8,0>.",
)
OUT = click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Folder for the results."
)
SAMPLES = click.option("--samples", type=click.IntRange(min=1), metavar="N", help="Only the first N samples.")


def inputs(required: bool) -> Callable[..., Any]:
    return click.option(
        "--inputs",
        type=click.Path(path_type=Path),
        required=required,
        metavar="FILE.npz",
        help="Array 'inputs' in the model's own input domain; 'outputs' and 'labels' are optional.",
    )


def planning(function: Callable[..., Any]) -> Callable[..., Any]:
    """The planning options, handed to the command as one `options` argument."""

    @functools.wraps(function)
    def run(
        *,
        grid: str | None,
        device: str | None,
        board: str | None,
        fps: float | None,
        latency: bool,
        smallest: bool,
        engines: tuple[str, ...],
        folds: tuple[str, ...],
        clock: float | None,
        bound: Path | None,
        **rest: Any,
    ) -> Any:
        goal = parse_goal(fps=fps, latency=latency, smallest=smallest)
        pins = dict(map(parse_pin, engines))
        options = flow.Options(grid, device, board, goal, pins, dict(map(parse_fold, folds)), clock, bound)
        return function(options=options, **rest)

    for option in reversed(
        (
            GRID,
            click.option("--device", metavar="D", help=f"One of {', '.join(DEVICES)}."),
            click.option("--board", metavar="B", help="icebreaker, ulx3s_85f, tang_nano_9k, or a plug-in's."),
            click.option(
                "--fps", type=float, metavar="N", help="Goal: the smallest plan that reaches N frames a second."
            ),
            click.option("--latency", is_flag=True, help="Goal: the lowest latency that fits."),
            click.option("--smallest", is_flag=True, help="Goal: the fewest resources."),
            click.option("--engine", "engines", multiple=True, metavar="NODE=NAME", help="Pin a node's engine."),
            click.option("--fold", "folds", multiple=True, metavar="NODE=PExSIMD", help="Pin a node's folding."),
            click.option("--clock", type=float, metavar="MHZ", help="Clock to plan and build for."),
            click.option(
                "--bound",
                type=click.Path(path_type=Path),
                metavar="FILE.npz",
                help="Accumulators only as wide as these inputs need: exact for them, larger sums wrap.",
            ),
        )
    ):
        run = option(run)
    return run


@command(report.inspect_text)
@MODEL
@GRID
def inspect(model: Path, grid: str | None) -> dict[str, Any]:
    """Nodes, types and scales of MODEL, what runs on the host, and everything that is refused and why."""
    return flow.inspect(model, grid)


BITS = click.IntRange(LEAST_BITS, MOST_BITS)


@command(report.quantize_text)
@MODEL
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    required=True,
    metavar="CALIB.npz",
    help="Array 'inputs', a few hundred typical samples in the model's own input domain; 'labels' are optional.",
)
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True, metavar="OUT.onnx", help="The file to write."
)
@click.option("--weights", type=BITS, default=8, show_default=True, help="Bits of the weights.")
@click.option("--activations", type=BITS, default=8, show_default=True, help="Bits of the activations.")
@click.option("--input-bits", "input", type=BITS, default=8, show_default=True, help="Bits of the network's input.")
@click.option("--output-bits", "output", type=BITS, default=8, show_default=True, help="Bits of the network's output.")
@click.option("--per-channel/--per-tensor", default=True, show_default=True, help="Scales of the weights.")
@click.option("--power-of-two", is_flag=True, help="All scales are powers of two, all zero points 0.")
@click.option(
    "--bias-correction/--no-bias-correction", default=True, show_default=True, help="Keep each layer's mean output."
)
@click.option("--format", type=click.Choice(FORMATS), default="qdq", show_default=True, help="Dialect of the file.")
@click.option(
    "--method",
    type=click.Choice(METHODS),
    default="mse",
    show_default=True,
    help="How ranges are chosen: all values, 99.999 % of them, least divergence, least squared error.",
)
@SAMPLES
def quantize(model: Path, data: Path, out: Path, samples: int | None, **settings: Any) -> dict[str, Any]:
    """Quantize the float MODEL with calibration data, and write it as a QDQ or QONNX file."""
    with Progress(err) as progress:
        return quantizing.quantize_model(model, Settings(**settings), data, samples, out, progress)


@command(report.compile_text)
@MODEL
@planning
@OUT
def compile(model: Path, options: flow.Options, out: Path) -> dict[str, Any]:
    """Plan MODEL and write its Verilog, pre.onnx and post.onnx, and the plan."""
    with Progress(err) as progress:
        return flow.compile_model(model, options, out, progress)


@command(report.simulate_text)
@MODEL
@inputs(required=True)
@SAMPLES
@click.option(
    "--with",
    "engine",
    type=click.Choice(["golden", "verilator", "icarus", "netlist", "board"]),
    default="golden",
    show_default=True,
    help="What computes the samples.",
)
@planning
def simulate(model: Path, inputs: Path, samples: int | None, engine: str, options: flow.Options) -> dict[str, Any]:
    """Compare MODEL's hardware with the golden model, and that with the reference outputs, on every element."""
    with Progress(err) as progress:
        return flow.simulate(model, options, inputs, samples, engine, progress)


@command(report.synth_text)
@MODEL
@planning
def synth(model: Path, options: flow.Options) -> dict[str, Any]:
    """Resources of MODEL's network on a device, by synthesis, without place and route."""
    with Progress(err) as progress:
        return flow.synth(model, options, progress)


@command(report.build_text)
@MODEL
@inputs(required=False)
@SAMPLES
@planning
@OUT
def build(model: Path, inputs: Path | None, samples: int | None, options: flow.Options, out: Path) -> dict[str, Any]:
    """Everything: plan, Verilog, its proof against the golden model, bitstream, report and host configuration."""
    with Progress(err) as progress:
        return flow.build(model, options, inputs, samples, out, progress)


@command(report.program_text)
@click.argument("build", type=click.Path(path_type=Path))
def program(build: Path) -> dict[str, Any]:
    """Load the bitstream of the folder BUILD, which `build` wrote, onto its board, through openFPGALoader."""
    return flow.program(build)


@command(report.run_text)
@click.argument("build", type=click.Path(path_type=Path))
@inputs(required=True)
@SAMPLES
@click.option("--port", required=True, metavar="PORT", help="Serial port of the board, or a pyserial URL.")
def run(build: Path, inputs: Path, samples: int | None, port: str) -> dict[str, Any]:
    """Send samples to a programmed board, and compare its answers with the golden model."""
    with Progress(err) as progress:
        return flow.run(build, inputs, samples, port, progress)


def main() -> None:
    """The entry point `lutwright`."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what is half-written is removed
    try:
        cli(standalone_mode=False)
    except click.ClickException as error:
        if "--json" in sys.argv:
            _echo_error(error, error.format_message())
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        err.print("lutwright: interrupted; nothing was written.", style="red")
        sys.exit(130)


if __name__ == "__main__":
    main()
