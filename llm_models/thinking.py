"""Thinking that a model writes into its answer."""


def after_thinking(text: str) -> str:
    """What follows the last </think>; nothing where the thinking did not end."""
    _, closed, answer = text.rpartition("</think>")
    if answer.lstrip().startswith("<think>"):
        return ""
    return answer.lstrip() if closed else answer
