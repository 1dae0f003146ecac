"""Which rows of a run get a trace."""

from dataclasses import dataclass
from zlib import crc32

from steps.core.answering.runner import Answer
from steps.core.cli import Trace

SMALL_RUN = 2000  # rows up to which "auto" traces all
SAMPLE = 500  # traces, about, of a larger run


@dataclass
class Traced:
    """Decides row by row, and counts."""

    trace: Trace
    rows: int
    count: int = 0

    def wants(self, answer: Answer) -> bool:
        wanted = self._wants(answer)
        self.count += wanted
        return wanted

    def _wants(self, answer: Answer) -> bool:
        mode = self.trace
        if mode == "auto":
            mode = "all" if self.rows <= SMALL_RUN else "sample"
        if mode in ("all", "none"):
            return mode == "all"
        # Failures are always worth a look; the sample is the same rows for every model.
        drawn = crc32(answer.row.id.encode()) % self.rows < SAMPLE
        return not answer.completion.answered or (mode == "sample" and drawn)
