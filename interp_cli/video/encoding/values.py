"""Values of options as FFmpeg reads them, and those that would name a file."""

from __future__ import annotations

from collections.abc import Collection

from interp_cli.video.encoding.allowed import PARAMETERS, TEXT_OPTIONS

# Types of options whose value may name a file.
_TEXTS = frozenset({"string", "dictionary"})
_SPACE = " \n\t\r"


def value_fault(name: str, types: Collection[str], value: str) -> str | None:
    """What is wrong with the value of an option for an encoder or a muxer; `None`: nothing.

    Args:
        name: Name of the option.
        types: Its types as ffmpeg lists them, such as `int` or `string`; none: not listed.
        value: The value as ffmpeg gets it.
    """
    if not _TEXTS.intersection(types) or name in TEXT_OPTIONS:
        return None
    allowed = PARAMETERS.get(name)
    if allowed is None:
        return "its value may name a file that is written; leave it out"
    for key in _parameters(name, value):
        bare = key.replace("_", "-")
        if not {bare, bare.removeprefix("no-"), bare.removeprefix("no")} & allowed:
            return (
                f"{key!r} is not among the parameters that keep frames and times and write no "
                "file; leave it out"
            )
    return None


def _parameters(name: str, value: str) -> list[str]:
    """The names in `name=value:name=value`."""
    if name == "x264opts":  # x264 reads that itself, without quotation
        return [part.partition("=")[0] for part in value.split(":")]
    keys, rest = [], value
    while rest:
        key, rest = take_token(rest, "=")
        keys.append(key)
        _, rest = take_token(rest[1:], ":")
        rest = rest[1:]
    return keys


def take_token(text: str, ends: str) -> tuple[str, str]:
    """Take a word from the front of a text, as FFmpeg's `av_get_token` does.

    A backslash makes the next character a plain one, and single quotes all between them.

    Args:
        text: The text.
        ends: Characters at which the word ends, unless they are quoted.

    Returns:
        The word without quotation and without white space around it, and what follows, which
        begins with one of `ends` or is empty.
    """
    text = text.lstrip(_SPACE)
    word, solid, i = "", 0, 0
    while i < len(text) and text[i] not in ends:
        if text[i] == "\\" and i + 1 < len(text):
            word += text[i + 1]
            i += 2
            solid = len(word)
        elif text[i] == "'":
            close = text.find("'", i + 1)
            close = len(text) if close < 0 else close
            word += text[i + 1 : close]
            i = close + 1
            solid = len(word)
        else:
            word += text[i]
            i += 1
    return word[:solid] + word[solid:].rstrip(_SPACE), text[i:]
