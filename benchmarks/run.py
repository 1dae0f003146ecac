"""Measure `python -m steps.evaluate` and print a Markdown table: see README.md.

python -m benchmarks.run [--only 'traced*'] [--repeat 3]
"""

import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib.metadata import version
from statistics import median

import click

from benchmarks.lab import CONCURRENCY, ROOT, Lab, Measured, lab, serving

WALL_OTHERS = (
    "promptfoo 1.64, lm-eval 1.84, Inspect 1.79, DeepEval 4.65, mlflow.genai.evaluate 4.92"
)
COLUMNS = (
    "measurement",
    "store",
    "load before",
    "wall (s)",
    "CPU (s)",
    "CPU (ms/row)",
    "peak (MiB)",
    "first call (s)",
    "server CPU (ms/call)",
    "result",
    "aim",
    "others",
)


@dataclass(frozen=True)
class Case:
    """One line of the matrix."""

    name: str
    rows: int
    latency_s: float
    traced: bool
    store: str  # "fresh": none yet; "migrated": an empty one of this MLflow
    aim: str = ""
    others: str = ""
    again: bool = False  # measure a second run, over what the first has answered

    @property
    def ideal_s(self) -> float:
        return self.rows * self.latency_s / CONCURRENCY


def _cases() -> Iterator[Case]:
    for store in ("migrated", "fresh"):
        yield Case("untraced", 1000, 0.2, False, store, "1.15 ×", WALL_OTHERS)
        yield Case("traced", 1000, 0.2, True, store, "1.25 ×", WALL_OTHERS)
    for rows in (100, 1000, 10_000):
        aim, others = ("4 ms", "promptfoo 7.0, Inspect 15.4") if rows == 1000 else ("", "")
        yield Case(f"untraced-{rows}", rows, 0, False, "migrated", aim, others)
    for rows in (100, 1000, 10_000):
        aim, others = ("12 ms", "mlflow.genai.evaluate 58.6") if rows == 1000 else ("", "")
        yield Case(f"traced-{rows}", rows, 0, True, "migrated", aim, others)
    yield Case("untraced-again", 1000, 0, False, "migrated", "+1.5 s", again=True)
    yield Case("traced-again", 1000, 0, True, "migrated", "+1.5 s", again=True)


CASES = tuple(_cases())
Results = dict[str, list[Measured]]  # by the name of the case, migrated stores alone


@click.command()
@click.option("--only", multiple=True, help="Names of measurements, * stands for anything.")
@click.option("--repeat", default=1, show_default=True, help="Times each one is measured.")
@click.option("--list", "listing", is_flag=True, help="Print the names and stop.")
def main(only: tuple[str, ...], repeat: int, listing: bool) -> None:
    """Measure time, CPU and memory of an evaluation against a server of fixed latency."""
    cases = [case for case in CASES if not only or any(fnmatch(case.name, p) for p in only)]
    if not cases:
        raise click.BadParameter(f"none is called {', '.join(only)}: see --list")
    if listing:
        click.echo("\n".join(dict.fromkeys(case.name for case in cases)))
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # leave nothing behind
    with tempfile.TemporaryDirectory(prefix="benchmark-bytecode-") as bytecode:
        os.environ["PYTHONPYCACHEPREFIX"] = bytecode  # what is measured never compiles
        failed = _measure_all([case for case in cases for _ in range(repeat)])
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


def _measure_all(cases: list[Case]) -> list[str]:
    """Print the table; return the names of what failed."""
    choice = _trace_is_a_choice()
    _warm_up(_trace(True, choice))
    if not choice:
        click.echo("steps.evaluate has no --trace: everything is traced, the rest is left out.\n")
        cases = [case for case in cases if case.traced]
    _print_head()
    results: Results = defaultdict(list)
    failed = [case.name for case in cases if not _kept(case, choice, results)]
    click.echo("\n" + "\n".join(_derived(results)))
    return failed


def _trace_is_a_choice() -> bool:
    command = [sys.executable, "-m", "steps.evaluate", "--help"]
    told = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return "--trace" in told.stdout


def _trace(wanted: bool, choice: bool) -> list[str]:
    """The options that choose it, none where there is no choice."""
    return ["--trace", "all" if wanted else "none"] if choice else []


def _warm_up(options: list[str]) -> None:
    """One row that is not counted: compiles all modules, and brings their files into memory."""
    with serving(0) as server, lab(1) as place:
        place.create_store()
        place.evaluate(server, options, traced=1, asked=1)


def _kept(case: Case, choice: bool, results: Results) -> bool:
    """Measure one case; a failure is told and does not end the others."""
    try:
        measured = _measure(case, choice)
    except click.ClickException as error:
        click.echo(f"{case.name}: {error}", err=True)
        return False
    if case.store == "migrated":
        results[case.name].append(measured)
    return True


def _measure(case: Case, choice: bool) -> Measured:
    options = _trace(case.traced, choice)
    traced = case.rows if case.traced else 0
    load = os.getloadavg()[0]
    with lab(case.rows) as place:
        if case.store == "migrated":
            place.create_store()
        measured = _run(case, place, options, traced, case.rows)
        start_up_s = measured.first_call_s or 0.0
        if case.again:
            measured = _run(case, place, options, traced, 0)
    click.echo(_line(case, load, measured, _result(case, measured, start_up_s)))
    return measured


def _run(case: Case, place: Lab, options: list[str], traced: int, asked: int) -> Measured:
    with serving(case.latency_s) as server:
        return place.evaluate(server, options, traced, asked)


def _result(case: Case, measured: Measured, start_up_s: float) -> str:
    if case.again:
        return f"+{measured.wall_s - start_up_s:.2f} s"
    if case.latency_s:
        return f"{measured.wall_s / case.ideal_s:.2f} ×"
    return f"{measured.cpu_s / case.rows * 1000:.1f} ms"


def _print_head() -> None:
    load = " ".join(f"{x:.2f}" for x in os.getloadavg())
    with lab(1) as place:
        alone_s = place.run_code("import mlflow")
    click.echo(
        f"Python {platform.python_version()}, MLflow {version('mlflow')}, {os.cpu_count()} CPUs, "
        f"load average {load}; concurrency {CONCURRENCY}. `import mlflow` alone takes "
        f"{alone_s:.2f} s of CPU here.\n"
    )
    click.echo(_cells(COLUMNS))
    click.echo(_cells(["---"] * len(COLUMNS)))


def _line(case: Case, load: float, measured: Measured, result: str) -> str:
    figures = (
        f"{load:.1f}",
        f"{measured.wall_s:.2f}",
        f"{measured.cpu_s:.2f}",
        f"{measured.cpu_s / case.rows * 1000:.2f}",
        f"{measured.peak_mib:.0f}",
        "–" if measured.first_call_s is None else f"{measured.first_call_s:.2f}",
        "–" if measured.server_ms is None else f"{measured.server_ms:.3f}",
    )
    return _cells([case.name, case.store, *figures, result, case.aim, case.others])


def _cells(values: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(values)} |"


def _derived(results: Results) -> Iterator[str]:
    """What two measurements say together; medians where there are several of each."""

    def typical(name: str, figure: str) -> float:
        return median(getattr(measured, figure) for measured in results[name])

    starts = [m.first_call_s for found in results.values() for m in found if m.first_call_s]
    if starts:
        yield f"- start to first call, median of {len(starts)}: {median(starts):.2f} s (aim 1 s)"
    for kind in ("untraced", "traced"):
        small, middle, large = (f"{kind}-{rows}" for rows in (100, 1000, 10_000))
        if results[small] and results[middle]:
            grown = typical(middle, "cpu_s") - typical(small, "cpu_s")
            yield f"- {kind}: {grown / 900 * 1000:.2f} ms of CPU for each row after the first 100"
        if results[middle] and results[large]:
            per_row = typical(middle, "wall_s"), typical(large, "wall_s") / 10
            yield f"- {kind}: {per_row[1]:.2f} ms a row at 10,000 rows, {per_row[0]:.2f} at 1,000"
        for other in (middle, large):
            if results[small] and results[other]:
                grown = typical(other, "peak_mib") - typical(small, "peak_mib")
                told = "; aim 60 MiB, promptfoo 372 MB, Inspect 197 MB" if other == large else ""
                yield f"- {other}: peak memory {grown:+.0f} MiB over {small}{told}"


if __name__ == "__main__":
    main()
