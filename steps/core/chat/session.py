"""A session: questions to whoever is chosen, their answers shown, told and recorded."""

from llm_models.errors import KINDS, InputError
from steps.core import tokens
from steps.core.answering.estimate import worst_usd
from steps.core.answering.limits import Budget
from steps.core.chat import figures
from steps.core.chat.cast import Cast
from steps.core.chat.conversation import Conversation, Exchange
from steps.core.chat.recording import Recorder, Status
from steps.core.chat.screen import note, show
from steps.core.chat.speakers import Speaker
from steps.core.chat.transcript import save
from steps.core.chat.turn import Question, Reply, Turn
from steps.core.dataset import Row

NEARLY_FULL = 0.8  # of the room for a prompt


class Session:
    """Who answers now, and what was said."""

    def __init__(self, cast: Cast, speakers: list[Speaker], recorder: Recorder) -> None:
        self.cast, self.speakers = cast, speakers
        self.conversation = Conversation()
        self.replies: list[Reply] = []
        self._recorder, self._failure_told = recorder, False
        self._asked = 0
        self._budget = Budget(cast.config.max_cost)

    def ask(self, prompt: str) -> None:
        """Ask those who answer now; whatever ends it, the replies are kept.

        Raises InputError, before any call, where it could cost more than max_cost leaves.
        """
        self._put(Exchange(prompt), self.speakers)

    def ask_again(self, speakers: list[Speaker]) -> None:
        """The last question once more. Raises InputError, also where there is none."""
        self._put(self.conversation.last(), speakers)

    def close(self, status: Status) -> None:
        """End the run and tell what the session came to; what could not be recorded is saved."""
        try:
            self._recorder.close(status)
        finally:
            self._report()

    @property
    def recorded(self) -> bool:
        return self._recorder.failure is None

    @property
    def all_answered(self) -> bool:
        return all(reply.completion.answered for reply in self.replies)

    def _report(self) -> None:
        note(figures.of_session(self.replies))
        for line in self._recorder.told:
            note(line)
        if not self.recorded and self.replies:
            note(
                f"not recorded ({self._recorder.failure}), but saved as {save(self.replies)}",
                fg="red",
            )

    def _put(self, exchange: Exchange, speakers: list[Speaker]) -> None:
        questions = [self._question(exchange, speaker) for speaker in speakers]
        worst = self._reserve(questions)
        self._asked += 1
        turn = Turn(questions)
        try:
            show(turn)
        finally:
            turn.stop()
            replies = [turn.replies[name] for name in turn.questions]
            self._budget.settle(worst, figures.total_usd(replies))
            self._keep(exchange, replies)

    def _question(self, exchange: Exchange, speaker: Speaker) -> Question:
        messages = self.conversation.messages(speaker.name, exchange)
        return Question(self._asked + 1, speaker, messages, self.conversation.system)

    def _reserve(self, questions: list[Question]) -> float:
        most = self._budget.most
        if most is None:
            return 0.0
        worst = sum(worst_usd(q.speaker.config, Row("", q.inputs, {}, {})) for q in questions)
        if not self._budget.reserve(worst):
            raise InputError(
                f"max_cost: of {most:g} USD {self._budget.spent:.4f} are spent, and this question "
                f"may cost {worst:.4f}: raise max_cost in the config, or begin anew with /new"
            )
        return worst

    def _keep(self, exchange: Exchange, replies: list[Reply]) -> None:
        self.replies += replies
        said = {reply.question.speaker.name: reply.said for reply in replies if reply.said}
        self.conversation.keep(exchange, said)
        for reply in replies:  # all of them, before anything else can go wrong
            self._recorder.add(reply)
        for reply in replies:
            _tell(reply)
        if self._recorder.failure and not self._failure_told:
            self._failure_told = True
            note(f"not recorded any more: {self._recorder.failure}. /save keeps it.", fg="red")


def _tell(reply: Reply) -> None:
    """How it ended, where that was not well, and what it took."""
    completion, name = reply.completion, reply.question.speaker.name
    remedy = f" ({completion.hint})" if completion.hint else ""
    if reply.stopped:
        kept = "what had come is kept" if reply.said else "nothing had come"
        note(f"{name} was stopped; {kept}", fg="yellow")
    elif not completion.answered:
        again = "; /retry asks again" if KINDS[completion.error_kind or "empty"].retry else ""
        note(f"{name}: {completion.error}{remedy}{again}", fg="red")
    elif completion.hint:
        note(f"{name}: {completion.hint}", fg="yellow")
    note(figures.of_reply(reply))
    if completion.answered:
        _warn_of_window(reply)


def _warn_of_window(reply: Reply) -> None:
    room = reply.question.speaker.room
    if room is None:
        return
    question = reply.question
    counted = reply.completion.usage.total_tokens
    used = counted or tokens.count_messages(question.system_prompt, question.messages)
    if used >= NEARLY_FULL * room:
        note(
            f"the conversation has {used:,} tokens of the {room:,} that "
            f"{question.speaker.name} has room for: /new begins another",
            fg="yellow",
        )
