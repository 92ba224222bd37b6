"""The text of an HTML fragment, in time that grows with its length only, whatever it holds.

The standard library's parser takes quadratic time on tags and comments that are never closed (14 s for 48 KB,
measured), and what it makes of malformed HTML differs between its releases: a column's text must do neither to the
worker. So its entities are decoded by the standard library, its markup is matched here.
"""

import html
import re
from typing import Final

# No quantifier passes the next `<`, or it runs to the end and so is tried once: that keeps the time linear.
_MARKUP: Final = re.compile(
    r"""
      (?P<cdata> <!\[CDATA\[ | \]\]> )
    | <!--.*?(?:-->|\Z)
    | <(?P<hidden>script|style|template)\b [^<>]*+ > .*? (?:</(?P=hidden)\b[^<>]*+>|\Z)
    | </?+ (?P<tag>[a-z][^\s<>/]*+) (?:[^<>"']|"[^"<]*+"|'[^'<]*+')*+ >
    | </?+ (?P<broken>[a-z][^\s<>/]*+) [^<>]*+ >
    | <[!?/][^<>]*+>
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
# Numbers longer than any character's: Python refuses to read one of more than 4,300 digits.
_NO_CHARACTER: Final = re.compile(r"&#[0-9]{1000,}+;?")
# Tags inside a word or sentence; all others end a word.
# fmt: off
_INLINE: Final = frozenset({
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i",
    "ins", "kbd", "mark", "nobr", "q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "time", "tt",
    "u", "var", "wbr",
})
# fmt: on


def html_text(text: str) -> str:
    """Return what a reader of the page would see: no tags, comments, scripts or styles, entities decoded.

    Malformed HTML gives some text, never an error. Text without markup comes back as it is.
    """
    if "<" in text:
        text = _MARKUP.sub(_gap, text)
    return html.unescape(_NO_CHARACTER.sub("\ufffd", text)) if "&" in text else text


def _gap(match: re.Match[str]) -> str:
    tag = match["tag"] or match["broken"]
    return "" if match["cdata"] or (tag and tag.lower() in _INLINE) else " "
