"""The variables of an EnvironmentFile as systemd reads them: nearly as a shell would, but not quite."""

import re

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LINE = re.compile(
    r"""
    [ \t\n\r]*
    (?: [#;] [^\n\r]*
      | (?P<name> [^=\n\r]* )
        (?: =
            (?P<quoted> (?: [ \t]* (?: '[^']*(?:'|\Z) | "(?:\\(?:[\s\S]|\Z)|[^"\\])*(?:"|\Z) ) )* )
            [ \t]*
            (?P<plain> (?: \\(?:[\s\S]|\Z) | [^\\\n\r] )*? )
            [ \t]* (?= [\n\r]|\Z )
        )?
    )""",
    re.VERBOSE,
)
_QUOTED = re.compile(r"""'([^']*)'?|"((?:\\(?:[\s\S]|\Z)|[^"\\])*)"?""")


def variables(text: str) -> dict[str, str]:
    """Each variable and its value; a line that sets none is passed over, the last one of a name counts.

    Only quotes at the beginning of a value are taken away; within them, and behind a backslash, a line may end.
    """
    found = {}
    for line in _LINE.finditer(text):
        name = (line["name"] or "").rstrip()
        if line["plain"] is not None and _NAME.fullmatch(name):
            quoted = "".join(_unquoted(part) for part in _QUOTED.finditer(line["quoted"]))
            found[name] = quoted + re.sub(r"\\(?:[\n\r]|([\s\S])|\Z)", r"\1", line["plain"])
    return found


def _unquoted(part: re.Match[str]) -> str:
    single, double = part.groups()
    return single if double is None else re.sub(r'\\(?:\n|(["\\`$])|\Z)', r"\1", double)
