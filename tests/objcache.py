"""In place of ccache: a C++ compiler's object files by content, so that the tests compile Verilator's runtime once.

Run as `objcache.py FOLDER COMPILER ARGUMENTS…`. What is given by an absolute path, the runtime and the benches, is kept
in FOLDER; a design's own files, and all that is no compilation, go to the compiler as they are.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path


def main(folder: Path, command: list[str]) -> int:
    if "-c" not in command or "-o" not in command or not Path(command[-1]).is_absolute():
        return subprocess.call(command)
    place = command.index("-o")
    output, others = Path(command[place + 1]), command[:place] + command[place + 2 :]
    compiler = shutil.which(command[0])
    preprocessed = subprocess.run([*[word for word in others if word != "-MMD"], "-E"], capture_output=True)
    if compiler is None or preprocessed.returncode != 0:
        return subprocess.call(command)
    version = Path(compiler).stat().st_mtime_ns
    key = hashlib.sha256(f"{others} {version}".encode() + preprocessed.stdout).hexdigest()[:32]
    kept = folder / f"{key}.o"
    if not kept.is_file():
        if code := subprocess.call(command):
            return code
        made = folder / f"{key}.{os.getpid()}"
        shutil.copy(output, made)
        made.rename(kept)  # at once: workers share the folder
    shutil.copy(kept, output)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
