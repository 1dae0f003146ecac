"""What was said so far, as each model gets to see it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from llm_models.errors import InputError
from llm_models.schema import Message


@dataclass(eq=False)
class Exchange:
    """A question and its answers, by the name of who gave them; a failed call gave none."""

    prompt: str
    answers: dict[str, str] = field(default_factory=dict)

    def answer_for(self, name: str) -> str:
        """The speaker's own answer, so that it reads its own words; else that of another."""
        return self.answers.get(name) or next(iter(self.answers.values()))


@dataclass
class Conversation:
    """Messages for any speaker; `system` None leaves each model its own system prompt."""

    system: str | None = None
    exchanges: list[Exchange] = field(default_factory=list)

    def messages(self, name: str, exchange: Exchange) -> tuple[Message, ...]:
        """What was said before the exchange, as `name` has to see it, and its prompt."""
        return (*self._before(exchange, name), {"role": "user", "content": exchange.prompt})

    def keep(self, exchange: Exchange, answers: dict[str, str]) -> None:
        """Add answers; older ones of others stay, and so do those of a speaker who failed now."""
        exchange.answers |= answers
        if exchange not in self.exchanges:
            self.exchanges.append(exchange)

    def last(self) -> Exchange:
        """The last question, answered or not. Raises InputError where there is none."""
        if not self.exchanges:
            raise InputError("nothing was asked yet: type a question first")
        return self.exchanges[-1]

    def _before(self, exchange: Exchange, name: str) -> Iterator[Message]:
        for earlier in self.exchanges:
            if earlier is exchange:
                return
            if earlier.answers:
                yield {"role": "user", "content": earlier.prompt}
                yield {"role": "assistant", "content": earlier.answer_for(name)}
