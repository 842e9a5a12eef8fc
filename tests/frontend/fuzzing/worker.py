"""Imports the model files named on standard input, one JSON object a line, and answers each with how it ended.

A process of its own, so that a crash, a hang or a memory limit ends this one only. `python worker.py LIMIT` (bytes of
address space beyond what the imports take).
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from lutwright.errors import LutwrightError
from lutwright.frontend.describe import describe
from lutwright.frontend.model import load


def attempt(path: str, grid: str | None) -> None:
    """All of the import, the golden model on two samples, and the host's share after it."""
    if describe(path, grid).refusals:
        load(path, grid)
        raise AssertionError("what `describe` refuses was loaded")
    model = load(path, grid)
    entry = model.graph.input.type
    rng = np.random.default_rng(0)
    q = model.graph.evaluate(rng.integers(entry.lo, entry.hi, (2, *entry.shape), endpoint=True))
    output = model.graph[model.graph.output].type
    assert q.shape == (2, *output.shape) and q.min() >= output.lo and q.max() <= output.hi, "outside of its Type"
    model.decode(q)


def status(key: str) -> int:
    """An entry of the process's status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key + ":"))


def outcome(path: str, grid: str | None) -> dict[str, Any]:
    """How the import of the file ended: error type and text, seconds of the processor, peak of resident memory."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    result: dict[str, Any] = {"type": "", "text": "", "allowed": True, "trace": ""}
    start = time.process_time()
    try:
        attempt(path, grid)
    except LutwrightError as error:
        result |= {"type": type(error).__name__, "text": str(error)}
    except BaseException as error:
        trace = traceback.format_exc()
        result |= {"type": type(error).__name__, "text": str(error), "allowed": False, "trace": trace}
    return result | {"seconds": time.process_time() - start, "peak": status("VmHWM")}


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is no answer
    limit = status("VmSize") + int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.filterwarnings("error", module=r"lutwright\..*")
    answers.write(json.dumps({"baseline": status("VmRSS")}) + "\n")
    for line in sys.stdin:
        request = json.loads(line)
        answers.write(json.dumps(outcome(request["path"], request["grid"])) + "\n")


if __name__ == "__main__":
    main()
