"""Signals that end a session."""

import signal
from collections.abc import Iterator

import pytest

from steps.core.chat.terminal import ENDING, ended_by_signals


@pytest.fixture(autouse=True)
def handlers_as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in ENDING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("first", ENDING)
@pytest.mark.parametrize("second", ENDING)
def test_what_one_signal_began_no_other_interrupts(
    first: signal.Signals, second: signal.Signals
) -> None:
    """A terminal that closes sends two: the second must not end the writing of the run."""
    closed = False
    with pytest.raises(SystemExit, match=str(128 + first)), ended_by_signals():
        try:
            signal.raise_signal(first)
        finally:
            signal.raise_signal(second)
            closed = True
    assert closed
