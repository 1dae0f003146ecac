"""Everyone who can be talked to in a session, by name."""

from typing import Self

from llm_models.errors import InputError
from steps.core.answering.candidates import resolve_all
from steps.core.chat.packed import ADDRESS, Packed
from steps.core.chat.screen import note
from steps.core.chat.speakers import CandidateSpeaker, Speaker, described
from steps.core.config import CHOICES, Config


class Cast:
    """Speakers in the order in which they were met, which is that of the menu."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.known: dict[str, Speaker] = {}
        self._looked = False  # for all candidates

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for speaker in self.known.values():
            speaker.close()

    def meet(self, spec: str) -> list[Speaker]:
        """Those named by "available", "all" or names, numbers and addresses with commas between.

        Raises InputError for one that is unknown or cannot be asked.
        """
        names = list(dict.fromkeys(self._name(one) for one in spec.split(",") if one.strip()))
        if not names or spec.strip() in CHOICES:
            return self._candidates(spec)
        self._meet([name for name in names if name not in self.known])
        return [self.known[name] for name in names]

    def everyone(self) -> list[Speaker]:
        """All who can be asked; the config's candidates are looked for once."""
        if not self._looked:
            try:
                self._candidates("available")
            except InputError as error:  # there are those already met
                note(str(error))
        return list(self.known.values())

    def menu(self, current: list[Speaker]) -> str:
        """A numbered line for each, those who answer now marked."""
        width = max(map(len, self.known))
        return "\n".join(
            f"{'*' if one in current else ' '} {number}  {one.name:{width}}  {described(one)}"
            for number, one in enumerate(self.known.values(), start=1)
        )

    def _meet(self, names: list[str]) -> None:
        packed = [Packed(name) for name in names if name.startswith(ADDRESS)]  # load side by side
        try:
            if len(packed) < len(names):
                self._candidates(",".join(n for n in names if not n.startswith(ADDRESS)))
            for one in packed:
                one.wait()
        except BaseException:
            for one in packed:
                one.close()
            raise
        self.known |= {one.name: one for one in packed}

    def _name(self, text: str) -> str:
        """A number is a place in the menu."""
        text = text.strip()
        if not text.isdecimal():
            return text
        if not 1 <= int(text) <= len(self.known):
            raise InputError(f"there is no number {text}: /model lists them")
        return list(self.known)[int(text) - 1]

    def _candidates(self, spec: str) -> list[Speaker]:
        self._looked = self._looked or spec.strip() in CHOICES
        ready, skipped = resolve_all(self.config, spec)
        for skip in skipped:
            note(skip.line())
        for one in ready:
            self.known.setdefault(one.candidate.name, CandidateSpeaker(one))
        return [self.known[one.candidate.name] for one in ready]
