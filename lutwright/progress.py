"""The progress line of the command line; the library only calls it."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar


class Progress:
    """`progress(stage)` names what is being done, `progress(stage, done, total)` shows how far it is, with a detail.

    On a terminal a line that renews itself; elsewhere a plain line for every new stage.
    """

    def __init__(self, console: Console) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        self._console, self._stage = console, ""
        self._bar = Bar(*columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, stage: str, done: int = 0, total: int | None = None, detail: str = "") -> None:
        if stage != self._stage:
            self._stage = stage
            if not self._console.is_terminal:
                self._console.print(stage)
        self._bar.update(self._task, description=f"{stage} {detail}".rstrip(), completed=done, total=total)
