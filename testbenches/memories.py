"""Contents of memories as files that Verilog reads, where compiling them would take most of a simulator's build."""

from __future__ import annotations

import re
from pathlib import Path

# What Yosys writes of a memory whose every word is known.
CONTENTS = re.compile(
    r"(?m)^  initial begin\n(    (\\?\S+ ?)\[0\] = \d+'h[0-9a-f]+;\n(?:    \2\[\d+\] = \d+'h[0-9a-f]+;\n)*)  end\n"
)
ROW = re.compile(r"\[(\d+)\] = \d+'h([0-9a-f]+);\n")


def with_files(verilog: str, folder: Path) -> str:
    """The same Verilog, whose memories are read from files in `folder`, where the simulator has to run."""
    count = 0

    def read(found: re.Match[str]) -> str:
        nonlocal count
        rows = [(int(index), word) for index, word in ROW.findall(found[1])]
        if [index for index, _ in rows] != list(range(len(rows))):
            return found[0]
        name, count = f"memory{count}.hex", count + 1
        (folder / name).write_text("\n".join(word for _, word in rows) + "\n")
        return f'  initial $readmemh("{name}", {found[2]});\n'

    return CONTENTS.sub(read, verilog)
